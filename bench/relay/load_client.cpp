// nostril-bench-relay: loads a relay over its real socket and prints a JSON line a round. Works
// with any relay; the CPU is the server process's, all threads, read from /proc. Signing and
// checking happen outside the timed parts. One thread; the client's own CPU is not part of any CPU
// figure, but it shares the machine, so rates and latencies include its competition.

#include "bench/relay/signed_events.h"
#include "events/messages.h"
#include "net/url.h"
#include "net/ws_client.h"

#include <fmt/format.h>

#include <secp256k1.h>
#include <secp256k1_schnorrsig.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace nostril::bench {

namespace {

struct Plan {
  std::string url;
  int server_pid = 0;
  std::size_t rounds = 5;
  std::size_t ingest_events = 8192;  ///< a round
  std::size_t ingest_peers = 64;
  std::size_t in_flight = 32;
  std::size_t subscribers = 200;
  std::size_t hops = 400;         ///< a round, one each kHopGapMs
  std::size_t round_trips = 300;  ///< a round
  std::size_t queries = 100;      ///< a round

  static Plan quick() {
    Plan plan;
    plan.rounds = 1;
    plan.ingest_events = 1024;
    plan.subscribers = 20;
    plan.hops = 20;
    plan.round_trips = 20;
    plan.queries = 5;
    return plan;
  }
};

constexpr std::size_t kAuthors = 64;
constexpr std::size_t kFloorEvents = 256;
constexpr std::uint64_t kHopGapMs = 5;
constexpr std::uint64_t kPhaseMsMax = 60'000;
constexpr std::uint64_t kQueryEvents = 100;
constexpr std::uint32_t kNote = 1;
constexpr std::uint32_t kEphemeral = 21472;

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::int64_t thread_cpu_ns() {
  timespec time{};
  CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// All threads of the process; schedstat counts nanoseconds where /proc/PID/stat counts ticks of 10
/// ms.
std::int64_t process_cpu_ns(int pid) {
  std::int64_t sum = 0;
  for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid))) {
    std::ifstream file(task.path() / "schedstat");
    std::int64_t ran = 0;
    if (!(file >> ran)) throw std::runtime_error("the server's CPU time cannot be read");
    sum += ran;
  }
  return sum;
}

double floor_us(const std::vector<Event>& events) {
  const std::size_t count = std::min(events.size(), kFloorEvents);
  const std::int64_t start = thread_cpu_ns();
  for (std::size_t i = 0; i < count; ++i) {
    secp256k1_xonly_pubkey key;
    CHECK(secp256k1_xonly_pubkey_parse(secp256k1_context_static, &key,
                                       events[i].pubkey.bytes.data()) == 1);
    CHECK(secp256k1_schnorrsig_verify(secp256k1_context_static, events[i].sig.bytes.data(),
                                      events[i].id.bytes.data(), events[i].id.bytes.size(),
                                      &key) == 1);
  }
  return static_cast<double>(thread_cpu_ns() - start) / 1e3 / static_cast<double>(count);
}

/// Latencies of one round.
class Samples {
 public:
  void add(std::int64_t ns) { ns_.push_back(ns); }

  [[nodiscard]] std::size_t count() const { return ns_.size(); }

  [[nodiscard]] double quantile_us(double q) {
    CHECK(!ns_.empty());
    const auto at = static_cast<std::size_t>(q * static_cast<double>(ns_.size() - 1));
    const auto nth = ns_.begin() + static_cast<std::ptrdiff_t>(at);
    std::nth_element(ns_.begin(), nth, ns_.end());
    return static_cast<double>(*nth) / 1e3;
  }

 private:
  std::vector<std::int64_t> ns_;
};

/// The connections, all on one loop. A phase is: set on_message, send, run until done().
class Peers {
 public:
  using OnMessage = std::function<void(std::size_t peer, std::string_view text)>;

  Peers(const Plan& plan, std::size_t count) {
    const auto url = net::parse_url(plan.url);
    if (!url) throw std::runtime_error("not a ws:// URL: " + plan.url);
    for (std::size_t i = 0; i < count; ++i) {
      peers_.push_back(std::make_unique<net::WsClient>(loop_));
      peers_[i]->connect(*url, callbacks(i, count));
    }
    run("connecting");
  }

  OnMessage on_message;

  void send(std::size_t peer, std::string_view text) {
    if (!peers_[peer]->send_text(text)) fail("the client's own queue is full");
  }

  void done() { loop_.stop(); }

  void fail(std::string why) {
    failure_ = std::move(why);
    loop_.stop();
  }

  void run(const char* phase) {
    const auto watchdog = loop_.after(kPhaseMsMax, [this] { fail("no end after a minute"); });
    loop_.run();
    loop_.cancel(watchdog);
    if (!failure_.empty()) throw std::runtime_error(fmt::format("{}: {}", phase, failure_));
  }

  net::Loop& loop() { return loop_; }

 private:
  net::WsClientCallbacks callbacks(std::size_t peer, std::size_t count) {
    net::WsClientCallbacks out;
    out.on_open = [this, count] {
      if (++open_ == count) done();
    };
    out.on_text = [this, peer](std::string_view text) {
      if (on_message) on_message(peer, text);
    };
    out.on_close = [this](const net::WsCloseInfo& info) { fail("closed: " + info.reason); };
    return out;
  }

  net::Loop loop_;
  std::vector<std::unique_ptr<net::WsClient>> peers_;
  std::size_t open_ = 0;
  std::string failure_;
};

class Load {
 public:
  explicit Load(Plan plan)
      : plan_(std::move(plan)),
        source_(kAuthors, std::chrono::duration_cast<std::chrono::seconds>(
                              std::chrono::system_clock::now().time_since_epoch())
                                  .count() -
                              600),
        peers_(plan_, std::max(plan_.ingest_peers, plan_.subscribers + 1)) {}

  void run() {
    for (std::size_t round = 0; round < plan_.rounds; ++round) ingest_round();
    subscribe(kEphemeral);
    subscribe(kNote);
    for (std::size_t round = 0; round < plan_.rounds; ++round) {
      hop_round("hop_ephemeral", kEphemeral);
      hop_round("hop_stored", kNote);
      round_trips();
      queries();
    }
  }

 private:
  void ingest_round() {
    std::vector<Event> events;
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < plan_.ingest_events; ++i) {
      events.push_back(source_.next());
      texts.push_back(publish_text(events.back()));
    }
    const double floor = floor_us(events);
    publish_all("ingest", texts, floor);
    publish_all("duplicates", texts, floor);
  }

  void publish_all(const char* question, const std::vector<std::string>& texts, double floor) {
    std::size_t sent = 0;
    std::size_t answered = 0;
    peers_.on_message = [&](std::size_t peer, std::string_view text) {
      const auto message = parse_relay_message(text, limits_);
      const auto* ok = message ? std::get_if<relay_message::Ok>(&*message) : nullptr;
      if (ok == nullptr || !ok->accepted) return peers_.fail(std::string(text));
      if (sent < texts.size()) peers_.send(peer, texts[sent++]);
      if (++answered == texts.size()) peers_.done();
    };
    const std::int64_t cpu = process_cpu_ns(plan_.server_pid);
    const std::int64_t start = now_ns();
    for (std::size_t i = 0; i < plan_.in_flight * plan_.ingest_peers && sent < texts.size(); ++i) {
      peers_.send(i % plan_.ingest_peers, texts[sent++]);
    }
    peers_.run(question);
    const double wall_s = static_cast<double>(now_ns() - start) / 1e9;
    const auto count = static_cast<double>(texts.size());
    fmt::print("{{\"question\":\"{}\",\"cpu_us\":{:.2f},\"raw_us\":{:.2f},\"per_s\":{:.0f}}}\n",
               question, cpu_us_since(cpu) / count, floor, count / wall_s);
  }

  // Peer i + 1 listens for what names author i, 0 publishes.
  void subscribe(std::uint32_t kind) {
    std::size_t ready = 0;
    peers_.on_message = [&](std::size_t, std::string_view text) {
      if (text.starts_with("[\"EVENT\"")) return;
      if (!text.starts_with("[\"EOSE\"")) return peers_.fail(std::string(text));
      if (++ready == plan_.subscribers) peers_.done();
    };
    for (std::size_t i = 0; i < plan_.subscribers; ++i) {
      Filter filter;
      filter.kinds = {kind};
      filter.limit = 1;
      filter.tags.push_back({'p', {encode_hex(recipient(i))}});
      peers_.send(i + 1, request_text(fmt::format("hop{}", kind), {filter}));
    }
    peers_.run("subscribing");
  }

  void hop_round(const char* question, std::uint32_t kind) {
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < plan_.hops; ++i) {
      texts.push_back(
          publish_text(source_.next_for(kind, recipient(i * 7919 % plan_.subscribers))));
    }
    Samples samples;
    std::size_t sent = 0;
    std::int64_t sent_at = 0;
    peers_.on_message = [&](std::size_t peer, std::string_view text) {
      if (peer == 0) {
        if (text.find(",true,") == std::string_view::npos) peers_.fail(std::string(text));
        return;
      }
      samples.add(now_ns() - sent_at);
      if (samples.count() == texts.size()) peers_.done();
    };
    // One at a time and never two under way: else `sent_at` would be another's.
    const auto timer = peers_.loop().every(kHopGapMs, [&] {
      if (sent == texts.size() || samples.count() < sent) return;
      sent_at = now_ns();
      peers_.send(0, texts[sent++]);
    });
    const std::int64_t cpu = process_cpu_ns(plan_.server_pid);
    peers_.run(question);
    peers_.loop().cancel(timer);
    print_latency(question, samples, cpu);
  }

  // 0 asks peer 1 by an ephemeral event, which answers by one that names author 1: peer 2 hears it.
  void round_trips() {
    std::vector<std::string> requests;
    std::vector<std::string> answers;
    for (std::size_t i = 0; i < plan_.round_trips; ++i) {
      requests.push_back(publish_text(source_.next_for(kEphemeral, recipient(0))));
      answers.push_back(publish_text(source_.next_for(kEphemeral, recipient(1))));
    }
    Samples samples;
    std::int64_t sent_at = now_ns();
    const std::int64_t cpu = process_cpu_ns(plan_.server_pid);
    peers_.on_message = [&](std::size_t peer, std::string_view text) {
      if (!text.starts_with("[\"EVENT\"")) return;
      if (peer == 1) return peers_.send(1, answers[samples.count()]);
      samples.add(now_ns() - sent_at);
      if (samples.count() == requests.size()) return peers_.done();
      sent_at = now_ns();
      peers_.send(0, requests[samples.count()]);
    };
    peers_.send(0, requests[0]);
    peers_.run("round trips");
    print_latency("request_answer", samples, cpu);
  }

  void queries() {
    Samples samples;
    std::uint64_t events = 0;
    std::int64_t sent_at = 0;
    const auto ask = [&] {
      Filter filter;
      filter.kinds = {kNote};
      filter.authors = {source_.author(samples.count())};
      filter.limit = std::min<std::uint64_t>(kQueryEvents, plan_.ingest_events / kAuthors);
      sent_at = now_ns();
      peers_.send(0, request_text("query", {filter}));
    };
    peers_.on_message = [&](std::size_t, std::string_view text) {
      if (text.starts_with("[\"EVENT\"")) {
        ++events;
        return;
      }
      if (text.starts_with("[\"OK\"")) return;  // of the last round trip
      if (!text.starts_with("[\"EOSE\"")) return peers_.fail(std::string(text));
      samples.add(now_ns() - sent_at);
      peers_.send(0, close_text("query"));
      if (samples.count() == plan_.queries) return peers_.done();
      ask();
    };
    const std::int64_t cpu = process_cpu_ns(plan_.server_pid);
    ask();
    peers_.run("queries");
    const double cpu_us = cpu_us_since(cpu) / static_cast<double>(events);
    fmt::print(
        "{{\"question\":\"query\",\"cpu_us\":{:.2f},\"p50_us\":{:.0f},\"p99_us\":{:.0f},"
        "\"events\":{}}}\n",
        cpu_us, samples.quantile_us(0.5), samples.quantile_us(0.99), events / plan_.queries);
  }

  void print_latency(const char* question, Samples& samples, std::int64_t cpu) {
    fmt::print("{{\"question\":\"{}\",\"cpu_us\":{:.2f},\"p50_us\":{:.0f},\"p99_us\":{:.0f}}}\n",
               question, cpu_us_since(cpu) / static_cast<double>(samples.count()),
               samples.quantile_us(0.5), samples.quantile_us(0.99));
  }

  [[nodiscard]] double cpu_us_since(std::int64_t start) const {
    return static_cast<double>(process_cpu_ns(plan_.server_pid) - start) / 1e3;
  }

  static PublicKey recipient(std::size_t index) {
    return PublicKey{sha256("bench recipient " + std::to_string(index)).bytes};
  }

  const Plan plan_;
  const MessageLimits limits_;
  SignedEvents source_;
  Peers peers_;
};

Plan read_arguments(int argc, char** argv) {
  const bool quick = argc == 4 && std::string_view(argv[3]) == "--quick";
  if (argc != 3 && !quick) {
    throw std::runtime_error("usage: nostril-bench-relay ws://HOST:PORT SERVER_PID [--quick]");
  }
  Plan plan = quick ? Plan::quick() : Plan();
  plan.url = argv[1];
  const std::string_view pid = argv[2];
  const auto [end, error] = std::from_chars(pid.begin(), pid.end(), plan.server_pid);
  if (error != std::errc() || end != pid.end() || plan.server_pid <= 0) {
    throw std::runtime_error("SERVER_PID must be a number");
  }
  return plan;
}

}  // namespace

}  // namespace nostril::bench

int main(int argc, char** argv) {
  try {
    nostril::bench::Load(nostril::bench::read_arguments(argc, argv)).run();
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "nostril-bench-relay: {}\n", error.what());
    return 1;
  }
}
