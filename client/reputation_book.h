#pragma once

#include "events/reputation.h"
#include "schnorr/types.h"
#include "schnorr/verify.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril::client {

/// What this client thinks of nodes, and from whom it has that. Proven fraud is not a matter of
/// opinion: the node is out. The formula, with its reasons: docs/reputation.md. Pure; one thread.
class ReputationBook {
 public:
  static constexpr std::size_t kOpinionsMax = 16'384;    ///< 100 bytes each
  static constexpr std::size_t kAssertionsMax = 16'384;  ///< 70 bytes each
  static constexpr std::size_t kNodesMax = 4'096;        ///< of own results and frauds

  /// -100 to 100; 0 of who is not known. The sum of its parts, cut off at the ends.
  struct Score {
    int total = 0;
    int own = 0;        ///< +1 for each verified answer, 10 at most; -20 for each broken promise;
                        ///< own word: +20 or -40
    int follows = 0;    ///< +5 for each who approves, -10 for each who flags; -40 to 40
    int providers = 0;  ///< half of the mean rank's distance from 50: -25 to 25
    std::uint32_t approvals = 0;  ///< by those whose word counts
    std::uint32_t flags = 0;
    std::optional<std::string> fraud;  ///< proven: nothing else counts
  };

  [[nodiscard]] Score score(const PublicKey& node) const;

  /// False when the node was known for it.
  bool add_fraud(const PublicKey& node, std::string reason);

  [[nodiscard]] const std::map<PublicKey, std::string>& frauds() const { return frauds_; }

  void set_follows(std::vector<PublicKey> follows);

  void set_providers(std::vector<PublicKey> providers);

  enum class Outcome : std::uint8_t {
    Taken,
    Older,       ///< a newer word of this author on this node is here
    NotCounted,  ///< by a key that the user does not follow
    Malformed,   ///< or the record inside is not signed by the node
    TooMany,
  };

  /// An approval or a flag; `own`: the user's own word, whoever signed it. Of an author the newest
  /// word on a node counts.
  Outcome add_opinion(const VerifiedEvent& event, bool own, Verifier& verifier);
  /// Kind 30382.
  Outcome add_assertion(const VerifiedEvent& event);

  /// An answer of the node was verified, and paid; or what it signed was wrong.
  void note_verified(const PublicKey& node);
  void note_broken(const PublicKey& node);

 private:
  struct Word {
    std::int64_t created_at = 0;
    bool approves = false;
    bool own = false;
  };

  struct Rank {
    std::int64_t created_at = 0;
    std::uint32_t rank = 0;
  };

  struct Results {
    std::uint32_t verified = 0;
    std::uint32_t broken = 0;
  };

  using Pair = std::pair<PublicKey, PublicKey>;  // node and author

  Results& results_of(const PublicKey& node);

  std::map<PublicKey, std::string> frauds_;
  std::set<PublicKey> follows_;
  std::set<PublicKey> providers_;
  std::map<Pair, Word> words_;
  std::map<Pair, Rank> ranks_;
  std::map<PublicKey, Results> results_;
};

std::string_view to_string(ReputationBook::Outcome outcome);

}  // namespace nostril::client
