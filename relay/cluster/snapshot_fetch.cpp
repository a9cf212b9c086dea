#include "relay/cluster/snapshot_fetch.h"

#include "base/log.h"
#include "relay/cluster/subjects.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::int64_t kWhoWaitMs = 2'000;
constexpr std::int64_t kOpenWaitMs = 5'000;
constexpr std::int64_t kLookMs = 1'000;  // how far the other relay's copy is
constexpr std::chrono::milliseconds kTick{100};
constexpr unsigned kOpenTriesMax = 3;

}  // namespace

std::string SnapshotProgress::text() const {
  if (from.empty()) return problem.empty() ? "looking for a relay that has a snapshot" : problem;
  if (chunks == 0) return fmt::format("{} makes a snapshot", from);
  std::string out =
      fmt::format("snapshot of {}: {} of {} MiB", from, (chunks - missing) * kChunkBytes >> 20U,
                  chunks * kChunkBytes >> 20U);
  if (!problem.empty()) out += "; " + problem;
  return out;
}

SnapshotFetch::SnapshotFetch(Bus& bus, const ClusterSubjects& subjects, std::filesystem::path data,
                             const Clock& clock, std::function<void()> on_ready,
                             const SnapshotFetchOptions& options)
    : bus_(bus),
      subjects_(subjects),
      data_(std::move(data)),
      clock_(clock),
      on_ready_(std::move(on_ready)),
      options_(options),
      replies_(4 * options.window),
      thread_([this] { run(); }) {}

SnapshotFetch::~SnapshotFetch() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  stopped_.notify_all();
  replies_.close();
  thread_.join();
}

SnapshotProgress SnapshotFetch::progress() const {
  const std::lock_guard lock(mutex_);
  return progress_;
}

bool SnapshotFetch::is_stopping() const {
  const std::lock_guard lock(mutex_);
  return is_stopping_;
}

void SnapshotFetch::pause(std::int64_t ms) {
  std::unique_lock lock(mutex_);
  stopped_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return is_stopping_; });
}

void SnapshotFetch::say(const std::string& problem) {
  const std::lock_guard lock(mutex_);
  if (!problem.empty() && problem != progress_.problem) {
    log(LogLevel::Warning, "cluster: snapshot: {}", public_text(problem));
  }
  progress_.problem = problem;
}

void SnapshotFetch::run() {
  std::int64_t wait_ms = options_.pause_ms_min;
  while (!is_stopping()) {
    const Outcome outcome = attempt();
    if (is_stopping()) return;
    if (outcome == Outcome::Ready) {
      log(LogLevel::Info, "cluster: the snapshot is whole");
      on_ready_();
      return;
    }
    if (outcome == Outcome::OtherRelay) {
      wait_ms = options_.pause_ms_min;
      continue;
    }
    but_.clear();  // who has failed may do better now
    pause(wait_ms);
    wait_ms = std::min(2 * wait_ms, options_.pause_ms_max);
  }
}

SnapshotFetch::Outcome SnapshotFetch::attempt() {
  const auto offer = find_relay();
  if (!offer) return Outcome::Again;
  {
    const std::lock_guard lock(mutex_);
    progress_.from = offer->relay;
    progress_.chunks = progress_.missing = 0;
  }
  const auto header = open_at(offer->relay);
  if (!header) return give_up(offer->relay);
  auto hashes = hashes_from(offer->relay, *header);
  if (!hashes) return give_up(offer->relay);
  auto stage = SnapshotStage::open(data_, *header, std::move(*hashes));
  if (!stage) {
    say(stage.error());
    return Outcome::Again;  // of this machine: another relay's would not help
  }
  {
    const std::lock_guard lock(mutex_);
    progress_.chunks = header->chunks();
    progress_.missing = (*stage)->missing();
    progress_.kept = (*stage)->kept();
  }
  log(LogLevel::Info, "cluster: a snapshot of {} events at {} from {}, {} of {} chunks are here",
      header->events, header->position, public_text(offer->relay), (*stage)->kept(),
      header->chunks());
  const Outcome outcome = fetch_from(offer->relay, **stage);
  if (outcome != Outcome::Ready) return outcome;
  if (auto finished = (*stage)->finish(); !finished) {
    say(finished.error());
    return give_up(offer->relay);
  }
  return Outcome::Ready;
}

SnapshotFetch::Outcome SnapshotFetch::give_up(const std::string& relay) {
  if (is_stopping()) return Outcome::Again;
  log(LogLevel::Warning, "cluster: no snapshot from {}: another relay is asked",
      public_text(relay));
  const std::lock_guard lock(mutex_);
  ++progress_.relays_given_up;
  progress_.from.clear();
  if (but_.size() >= kSnapshotButMax) but_.clear();
  but_.push_back(relay);
  return Outcome::OtherRelay;
}

std::optional<SnapshotOffer> SnapshotFetch::find_relay() {
  const auto reply =
      bus_.request(subjects_.snapshot(),
                   to_json(SnapshotRequest(SnapshotWho{subjects_.relay(), but_})), kWhoWaitMs);
  if (!reply) {
    say("no other relay of the cluster has a snapshot to give: " + reply.error());
    return std::nullopt;
  }
  const auto offer = parse_snapshot_offer(*reply);
  if (!offer) {
    say(fmt::format("an offer that can't be read: {}", to_string(offer.error())));
    return std::nullopt;
  }
  say("");
  return *offer;
}

std::optional<SnapshotHeader> SnapshotFetch::open_at(const std::string& relay) {
  const std::string question = to_json(SnapshotRequest(SnapshotOpen{subjects_.relay()}));
  std::uint64_t rows = 0;
  std::int64_t moved_at_ms = clock_.monotonic_ms();
  unsigned failures = 0;
  while (!is_stopping()) {
    const auto reply = bus_.request(subjects_.snapshot(relay), question, kOpenWaitMs);
    const auto opened = reply ? parse_snapshot_opened(*reply) : failure(CodecError::NotJson);
    if (!opened) {
      say(reply ? std::string(to_string(opened.error())) : reply.error());
      if (++failures == kOpenTriesMax) return std::nullopt;
      pause(kLookMs);
      continue;
    }
    failures = 0;
    if (const auto* header = std::get_if<SnapshotHeader>(&*opened)) return *header;
    if (const auto* refused = std::get_if<SnapshotRefused>(&*opened)) {
      say(relay + ": " + refused->why);
      return std::nullopt;
    }
    const std::uint64_t now_rows = std::get<SnapshotMaking>(*opened).rows;
    if (std::exchange(rows, now_rows) != now_rows) moved_at_ms = clock_.monotonic_ms();
    if (clock_.monotonic_ms() - moved_at_ms > options_.copy_stalls_ms_max) {
      say(relay + ": its copy makes no progress");
      return std::nullopt;
    }
    pause(kLookMs);
  }
  return std::nullopt;
}

std::optional<Bytes> SnapshotFetch::hashes_from(const std::string& relay,
                                                const SnapshotHeader& header) {
  Bytes out;
  const std::uint64_t wanted = header.chunks() * kHashBytes;
  unsigned failures = 0;
  while (out.size() < wanted && !is_stopping()) {
    const SnapshotPiece piece{header.id, SnapshotPiece::Of::Hashes, out.size() / kChunkBytes};
    const auto reply =
        bus_.request(subjects_.snapshot(relay), to_json(SnapshotRequest(piece)), kOpenWaitMs);
    const auto bytes = reply ? parse_piece_reply(as_bytes(*reply))
                             : Result<ByteSpan, std::string>(failure(reply.error()));
    const bool is_right =
        bytes && bytes->size() == std::min<std::uint64_t>(kChunkBytes, wanted - out.size());
    if (is_right) {
      out.insert(out.end(), bytes->begin(), bytes->end());
      failures = 0;
      continue;
    }
    say(relay + ": " + (bytes ? "a piece of another size" : bytes.error()));
    if (++failures == kOpenTriesMax) return std::nullopt;
  }
  if (out.size() < wanted) return std::nullopt;
  return out;
}

SnapshotFetch::Outcome SnapshotFetch::fetch_from(const std::string& relay, SnapshotStage& stage) {
  const std::string inbox = bus_.new_inbox();
  const auto subscription = bus_.subscribe(inbox + ".*", [this](BusMessage&& message) {
    const auto number = number_of(message.subject);
    if (number) (void)replies_.push(Reply{*number, std::move(message.body)});
  });
  asked_.clear();
  next_ = 0;
  const Outcome outcome = fetch_into(stage, subjects_.snapshot(relay), inbox);
  bus_.unsubscribe(subscription);
  (void)replies_.take_all();
  return outcome == Outcome::OtherRelay ? give_up(relay) : outcome;
}

SnapshotFetch::Outcome SnapshotFetch::fetch_into(SnapshotStage& stage, const std::string& subject,
                                                 const std::string& inbox) {
  while (stage.missing() > 0) {
    while (asked_.size() < options_.window && next_ < stage.header().chunks()) {
      if (!stage.has(next_)) {
        if (!ask(stage, subject, inbox, next_)) break;
        asked_.push_back({next_, clock_.monotonic_ms(), 1});
      }
      ++next_;
    }
    const auto replies = replies_.wait_all_for(kTick);
    if (!replies) return Outcome::Again;  // stopping
    for (const Reply& reply : *replies) {
      if (const auto outcome = take(stage, reply)) return *outcome;
    }
    if (!ask_again(stage, subject, inbox)) return Outcome::OtherRelay;
  }
  return Outcome::Ready;
}

bool SnapshotFetch::ask(const SnapshotStage& stage, const std::string& subject,
                        const std::string& inbox, std::uint64_t number) {
  const SnapshotPiece piece{stage.header().id, SnapshotPiece::Of::Chunks, number};
  return bus_.send(subject, to_json(SnapshotRequest(piece)), fmt::format("{}.{}", inbox, number));
}

// Nothing: go on.
std::optional<SnapshotFetch::Outcome> SnapshotFetch::take(SnapshotStage& stage,
                                                          const Reply& reply) {
  const auto asked = std::ranges::find(asked_, reply.number, &Asked::number);
  if (asked == asked_.end()) return std::nullopt;  // it came twice
  const auto bytes = parse_piece_reply(as_bytes(reply.body));
  if (!bytes) {
    say(bytes.error());
    return Outcome::OtherRelay;
  }
  const auto put = stage.put(reply.number, *bytes);
  if (put == SnapshotStage::Put::DiskFailed) {
    say("a chunk can't be written: is the disk full?");
    return Outcome::Again;
  }
  const std::lock_guard lock(mutex_);
  if (put == SnapshotStage::Put::Wrong) {
    ++progress_.wrong;
    return Outcome::OtherRelay;
  }
  asked_.erase(asked);
  progress_.missing = stage.missing();
  return std::nullopt;
}

// False: the relay does not answer. Nobody can while we have no connection.
bool SnapshotFetch::ask_again(const SnapshotStage& stage, const std::string& subject,
                              const std::string& inbox) {
  const std::int64_t now_ms = clock_.monotonic_ms();
  for (Asked& asked : asked_) {
    if (now_ms - asked.at_ms < options_.answer_ms_max) continue;
    asked.at_ms = now_ms;
    if (!bus_.is_connected()) continue;
    if (asked.tries == options_.tries_max) {
      say("the relay does not answer any more");
      return false;
    }
    ++asked.tries;
    (void)ask(stage, subject, inbox, asked.number);
  }
  return true;
}

}  // namespace nostril::relay
