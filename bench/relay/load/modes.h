#pragma once

#include "bench/relay/load/answers.h"
#include "bench/relay/load/corpus.h"
#include "bench/relay/load/publications.h"
#include "bench/relay/load/question.h"

#include <cstddef>
#include <string>

namespace nostril::bench {

/// How much of everything. quick() is for tests: the same questions, seconds instead of minutes.
struct Plan {
  std::size_t rounds = 5;
  std::size_t corpus_events = 200'000;
  std::size_t ingest_events = 8'192;  ///< a round
  std::size_t ingest_connections = 64;
  std::size_t ingest_in_flight = 32;
  std::size_t single_events = 300;  ///< a round, one at a time
  std::size_t rate_events = 1'000;  ///< a round, at 500/s
  std::size_t queries = 100;        ///< a round; cheap ones: ten times as many
  std::size_t page_events = 100;
  std::size_t subscribers = 200;
  std::size_t hops = 300;  ///< a round, at 200/s
  std::size_t flat_subscribers = 1'000;
  std::size_t flat_events = 4'000;
  std::size_t broadcast_subscribers = 500;
  std::size_t broadcast_events = 40;
  std::size_t match_connections = 250;  ///< with 20 subscriptions each
  std::size_t match_events = 100;
  std::size_t round_trips = 60;  ///< a peer was seen to take 200 ms for each
  std::size_t rpc_pairs = 32;
  std::size_t rpc_round_trips = 2'000;
  std::size_t idle_connections = 5'000;
  std::size_t mixed_s = 4;
  std::size_t mixed_flat_events = 5'000;

  [[nodiscard]] static Plan quick();
};

/// What the modes share. All borrowed.
struct Bench {
  const Plan& plan;
  Asker& asker;
  LiveEvents& live;
};

/// Publishes the corpus to every contender that lacks it; the first measurement.
void load_corpus(const Bench& bench, const Corpus& corpus);

void ask_ingest(const Bench& bench);
void ask_queries(const Bench& bench, const Corpus& corpus, const Answers& answers);
void ask_fanout(const Bench& bench);
void ask_rpc(const Bench& bench);
void ask_idle(const Bench& bench);
void ask_mixed(const Bench& bench, const Corpus& corpus, const Answers& answers);

/// import, export and compact of our relay's program over the corpus: user CPU an event.
void ask_offline(const Plan& plan, const Corpus& corpus, const std::string& program);

}  // namespace nostril::bench
