#include "bench/relay/load/asking.h"
#include "bench/relay/load/filters.h"
#include "bench/relay/load/modes.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

namespace nostril::bench {

namespace {

constexpr std::size_t kIdsTogether = 20;
constexpr std::size_t kValuesTogether = 50;
constexpr std::size_t kClients = 8;
constexpr std::size_t kManyTimes = 10;  // cheap questions are asked that much more often

Round ask_cases(Connections& connections, const Target& target, const std::vector<Case>& cases,
                std::size_t clients) {
  Asking asking(connections, cases, 0, clients);
  connections.on_message = [&](std::size_t connection, std::string_view text) {
    asking.take(connection, text);
    if (asking.complete()) connections.done();
  };
  const Meter meter(target);
  asking.ask_all();
  connections.run("asking");
  Round round = meter.stop(static_cast<double>(cases.size()));
  const auto events = static_cast<double>(asking.events());
  round.latencies = asking.latencies();
  round.more["events"] = events / round.operations;
  if (events > 0) round.more["cpu_event_us"] = round.cpu_us / events;
  round.more["unordered"] = static_cast<double>(asking.unordered());
  return round;
}

}  // namespace

void ask_queries(const Bench& bench, const Corpus& corpus, const Answers& answers) {
  Filters filters(corpus, answers);
  const Plan& plan = bench.plan;
  const std::size_t few = plan.queries;
  const std::size_t many = plan.queries * kManyTimes;
  const std::size_t pages = corpus.size() / 2 / plan.page_events;
  const std::size_t some_pages = std::min<std::size_t>(50, pages / 2);

  using Make = std::function<Filter(std::size_t index)>;
  const auto ask = [&](std::string name, std::string title, std::size_t clients, std::size_t count,
                       const Make& make, bool is_count = false) {
    std::vector<Case> cases;
    Question question;
    question.name = std::move(name);
    question.title = std::move(title);
    question.unit = "query";
    question.floor = Floor::Send;
    question.rounds = plan.rounds;
    question.connections = clients;
    question.prepare = [&](std::size_t round) {
      filters.seed(round);
      cases.clear();
      for (std::size_t i = 0; i < count; ++i) {
        cases.emplace_back(make(i), answers, is_count);
      }
    };
    question.run = [&](Connections& connections, const Target& target) {
      return ask_cases(connections, target, cases, clients);
    };
    bench.asker.ask(question);
  };

  // One client at a time wakes a halted processor for each query; eight keep it awake.
  const auto ask_both = [&](const std::string& name, const std::string& title, std::size_t count,
                            const Make& make) {
    ask(name, title, 1, count, make);
    ask(name + "_8", title + ", 8 clients", kClients, count * 2, make);
  };
  const Make id = [&](std::size_t) { return filters.ids(1); };
  ask("query_id_8", "query one id, 8 clients", kClients, many * 2, id);
  ask("query_id", "query one id, one client", 1, many, id);
  ask_both("query_ids", "query 20 ids", few * 2,
           [&](std::size_t) { return filters.ids(kIdsTogether); });
  ask("query_miss", "query an id that is not there", 1, many,
      [&](std::size_t) { return filters.miss(); });
  ask_both("query", "query author and kind, up to 100", few,
           [&](std::size_t) { return filters.author_and_kind(); });
  ask("query_e", "query #e", 1, few * 2, [&](std::size_t) { return filters.tag('e'); });
  ask("query_ep", "query #e and #p together", 1, few * 2,
      [&](std::size_t) { return filters.tags('e', 'p'); });
  ask("query_es", fmt::format("query {} values of #e, up to 100", kValuesTogether), 1, few,
      [&](std::size_t) { return filters.any_tag('e', kValuesTogether); });
  ask_both("query_p", "query #p, up to 100", few, [&](std::size_t) { return filters.tag('p'); });
  ask_both("query_t", "query #t, up to 100", few, [&](std::size_t) { return filters.tag('t'); });
  ask_both("query_window", "query kind, since, until, 100", few,
           [&](std::size_t) { return filters.window(); });
  ask_both("query_newest", "query the newest 100 of all", few,
           [&](std::size_t) { return filters.newest(); });
  ask_both("query_feed", "query a feed of 500 authors, 100", few / 2,
           [&](std::size_t) { return filters.feed(); });
  ask("page_first", fmt::format("page of {}, first {} pages", plan.page_events, some_pages), 1,
      some_pages, [&](std::size_t i) { return filters.page(i, plan.page_events); });
  ask("page_last", fmt::format("page of {}, last of {} pages", plan.page_events, pages), 1,
      some_pages, [&](std::size_t i) { return filters.page(pages - 1 - i, plan.page_events); });
  ask(
      "count_author", "count an author's notes", 1, few,
      [&](std::size_t) { return filters.all_of_author(); }, true);
  ask(
      "count_kind", "count all reactions", 1, few / 5,
      [&](std::size_t) { return filters.all_of_kind(); }, true);
  ask(
      "count_p", "count #p", 1, few, [&](std::size_t) { return filters.all_of_tag('p'); }, true);
}

}  // namespace nostril::bench
