#include "bench/relay/load/modes.h"
#include "bench/relay/load/publish.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

namespace nostril::bench {

namespace {

constexpr std::int64_t kRatePeriodNs = 2'000'000;  // 500/s
constexpr std::size_t kProfileRepeats = 8;

constexpr std::size_t kLoadEvents = 8'192;  // of the corpus at a time in memory as frames

struct Published {
  Round round;
  std::size_t duplicates = 0;
};

Published publish(Connections& connections, const Target& target, const Publications& publications,
                  Pace pace) {
  Publisher publisher(connections, publications, pace);
  connections.on_message = [&](std::size_t connection, std::string_view text) {
    publisher.take_ok(connection, text);
    if (publisher.all_answered()) connections.done();
  };
  const Meter meter(target);
  publisher.start();
  connections.run("publishing");
  Published out{meter.stop(static_cast<double>(publications.count())), publisher.duplicates()};
  out.round.latencies = publisher.latencies();
  return out;
}

std::function<Round(Connections&, const Target&)> publish_fresh(
    std::shared_ptr<const Publications> publications, Pace pace) {
  return [publications = std::move(publications), pace](Connections& connections,
                                                        const Target& target) {
    Published out = publish(connections, target, *publications, pace);
    if (out.duplicates > 0) throw WrongAnswer("a new event was called a duplicate");
    return std::move(out.round);
  };
}

Round publish_corpus(Connections& connections, const Target& target, const Corpus& corpus,
                     Pace pace) {
  const std::int64_t disk = target.data.empty() ? 0 : disk_bytes(target.data);
  Round all;
  std::size_t duplicates = 0;
  for (std::size_t first = 0; first < corpus.size(); first += kLoadEvents) {
    Publications slice;
    for (std::size_t i = first; i < std::min(corpus.size(), first + kLoadEvents); ++i) {
      slice.add(corpus.events()[i].id, corpus.line(i));
    }
    const Published part = publish(connections, target, slice, pace);
    all.operations += part.round.operations;
    all.cpu_us += part.round.cpu_us;
    all.wall_s += part.round.wall_s;
    duplicates += part.duplicates;
  }
  all.more["json_bytes"] = corpus.bytes_each();
  all.more["already_there"] = static_cast<double>(duplicates);
  if (!target.data.empty() && duplicates == 0) {
    all.more["disk_bytes"] = static_cast<double>(disk_bytes(target.data) - disk) / all.operations;
  }
  return all;
}

}  // namespace

void ask_ingest(const Bench& bench) {
  const Plan& plan = bench.plan;
  const auto publications = std::make_shared<Publications>();
  const auto question = [&](const char* name, const char* title, Pace pace, std::size_t events) {
    Question out;
    out.name = name;
    out.title = title;
    out.unit = "event";
    out.rounds = plan.rounds;
    out.connections = pace.connections;
    out.run = publish_fresh(publications, pace);
    out.prepare = [&bench, publications, events](std::size_t) {
      *publications = Publications(bench.live.mixed(events));
    };
    return out;
  };
  const Pace full{plan.ingest_connections, plan.ingest_in_flight, 0};
  bench.asker.ask(
      question("ingest", "take an event, 64 connections x 32 in flight", full, plan.ingest_events));

  Question duplicates = question("duplicates", "refuse a duplicate, same load", full, 0);
  duplicates.prepare = nullptr;  // the last round's once more
  duplicates.run = [publications, full](Connections& connections, const Target& target) {
    Published out = publish(connections, target, *publications, full);
    if (out.duplicates < publications->count()) throw WrongAnswer("a duplicate was not called one");
    return std::move(out.round);
  };
  bench.asker.ask(duplicates);

  Question single =
      question("ingest_single", "take an event, one at a time", {1, 1, 0}, plan.single_events);
  single.floor = Floor::Durable;
  bench.asker.ask(single);
  bench.asker.ask(question("ingest_500", "take an event, 500/s over 64 connections",
                           {plan.ingest_connections, 0, kRatePeriodNs}, plan.rate_events));

  // Fewer in flight than authors: two profiles of one author are never under way together.
  Question replace =
      question("ingest_replace", "replace a profile, 32 connections x 4", {32, 4, 0}, 0);
  replace.prepare = [&bench, publications](std::size_t) {
    *publications = Publications(bench.live.profiles(kLiveAuthors * kProfileRepeats));
  };
  bench.asker.ask(replace);
}

void load_corpus(const Bench& bench, const Corpus& corpus) {
  const Plan& plan = bench.plan;
  Question load;
  load.name = "corpus";
  load.title = fmt::format("take the corpus, {} events", corpus.size());
  load.unit = "event";
  load.rounds = 1;
  load.connections = plan.ingest_connections;
  load.run = [&](Connections& connections, const Target& target) {
    return publish_corpus(connections, target, corpus,
                          {plan.ingest_connections, plan.ingest_in_flight, 0});
  };
  bench.asker.ask(load);
}

}  // namespace nostril::bench
