#include "node/answer_store.h"

#include "base/json.h"
#include "schnorr/aead.h"
#include "schnorr/hash.h"
#include "schnorr/secret.h"

#include <algorithm>
#include <utility>

namespace nostril::node {

namespace {

constexpr std::string_view kLabel = "nostril/answer/1";
constexpr std::size_t kExpiryBytes = 8;
constexpr std::size_t kRowOverheadBytes = 64;  // key, page headers and our own tables, about

using client::JournalChange;
using client::JournalTable;

Bytes key_of(const RequestId& id) {
  return {id.bytes.begin(), id.bytes.end()};
}

SecretBytes<32> body_key(const RequestId& id, ByteSpan request_body) {
  Digest prk = hkdf_extract(id.span(), request_body);
  SecretBytes<32> key;
  hkdf_expand(prk.bytes, as_bytes(kLabel), key.expose_mutable());
  wipe(prk.bytes);
  return key;
}

void append(Bytes& out, ByteSpan bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

Bytes expiry_bytes(std::int64_t expires_at) {
  Bytes out(kExpiryBytes);
  for (std::size_t i = 0; i < kExpiryBytes; ++i) {
    out[i] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(expires_at) >>
                                       (8 * (kExpiryBytes - 1 - i)));
  }
  return out;
}

/// Nothing when the row is damaged.
std::optional<std::int64_t> read_expiry(ByteSpan row) {
  if (row.size() < kExpiryBytes) return std::nullopt;
  std::uint64_t value = 0;
  for (const std::uint8_t byte : row.first(kExpiryBytes)) value = value << 8U | byte;
  return static_cast<std::int64_t>(value);
}

std::string head_line(const StoredAnswer& answer) {
  JsonWriter w;
  w.begin_object();
  w.key("status").integer(answer.head.status);
  w.key("content_type").string(answer.head.content_type);
  w.key("record").raw(to_json(answer.record));
  w.end_object();
  return std::move(w).take() + "\n";
}

std::optional<StoredAnswer> read_head(std::string_view line) {
  const auto head = Json::parse(line);
  if (!head) return std::nullopt;
  const auto status = head->find_integer("status");
  const auto type = head->find_string("content_type");
  const Json* record = head->find("record");
  if (!status || !type || record == nullptr) return std::nullopt;
  auto event = parse_event(record->dump());
  if (!event) return std::nullopt;
  return StoredAnswer{
      {static_cast<std::uint16_t>(*status), std::string(*type)}, event->event(), {}};
}

}  // namespace

AnswerStore::AnswerStore(client::Journal& journal, const AnswerLimits& limits, Clock& clock,
                         Rng& rng)
    : journal_(journal), limits_(limits), clock_(clock), rng_(rng) {
  journal_.scan(JournalTable::Answers, {}, [this](ByteSpan key, ByteSpan value) {
    RequestId id;
    if (key.size() != id.bytes.size()) return true;
    std::ranges::copy(key, id.bytes.begin());
    // A damaged row goes with the next sweep.
    remember(id, {read_expiry(value).value_or(0), value.size(), value.size() > kExpiryBytes});
    return true;
  });
}

void AnswerStore::remember(const RequestId& id, const Row& row) {
  forget(id);
  rows_.emplace(id, row);
  oldest_.emplace(row.expires_at, id);
  if (row.whole) oldest_whole_.emplace(row.expires_at, id);
  bytes_ += row.bytes + kRowOverheadBytes;
}

void AnswerStore::forget(const RequestId& id) {
  const auto found = rows_.find(id);
  if (found == rows_.end()) return;
  const Row& row = found->second;
  oldest_.erase({row.expires_at, id});
  oldest_whole_.erase({row.expires_at, id});
  bytes_ -= row.bytes + kRowOverheadBytes;
  rows_.erase(found);
}

FoundAnswer AnswerStore::find(const RequestId& id, ByteSpan request_body) const {
  using Why = AnswerKept::Why;
  const auto known = rows_.find(id);
  if (known == rows_.end() || known->second.expires_at <= clock_.unix_s()) return Why::Unknown;
  if (!known->second.whole) return Why::NotKept;
  const auto row = journal_.get(JournalTable::Answers, id.span());
  if (!row || row->size() < kExpiryBytes) return Why::NotKept;
  const ByteSpan rest = ByteSpan(*row).subspan(kExpiryBytes);
  const std::size_t line_end = as_text(rest).find('\n');
  if (line_end == std::string_view::npos) return Why::NotKept;
  auto answer = read_head(as_text(rest.first(line_end)));
  const ByteSpan sealed = rest.subspan(line_end + 1);
  if (!answer || sealed.size() < kGcmNonceBytes) return Why::NotKept;
  const auto key = body_key(id, request_body);
  const auto body = aes_256_gcm_open(key.expose(), sealed.first<kGcmNonceBytes>(),
                                     rest.first(line_end), sealed.subspan(kGcmNonceBytes));
  if (!body) return Why::OtherRequest;
  answer->body = as_text(*body);
  return *std::move(answer);
}

std::vector<JournalChange> AnswerStore::put(const RequestId& id, ByteSpan request_body,
                                            const StoredAnswer& answer) {
  const std::string line = head_line(answer);
  std::array<std::uint8_t, kGcmNonceBytes> nonce{};
  rng_.fill(nonce);
  Bytes value;
  value.reserve(line.size() + nonce.size() + answer.body.size() + kAeadTagBytes);
  append(value, as_bytes(line));
  append(value, nonce);
  const auto key = body_key(id, request_body);
  const std::string_view aad = std::string_view(line).substr(0, line.size() - 1);
  aes_256_gcm_seal(value, key.expose(), nonce, as_bytes(aad), as_bytes(answer.body));
  return put_row(id, std::move(value), true);
}

std::vector<JournalChange> AnswerStore::put_charged(const RequestId& id) {
  return put_row(id, {}, false);
}

std::vector<JournalChange> AnswerStore::put_row(const RequestId& id, Bytes value, bool whole) {
  const std::int64_t expires_at = clock_.unix_s() + limits_.kept_s;
  Bytes row = expiry_bytes(expires_at);
  append(row, value);
  remember(id, {expires_at, row.size(), whole});
  std::vector<JournalChange> changes;
  changes.push_back({JournalTable::Answers, key_of(id), std::move(row)});
  make_room(id, changes);
  return changes;
}

/// Bodies go first, then whole rows, the oldest first.
void AnswerStore::make_room(const RequestId& but, std::vector<JournalChange>& changes) {
  while (bytes_ > limits_.bytes_max && !oldest_whole_.empty()) {
    const auto [expires_at, id] = *oldest_whole_.begin();
    if (id == but) break;
    Bytes row = expiry_bytes(expires_at);
    remember(id, {expires_at, row.size(), false});
    changes.push_back({JournalTable::Answers, key_of(id), std::move(row)});
  }
  while (bytes_ > limits_.bytes_max) {
    const RequestId id = oldest_.begin()->second;
    if (id == but) break;
    forget(id);
    changes.push_back({JournalTable::Answers, key_of(id), std::nullopt});
  }
}

std::vector<JournalChange> AnswerStore::expired(std::size_t count_max) {
  std::vector<JournalChange> changes;
  while (!oldest_.empty() && oldest_.begin()->first <= clock_.unix_s() &&
         changes.size() < count_max) {
    const RequestId id = oldest_.begin()->second;
    forget(id);
    changes.push_back({JournalTable::Answers, key_of(id), std::nullopt});
  }
  return changes;
}

}  // namespace nostril::node
