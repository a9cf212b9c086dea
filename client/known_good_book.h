#pragma once

#include "attestation/acceptance.h"
#include "client/policy_file.h"
#include "events/event.h"
#include "events/known_good.h"
#include "schnorr/types.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril::client {

/// The known-good lists (31473) of the keys that a policy trusts: of each key and name the newest.
/// Keeps the signed events, also of lists that have ended, since what they deny stays denied.
/// Threads: one. Rules: spec/11-known-good.md.
class KnownGoodBook {
 public:
  static constexpr std::size_t kListsPerKeyMax = 16;   ///< of one auditor; 128 KiB each
  static constexpr std::size_t kBytesMax = 16U << 20;  ///< of all, as JSON

  explicit KnownGoodBook(ListRules rules) : rules_(std::move(rules)) {}

  enum class Outcome : std::uint8_t {
    Taken,
    Older,      ///< a newer version of the list is here
    Untrusted,  ///< by a key that the policy does not name
    Malformed,
    FromFuture,  ///< dated more than kClockSkewS ahead
    TooMany,
  };

  Outcome add(const VerifiedEvent& event, std::int64_t now_s);

  /// Puts the lists into the policy's acceptance, in place of those that were put there before.
  void apply_to(VerifyPolicy& policy) const;

  struct Kept {
    Event event;
    KnownGoodList list;
    std::size_t bytes = 0;
  };

  /// By auditor and name.
  using Lists = std::map<std::pair<PublicKey, std::string>, Kept>;

  [[nodiscard]] const Lists& lists() const { return lists_; }

 private:
  ListRules rules_;
  Lists lists_;
  std::size_t bytes_ = 0;
};

std::string_view to_string(KnownGoodBook::Outcome outcome);

/// The list as the verifier compares it, under this policy's age bound.
[[nodiscard]] attestation::KnownList to_known_list(const KnownGoodList& list,
                                                   const ListRules& rules);

/// Adds the policy's `[lists] files`. Throws std::runtime_error with the file's name when one can't
/// be read or does not count.
void add_files(KnownGoodBook& book, const ListRules& rules, std::int64_t now_s);

/// Adds what save_list() left in `folder`; what can't be read any more is left out.
void add_folder(KnownGoodBook& book, const std::filesystem::path& folder, std::int64_t now_s);

/// Writes the event into `folder`, over an older version of the same list. False when it can't.
bool save_list(const std::filesystem::path& folder, const KnownGoodBook::Kept& kept);

}  // namespace nostril::client
