#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "net/http.h"
#include "node/api_exchange.h"

#include "face/api_error.h"
#include "face/field_encryption.h"
#include "face/legacy_signature.h"

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace nostril::node {

/// An encryption of fields inside of JSON bodies.
struct FieldCipher {
  using Change = std::function<Result<std::string, face::ApiError>(std::string_view body)>;

  Change open;                    ///< a request's body
  Change seal;                    ///< a whole answer, or the data of one event of a stream
  net::HttpHeaders headers = {};  ///< of answers that are sealed
};

/// Answers of status 200 are sealed, streams event by event; our own words of refusal are not.
[[nodiscard]] std::unique_ptr<ApiTransform> make_field_transform(FieldCipher cipher);

/// The field encryption of NEAR AI Cloud and Phala (face/field_encryption.h), for requests with
/// X-Signing-Algo and X-Client-Pub-Key, at the paths whose fields are defined; elsewhere it is
/// refused. Requests of ACI's (X-E2EE-… without X-Signing-Algo) are passed over. A request of
/// Phala's version 2 is taken once, within the minutes around its time. All are borrowed.
[[nodiscard]] ApiTransformMaker field_transforms(const face::LegacySigner& signer, Clock& clock,
                                                 Rng& rng);

/// Where the value of a header goes that may be there once.
struct HeaderPlace {
  std::string_view name;
  std::optional<std::string_view>* value;
};

/// Fills the places with views of `headers`; an error when one of them comes twice.
[[nodiscard]] Result<void, ApiRefusal> read_headers(const net::HttpHeaders& headers,
                                                    std::initializer_list<HeaderPlace> places);

}  // namespace nostril::node
