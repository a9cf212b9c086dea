#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace nostril::node {

/// A vendor's document as its service gives it.
struct VendorDocument {
  Bytes body;
  std::string chain;  ///< issuer chain from the answer's header, PEM; empty: it has none
};

struct VendorRequest {
  std::string name;  ///< of the files: letters, digits, "-"
  std::string url;   ///< empty: never fetched
  /// Answer header with the issuer chain, percent-encoded; nullptr: none.
  const char* chain_header = nullptr;
  /// Whether a document is the vendor's word for what was asked, and valid at that time.
  std::function<bool(const VendorDocument&, std::int64_t now_s)> is_good;
  std::string body = {};          ///< sent by POST; empty: GET
  std::string content_type = {};  ///< of the body
  /// In place of the store's; negative: as that says.
  std::int64_t ahead_s = -1;
};

struct CollateralStoreSettings {
  std::filesystem::path folder;
  std::string ca_file;  ///< PEM roots for https; empty: the system's
  std::int64_t refresh_s = 43'200;
  std::int64_t ahead_s = 172'800;
  std::int64_t retry_s = 60;
  std::uint64_t request_ms_max = 10'000;
};

/// Documents of Intel's and AMD's services, on the disk: `name`.body and `name`.chain below the
/// folder, raw, so that an operator may mirror or place them. Whatever they hold, only what
/// `is_good` takes is given out; a client judges it once more.
/// A document is fetched anew when it is older than `refresh_s`, or not good `ahead_s` from now;
/// while its service is away or answers rubbish, the old one is used as long as it is good. A
/// service that failed is left alone for `retry_s` unless there is nothing to use.
/// Threads: one at a time. obtain() waits for the service.
class CollateralStore {
 public:
  static constexpr std::size_t kDocumentBytesMax = 1U << 20U;

  explicit CollateralStore(CollateralStoreSettings settings);

  /// The error is one line for the operator.
  [[nodiscard]] Result<VendorDocument, std::string> obtain(const VendorRequest& request,
                                                           std::int64_t now_s);

 private:
  struct Kept {
    VendorDocument document;
    std::int64_t age_s = 0;
  };

  [[nodiscard]] std::optional<Kept> read(const std::string& name, std::int64_t now_s) const;
  void write(const std::string& name, const VendorDocument& document) const;
  [[nodiscard]] Result<VendorDocument, std::string> fetch(const VendorRequest& request) const;

  CollateralStoreSettings settings_;
  std::map<std::string, std::int64_t> failed_at_;  // by name
};

}  // namespace nostril::node
