#pragma once

#include "bench/relay/load/answers.h"
#include "bench/relay/load/corpus.h"
#include "bench/relay/load/random.h"
#include "events/filter.h"

#include <cstddef>
#include <cstdint>

namespace nostril::bench {

/// Makes filters of each kind that clients ask, over the corpus. The same seed gives the same ones.
class Filters {
 public:
  /// Borrows both.
  Filters(const Corpus& corpus, const Answers& answers) : corpus_(corpus), answers_(answers) {}

  void seed(std::uint64_t seed) { random_ = Random(seed); }

  Filter ids(std::size_t count);
  /// An id that no event has.
  Filter miss();
  Filter author_and_kind();
  /// Of a value that some event has.
  Filter tag(char name);
  /// Of two values that one event has together.
  Filter tags(char first, char second);
  /// Of `count` values.
  Filter any_tag(char name, std::size_t count);
  /// For COUNT, without a limit: notes of one of the 2,000 authors; events with a value; all
  /// reactions.
  Filter all_of_author();
  Filter all_of_tag(char name);
  Filter all_of_kind();
  /// Reactions of some hours.
  Filter window();
  Filter newest();
  /// Notes and articles of some 500 authors.
  Filter feed();
  /// Page 0 is the newest of the author who wrote half of all events.
  Filter page(std::size_t number, std::size_t events);

 private:
  [[nodiscard]] const Event& event();

  const Corpus& corpus_;
  const Answers& answers_;
  Random random_{0};
};

}  // namespace nostril::bench
