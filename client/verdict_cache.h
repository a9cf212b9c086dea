#pragma once

#include "attestation/verdict.h"
#include "schnorr/types.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

namespace nostril::client {

/// All that a verdict follows from, but the time.
struct VerdictKey {
  Digest evidence;    ///< of the packed evidence's bytes
  Digest statement;   ///< what it was expected to commit to
  Digest collateral;  ///< of collateral that did not come with the evidence; zero: none
  Digest policy;      ///< attestation::policy_digest(): lists included
  Digest roots;       ///< TrustRoots::digest()

  auto operator<=>(const VerdictKey&) const = default;  // NOLINT(modernize-use-nullptr): clang 14
};

/// Verdicts that need no second look: an offer is published again every few minutes, its evidence
/// stays. An accepted one is kept until it ends (Verdict::holds_until); a refused one for
/// kRefusedS, since what is missing may come; one refused for its freshness not at all, since
/// beacons are no part of the key. A changed policy or list is another key.
/// Threads: one.
class VerdictCache {
 public:
  /// About 10 KiB each. Full: what ends first is forgotten.
  explicit VerdictCache(std::size_t verdicts_max = 1024) : verdicts_max_(verdicts_max) {}

  static constexpr std::int64_t kRefusedS = 60;

  /// Null: judge.
  [[nodiscard]] std::shared_ptr<const attestation::Verdict> find(const VerdictKey& key,
                                                                 std::int64_t now_s);
  void put(const VerdictKey& key, std::shared_ptr<const attestation::Verdict> verdict,
           std::int64_t now_s);

  [[nodiscard]] std::size_t size() const { return entries_.size(); }

  [[nodiscard]] std::uint64_t hits() const { return hits_; }

 private:
  struct Entry {
    std::shared_ptr<const attestation::Verdict> verdict;
    std::int64_t from = 0;
    std::int64_t until = 0;
  };

  std::size_t verdicts_max_;
  std::map<VerdictKey, Entry> entries_;
  std::uint64_t hits_ = 0;
};

}  // namespace nostril::client
