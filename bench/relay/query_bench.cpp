// What does a query cost, by its form? scan/: the store alone, CPU of the thread. relay/: a whole
// nostril-relay in this process and one client over a real socket, one query at a time; CPU of all
// threads but the client's, parsing, thread hops and the socket's system calls included. 20,000
// stored events, or NOSTRIL_BENCH_EVENTS.

#include "base/check.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/rng.h"
#include "events/messages.h"
#include "net/loop.h"
#include "net/url.h"
#include "net/ws_client.h"
#include "net/ws_codec.h"
#include "relay/relay.h"
#include "relay/store/scan.h"
#include "tests/support/temp_dir.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril::relay {

namespace {

constexpr std::int64_t kFirstSecond = 1'700'000'000;
constexpr std::size_t kAuthors = 5000;
constexpr std::size_t kFollows = 500;
constexpr std::size_t kBatch = 512;

std::size_t event_count() {
  const char* wanted = std::getenv("NOSTRIL_BENCH_EVENTS");  // NOLINT(concurrency-mt-unsafe)
  return wanted == nullptr ? 20'000 : std::stoul(wanted);
}

template <typename T>
T random_bytes(std::mt19937_64& random) {
  T out;
  for (auto& byte : out.bytes) byte = static_cast<std::uint8_t>(random());
  return out;
}

PublicKey author(std::size_t number) {
  std::mt19937_64 random(number);
  return random_bytes<PublicKey>(random);
}

// One event a second. Few authors write much: number 0 the most, a tenth of them a third of all.
class EventSource {
 public:
  UnverifiedEvent next() {
    Event event;
    event.pubkey = authors_[skewed()];
    event.created_at = kFirstSecond + static_cast<std::int64_t>(ids_.size());
    event.kind = random_() % 4 == 0 ? 7 : 1;
    const std::size_t recent = std::min<std::size_t>(ids_.size(), 1000);
    if (recent > 0) event.tags.add({"e", encode_hex(ids_[ids_.size() - 1 - random_() % recent])});
    event.tags.add({"p", encode_hex(authors_[skewed()])});
    if (random_() % 4 == 0) event.tags.add({"t", "topic" + std::to_string(random_() % 20)});
    while (event.content.size() < 400) event.content += word();
    event.sig = random_bytes<Signature>(random_);
    event.id = compute_id(event);
    ids_.push_back(event.id);
    auto checked = check_id(std::move(event));
    CHECK(checked.has_value());
    return std::move(*checked);
  }

  std::vector<EventId> ids() && { return std::move(ids_); }

 private:
  std::size_t skewed() {
    const double unit = static_cast<double>(random_() >> 11U) / 0x1p53;
    return static_cast<std::size_t>(unit * unit * kAuthors);
  }

  std::string_view word() {
    static constexpr std::array<std::string_view, 8> kWords = {
        "relay ", "the ", "event\n", "signature ", "\"quoted\" ", "of ", "nostr ", "store "};
    return kWords[random_() % kWords.size()];
  }

  std::mt19937_64 random_{1};
  std::vector<PublicKey> authors_ = [] {
    std::vector<PublicKey> all;
    for (std::size_t i = 0; i < kAuthors; ++i) all.push_back(author(i));
    return all;
  }();
  std::vector<EventId> ids_;
};

double seconds(clockid_t clock) {
  timespec time{};
  CHECK(clock_gettime(clock, &time) == 0);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// A running relay on that store and its one client.
class Served {
 public:
  explicit Served(const std::string& data) : relay_(config(data), clock_, rng_), socket_(loop_) {
    relay_.start();
    net::WsClientCallbacks callbacks;
    callbacks.on_open = [this] { loop_.stop(); };
    callbacks.on_text = [this](std::string_view text) {
      if (text.starts_with("[\"EVENT\"")) {
        ++events_;
      } else if (!text.starts_with("[\"AUTH\"")) {
        CHECK(text.starts_with("[\"EOSE\""));
        loop_.stop();
      }
    };
    callbacks.on_close = [](const net::WsCloseInfo&) { CHECK(false); };
    socket_.connect(*net::parse_url(relay_.listen_url()), std::move(callbacks));
    loop_.run();
  }

  // REQ, EVENTs, EOSE, CLOSE. How many events came.
  std::size_t ask(const Filter& filter) {
    events_ = 0;
    CHECK(socket_.send_text(request_text("q", {filter})));
    loop_.run();
    CHECK(socket_.send_text(close_text("q")));
    return events_;
  }

 private:
  static RelayConfig config(const std::string& data) {
    RelayConfig out;
    out.listen = "127.0.0.1:0";
    out.data = data;
    return out;
  }

  SystemClock clock_;
  SystemRng rng_;
  Relay relay_;
  net::Loop loop_;
  net::WsClient socket_;
  std::size_t events_ = 0;
};

// The same events for all questions. liblmdb opens a file once a process: `store` or `served`.
struct World {
  test::TempDir dir;
  std::vector<EventId> ids;
  std::unique_ptr<Store> store = std::move(*Store::open(dir.path()));
  std::unique_ptr<Served> served;

  World() {
    // Begins OpenSSL now: its clean-up at exit must come after the relay's threads have ended.
    (void)net::ws_accept_key("");
    EventSource source;
    for (std::size_t left = event_count(); left > 0;) {
      std::vector<UnverifiedEvent> events;
      for (; events.size() < kBatch && left > 0; --left) events.push_back(source.next());
      CHECK(store->put_unverified(events, 0).has_value());
    }
    ids = std::move(source).ids();
  }

  Served& serve() {
    store.reset();
    if (!served) served = std::make_unique<Served>(dir.path().string());
    return *served;
  }

  [[nodiscard]] const EventId& id(std::size_t number) const {
    return ids[number * 7919 % ids.size()];
  }

  [[nodiscard]] std::int64_t second(double part) const {
    return kFirstSecond + static_cast<std::int64_t>(part * static_cast<double>(ids.size()));
  }
};

World& world() {
  static World once;
  return once;
}

// --- The questions: the filter of the n-th query.

Filter with(std::uint64_t limit, std::vector<std::uint32_t> kinds = {}) {
  Filter filter;
  filter.limit = limit;
  if (!kinds.empty()) filter.kinds = std::move(kinds);
  return filter;
}

Filter by_ids(std::size_t n, std::size_t count) {
  Filter filter;
  filter.ids.emplace();
  for (std::size_t i = 0; i < count; ++i) filter.ids->push_back(world().id(n * count + i));
  filter.normalize();
  return filter;
}

Filter missing(std::size_t n) {
  Filter filter = by_ids(n, 1);
  filter.ids->front().bytes[31] ^= 1U;
  filter.ids->front().bytes[0] ^= 1U;
  return filter;
}

Filter of_author(std::size_t n) {
  Filter filter = with(20, {1});
  filter.authors = {author(n * 31 % kAuthors)};
  return filter;
}

Filter mentions(std::size_t n) {
  Filter filter = with(50, {1});
  filter.tags.push_back({'p', {encode_hex(author(n * 31 % 200))}});
  return filter;
}

Filter topic(std::size_t n) {
  Filter filter = with(100);
  filter.tags.push_back({'t', {"topic" + std::to_string(n % 20)}});
  return filter;
}

Filter topic_and_mention(std::size_t n) {
  Filter filter = topic(n);
  filter.tags.push_back({'p', {encode_hex(author(n * 31 % 200))}});
  return filter;
}

Filter window(std::size_t n) {
  Filter filter = with(500, {1});
  filter.since = world().second(static_cast<double>(n * 7919 % 997) / 1000);
  filter.until = *filter.since + 130;
  return filter;
}

Filter newest(std::size_t /*n*/) {
  return with(100);
}

Filter feed(std::size_t first_author) {
  Filter filter = with(100, {1});
  filter.authors.emplace();
  for (std::size_t i = 0; i < kFollows; ++i) filter.authors->push_back(author(first_author + i));
  filter.normalize();
  return filter;
}

Filter feed_of_the_busy(std::size_t /*n*/) {
  static const Filter once = feed(0);
  return once;
}

Filter feed_of_the_quiet(std::size_t /*n*/) {
  static const Filter once = feed(kAuthors - kFollows);
  return once;
}

Filter feed_of_the_silent(std::size_t /*n*/) {
  static const Filter once = feed(kAuthors);
  return once;
}

Filter feed_of_the_last_minutes(std::size_t /*n*/) {
  static const Filter once = [] {
    Filter filter = feed(0);
    filter.since = world().second(1) - 100;
    return filter;
  }();
  return once;
}

Filter reactions(std::size_t n) {
  Filter filter = with(500, {7});
  Filter::TagValues wanted{'e', {}};
  for (std::size_t i = 0; i < 50; ++i) wanted.values.push_back(encode_hex(world().id(n * 50 + i)));
  filter.tags.push_back(std::move(wanted));
  filter.normalize();
  return filter;
}

Filter deep_page(std::size_t n) {
  Filter filter = with(100, {1});
  filter.until = world().second(0.01 + static_cast<double>(n % 7) / 1000);
  return filter;
}

Filter deep_page_of_author(std::size_t n) {
  Filter filter = deep_page(n);
  filter.authors = {author(n % 5)};
  return filter;
}

using Question = Filter (*)(std::size_t n);

void count_rows(benchmark::State& state, std::size_t rows) {
  state.counters["events"] = static_cast<double>(rows) /
                             static_cast<double>(std::max<std::int64_t>(state.iterations(), 1));
}

void scan(benchmark::State& state, Question question) {
  Store& store = *world().store;
  ScanBudget budget;
  budget.rows_max = budget.visits_max = SIZE_MAX;
  budget.time_us_max = 1'000'000'000;
  TextBuffer json;
  std::size_t rows = 0;
  std::size_t visits = 0;
  std::size_t n = 0;
  for (auto _ : state) {
    json.clear();
    ReadTxn txn = store.read();
    Scan one(store, {question(n++)}, {});
    const auto step = one.step(txn, budget, [&json](const ScanRow& row) {
      CHECK(append_json(json, row.record));
      return RowAction::Take;
    });
    CHECK(step.has_value() && step->done);
    rows += step->rows;
    visits += step->visits;
  }
  count_rows(state, rows);
  state.counters["visits"] = static_cast<double>(visits) / static_cast<double>(state.iterations());
}

void whole_way(benchmark::State& state, Question question) {
  Served& served = world().serve();
  std::vector<double> elapsed_us;
  std::size_t rows = 0;
  std::size_t n = 0;
  for (auto _ : state) {
    const Filter filter = question(n++);
    const auto start = std::chrono::steady_clock::now();
    const double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - seconds(CLOCK_THREAD_CPUTIME_ID);
    rows += served.ask(filter);
    const double end = seconds(CLOCK_PROCESS_CPUTIME_ID) - seconds(CLOCK_THREAD_CPUTIME_ID);
    state.SetIterationTime(std::max(end - cpu, 1e-9));
    const std::chrono::duration<double, std::micro> passed =
        std::chrono::steady_clock::now() - start;
    elapsed_us.push_back(passed.count());
  }
  const auto middle = elapsed_us.begin() + static_cast<std::ptrdiff_t>(elapsed_us.size() / 2);
  std::nth_element(elapsed_us.begin(), middle, elapsed_us.end());
  state.counters["p50_us"] = *middle;
  count_rows(state, rows);
}

const bool kRegistered = [] {
  constexpr std::array<std::pair<const char*, Question>, 15> kQuestions = {{
      {"by_id", [](std::size_t n) { return by_ids(n, 1); }},
      {"20_ids", [](std::size_t n) { return by_ids(n, 20); }},
      {"missing_id", missing},
      {"author_and_kind", of_author},
      {"mentions", mentions},
      {"topic", topic},
      {"topic_and_mention", topic_and_mention},
      {"kind_in_a_window", window},
      {"newest", newest},
      {"feed_of_500_busy", feed_of_the_busy},
      {"feed_of_500_quiet", feed_of_the_quiet},
      {"feed_of_500_silent", feed_of_the_silent},
      {"feed_of_last_minutes", feed_of_the_last_minutes},
      {"reactions_to_50", reactions},
      {"deep_page", deep_page},
  }};
  for (const auto& [name, question] : kQuestions) {
    benchmark::RegisterBenchmark((std::string("scan/") + name).c_str(), scan, question)
        ->Unit(benchmark::kMicrosecond);
  }
  benchmark::RegisterBenchmark("scan/deep_page_of_author", scan, deep_page_of_author)
      ->Unit(benchmark::kMicrosecond);
  for (const auto& [name, question] : kQuestions) {
    benchmark::RegisterBenchmark((std::string("relay/") + name).c_str(), whole_way, question)
        ->Unit(benchmark::kMicrosecond)
        ->UseManualTime();
  }
  return true;
}();

}  // namespace

}  // namespace nostril::relay
