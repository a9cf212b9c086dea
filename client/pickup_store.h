#pragma once

#include "base/result.h"
#include "events/inference.h"
#include "schnorr/keys.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace nostril::client {

/// A request whose answer may be picked up later: all that it takes to find, open and check it.
struct PendingAnswer {
  Keypair key;  ///< c
  Offer offer;  ///< that it was sent under; verified then
  RequestId request;
  std::string method;
  std::string path;
  std::string body;
  std::int64_t sent_at_s = 0;
};

/// Pending answers on the disk, from before their first frame leaves until the answer is here: one
/// folder each, mode 0700, with c's secret (key.nsec) and request.json. Their prompts lie there,
/// and who reads the secret reads the recorded session: the price of coming back for an answer.
/// Threads: the loop's only; put() waits for the disk.
class PickupStore {
 public:
  static constexpr std::size_t kPendingMax = 1024;

  /// `folder` is made with the first put().
  explicit PickupStore(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// The error is one line for the user.
  [[nodiscard]] Result<void, std::string> put(const PendingAnswer& pending);
  /// Oldest first; what does not read is left out, with a line in the log.
  [[nodiscard]] std::vector<PendingAnswer> all() const;
  /// Of all tries of this request.
  void remove(const RequestId& request);

 private:
  std::filesystem::path folder_;
};

}  // namespace nostril::client
