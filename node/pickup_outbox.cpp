#include "node/pickup_outbox.h"

#include "base/log.h"
#include "events/event.h"

#include <algorithm>
#include <utility>

namespace nostril::node {

namespace {

using client::JournalChange;
using client::JournalTable;

constexpr std::size_t kIdBytes = 16;
constexpr std::size_t kKeyBytes = kIdBytes + 2;
constexpr std::size_t kExpiryBytes = 8;

template <std::size_t Count>
void put_big_endian(Bytes& out, std::uint64_t value) {
  for (std::size_t i = Count; i > 0; --i) {
    out.push_back(static_cast<std::uint8_t>(value >> (8 * (i - 1))));
  }
}

std::uint64_t read_big_endian(ByteSpan bytes) {
  std::uint64_t value = 0;
  for (const std::uint8_t byte : bytes) value = value << 8U | byte;
  return value;
}

RequestId request_of(ByteSpan key) {
  RequestId id;
  std::ranges::copy(key.first(kIdBytes), id.bytes.begin());
  return id;
}

}  // namespace

PickupOutbox::PickupOutbox(client::Journal& journal, client::RelayPool& pool, net::Loop& loop,
                           Clock& clock, const PickupLimits& limits)
    : journal_(journal), pool_(pool), loop_(loop), clock_(clock), limits_(limits) {
  // Of an earlier run: its clients are away as far as this one can know.
  journal_.scan(JournalTable::StoredFrames, {}, [this](ByteSpan key, ByteSpan row) {
    if (key.size() == kKeyBytes) due_.insert(request_of(key));
    bytes_ += row.size();
    return true;
  });
  timer_ = loop_.every(limits_.again_ms, [this] { send_due(); });
}

PickupOutbox::~PickupOutbox() {
  loop_.cancel(timer_);
}

std::vector<JournalChange> PickupOutbox::rows(const RequestId& request,
                                              const std::vector<Event>& events,
                                              std::int64_t expires_at) {
  std::vector<JournalChange> changes;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < events.size(); ++i) {
    Bytes key(request.bytes.begin(), request.bytes.end());
    put_big_endian<2>(key, i + 1);
    Bytes row;
    put_big_endian<kExpiryBytes>(row, static_cast<std::uint64_t>(expires_at));
    const std::string json = to_json(events[i]);
    row.insert(row.end(), json.begin(), json.end());
    bytes += row.size();
    changes.push_back({JournalTable::StoredFrames, std::move(key), std::move(row)});
  }
  if (bytes_ + bytes > limits_.bytes_max) {
    log(LogLevel::Warning, "no room for an answer to be picked up later: {} bytes wait", bytes_);
    return {};
  }
  bytes_ += bytes;
  return changes;
}

void PickupOutbox::publish(const RequestId& request) {
  due_.insert(request);
  send_due();
}

/// Goes through what is due until enough is under way; the rest follows as relays answer.
void PickupOutbox::send_due() {
  std::vector<std::pair<Bytes, Bytes>> next;
  std::vector<RequestId> done;
  for (const RequestId& request : due_) {
    if (under_way_.size() + next.size() >= limits_.under_way_max) break;
    bool any = false;
    journal_.scan(JournalTable::StoredFrames, request.span(), [&](ByteSpan key, ByteSpan row) {
      if (key.size() != kKeyBytes || request_of(key) != request) return false;
      any = true;
      Bytes owned(key.begin(), key.end());
      if (!under_way_.contains(owned))
        next.emplace_back(std::move(owned), Bytes(row.begin(), row.end()));
      return under_way_.size() + next.size() < limits_.under_way_max;
    });
    if (!any) done.push_back(request);
  }
  for (const RequestId& request : done) due_.erase(request);
  for (const auto& [key, row] : next) send(key, row);
}

void PickupOutbox::send(ByteSpan key, ByteSpan row) {
  const Bytes owned(key.begin(), key.end());
  const auto event = row.size() < kExpiryBytes
                         ? std::nullopt
                         : std::optional(parse_event(as_text(row.subspan(kExpiryBytes))));
  const bool usable =
      event && *event &&
      static_cast<std::int64_t>(read_big_endian(row.first(kExpiryBytes))) > clock_.unix_s();
  under_way_.insert(owned);
  if (!usable) return erase(owned, row.size());
  const bool queued = pool_.publish((*event)->event(),
                                    [this, alive = std::weak_ptr(alive_), owned,
                                     row_bytes = row.size()](const client::PublishResult& result) {
                                      if (!alive.expired())
                                        answered(owned, row_bytes, result.accepted);
                                    });
  if (!queued) under_way_.erase(owned);
}

void PickupOutbox::answered(const Bytes& key, std::size_t row_bytes, bool taken) {
  if (taken) return erase(key, row_bytes);
  under_way_.erase(key);  // again with the timer
}

/// The row is under way until it is gone from the disk: it would be sent again else.
void PickupOutbox::erase(const Bytes& key, std::size_t row_bytes) {
  const bool queued = journal_.commit({{JournalTable::StoredFrames, key, std::nullopt}},
                                      [this, alive = std::weak_ptr(alive_), key](bool) {
                                        if (alive.expired()) return;
                                        under_way_.erase(key);
                                        if (under_way_.empty() && !due_.empty()) send_due();
                                      });
  if (!queued) {
    under_way_.erase(key);
    return;
  }
  bytes_ -= std::min<std::uint64_t>(bytes_, row_bytes);
}

void PickupOutbox::drop(const RequestId& request) {
  std::vector<std::pair<Bytes, std::size_t>> rows;
  journal_.scan(JournalTable::StoredFrames, request.span(), [&](ByteSpan key, ByteSpan row) {
    if (key.size() != kKeyBytes || request_of(key) != request) return false;
    rows.emplace_back(Bytes(key.begin(), key.end()), row.size());
    return true;
  });
  for (const auto& [key, row_bytes] : rows) {
    if (under_way_.insert(key).second) erase(key, row_bytes);
  }
}

}  // namespace nostril::node
