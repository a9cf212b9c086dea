#include "relay/cluster/snapshot_desk.h"

#include "base/log.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::chrono::milliseconds kTick{1'000};

std::string text_of(const Bytes& bytes) {
  return std::string(as_text(bytes));
}

}  // namespace

SnapshotDesk::SnapshotDesk(SnapshotDeskParts parts) : parts_(std::move(parts)) {
  Snapshot::remove_leftovers(parts_.data);
}

SnapshotDesk::~SnapshotDesk() {
  stop();
}

void SnapshotDesk::start() {
  thread_ = std::thread([this] { run(); });
  const auto take = [this](BusMessage&& message) { (void)queue_.push(std::move(message)); };
  for (const auto& subject :
       {parts_.subjects.snapshot(), parts_.subjects.snapshot(parts_.subjects.relay())}) {
    subscriptions_.push_back(parts_.bus.subscribe(subject, take));
  }
}

void SnapshotDesk::stop() {
  for (const auto& subscription : std::exchange(subscriptions_, {})) {
    parts_.bus.unsubscribe(subscription);
  }
  is_stopping_ = true;
  queue_.close();
  if (thread_.joinable()) thread_.join();
  if (copying_.joinable()) copying_.join();
  const std::lock_guard lock(mutex_);
  snapshot_.reset();
}

void SnapshotDesk::run() {
  while (auto messages = queue_.wait_all_for(kTick)) {
    for (const BusMessage& message : *messages) answer(message);
    drop_when_idle();
  }
}

void SnapshotDesk::answer(const BusMessage& message) {
  if (message.reply.empty()) return;
  const auto request = parse_snapshot_request(message.body);
  if (!request) {
    malformed_.add();
    return;
  }
  const auto reply = std::visit([this](const auto& one) { return answer_to(one); }, *request);
  if (reply) (void)parts_.bus.send(message.reply, *reply);
}

// Who has nothing to give says nothing: the first answer counts.
std::optional<std::string> SnapshotDesk::answer_to(const SnapshotWho& who) {
  const std::string& self = parts_.subjects.relay();
  if (who.relay == self || std::ranges::find(who.but, self) != who.but.end()) return std::nullopt;
  if (!parts_.may_give()) return std::nullopt;
  Store& store = parts_.source.store;
  const auto position = store.stream_position();
  if (!position) return std::nullopt;
  return to_json(SnapshotOffer{self, position->of, position->sequence, store.count()});
}

std::optional<std::string> SnapshotDesk::answer_to(const SnapshotOpen& open) {
  used_at_ms_ = parts_.clock.monotonic_ms();
  {
    const std::lock_guard lock(mutex_);
    if (is_copying_) return to_json(SnapshotOpened(SnapshotMaking{rows_.load()}));
    if (snapshot_ && is_fresh(snapshot_->header())) {
      return to_json(SnapshotOpened(snapshot_->header()));
    }
    if (!problem_.empty()) {
      return to_json(SnapshotOpened(SnapshotRefused{std::exchange(problem_, {})}));
    }
  }
  if (!parts_.may_give()) {
    return to_json(SnapshotOpened(SnapshotRefused{"this relay is not in step with the cluster"}));
  }
  log(LogLevel::Info, "cluster: {} asks for a snapshot", public_text(open.relay));
  begin_copy();
  return to_json(SnapshotOpened(SnapshotMaking{}));
}

std::optional<std::string> SnapshotDesk::answer_to(const SnapshotPiece& piece) {
  std::shared_ptr<const Snapshot> snapshot;
  {
    const std::lock_guard lock(mutex_);
    snapshot = snapshot_;
  }
  if (!snapshot || snapshot->header().id != piece.id) {
    return text_of(piece_refusal("there is no such snapshot here any more"));
  }
  used_at_ms_ = parts_.clock.monotonic_ms();
  const auto bytes = piece.of == SnapshotPiece::Of::Chunks ? snapshot->chunk(piece.number)
                                                           : snapshot->hashes(piece.number);
  if (!bytes) return text_of(piece_refusal("the snapshot has no such piece"));
  chunks_given_.add();
  return text_of(piece_reply(*bytes));
}

bool SnapshotDesk::is_fresh(const SnapshotHeader& header) const {
  return parts_.clock.unix_s() - header.made_at_s < kFreshMs / 1'000 &&
         header.position + 1 >= parts_.stream_first();
}

void SnapshotDesk::begin_copy() {
  if (copying_.joinable()) copying_.join();  // it has ended
  {
    const std::lock_guard lock(mutex_);
    snapshot_.reset();  // its directory is the next one's
    is_copying_ = true;
    rows_ = 0;
  }
  copying_ = std::thread([this] { copy(); });
}

void SnapshotDesk::copy() {
  Snapshot::Source source = parts_.source;
  source.goes_on = [this] { return !is_stopping_.load(); };
  source.progress = [this](std::uint64_t rows) { rows_ = rows; };
  auto made = Snapshot::make(source, parts_.data, parts_.clock.unix_s());
  const std::lock_guard lock(mutex_);
  is_copying_ = false;
  if (made) {
    snapshot_ = std::move(*made);
    made_.add();
    problem_.clear();
    log(LogLevel::Info, "cluster: a snapshot of {} events at {}, {} MiB",
        snapshot_->header().events, snapshot_->header().position,
        snapshot_->header().bytes_in_all() >> 20U);
    return;
  }
  problem_ = made.error();
  log(LogLevel::Error, "cluster: no snapshot was made: {}", public_text(problem_));
}

void SnapshotDesk::drop_when_idle() {
  if (parts_.clock.monotonic_ms() - used_at_ms_ < kKeptMs) return;
  const std::lock_guard lock(mutex_);
  if (!is_copying_) snapshot_.reset();
}

}  // namespace nostril::relay
