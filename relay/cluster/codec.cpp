#include "relay/cluster/codec.h"

#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "relay/cluster/subjects.h"
#include "relay/management.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::array<std::string_view, 3> kActions = {"status", "drain", "resnapshot"};
constexpr std::array<std::string_view, kRelayStateCount> kStates = {
    "joining", "catching_up", "serving", "away", "draining", "stuck"};
// By ModerationList, from 1 on.
constexpr std::array<std::string_view, 11> kLists = {
    "banned_keys",      "allowed_keys",      "banned_events", "allowed_events", "allowed_kinds",
    "disallowed_kinds", "blocked_addresses", "texts",         "methods",        "roles",
    "member_roles"};
constexpr std::array<std::string_view, 3> kTexts = {"name", "description", "icon"};
constexpr std::size_t kIdBytes = 16;
constexpr std::size_t kVersionBytesMax = 64;
constexpr std::size_t kRulesBytesMax = 64;
constexpr std::size_t kStreamBytesMax = 128;
constexpr std::size_t kItemBytesMax = 96;
constexpr std::size_t kNameBytesMax = ClusterSubjects::kRelayCharsMax;
constexpr std::uint8_t kPiece = 0;
constexpr std::uint8_t kNoPiece = 1;

bool is_relay_name(std::string_view text) {
  return ClusterSubjects::is_name(text, kNameBytesMax);
}

template <std::size_t N>
std::optional<std::size_t> index_of(const std::array<std::string_view, N>& names,
                                    std::string_view name) {
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) return std::nullopt;
  return static_cast<std::size_t>(found - names.begin());
}

// Not in the middle of a character.
std::string note_of(std::string_view text) {
  std::string out = one_line(text);
  if (out.size() <= kNoteBytesMax) return out;
  std::size_t size = kNoteBytesMax;
  while (size > 0 && (static_cast<unsigned char>(out[size]) & 0xC0U) == 0x80U) --size;
  out.resize(size);
  return out;
}

/// Reads the members of one object; the first thing that is wrong sticks.
class MemberReader {
 public:
  explicit MemberReader(const Json& json) : json_(json) {
    if (!json.is_object()) fail(CodecError::BadForm);
  }

  std::string text(std::string_view key, std::size_t bytes_max) {
    const auto value = json_.find_string(key);
    if (!value) return fail(CodecError::BadForm), std::string();
    if (value->size() > bytes_max) return fail(CodecError::OutOfRange), std::string();
    return std::string(*value);
  }

  std::string note(std::string_view key) {
    std::string out = text(key, kNoteBytesMax);
    if (one_line(out) != out) fail(CodecError::BadForm);
    return out;
  }

  std::string name(std::string_view key) {
    std::string out = text(key, kNameBytesMax);
    if (!is_relay_name(out)) fail(CodecError::BadForm);
    return out;
  }

  std::string id(std::string_view key) {
    std::string out = text(key, 2 * kIdBytes);
    if (!is_message_id(out)) fail(CodecError::BadForm);
    return out;
  }

  std::uint64_t count(std::string_view key, std::uint64_t max = INT64_MAX) {
    const auto value = json_.find_integer(key);
    if (!value) return fail(CodecError::BadForm), 0;
    if (*value < 0 || static_cast<std::uint64_t>(*value) > max) {
      return fail(CodecError::OutOfRange), 0;
    }
    return static_cast<std::uint64_t>(*value);
  }

  std::int64_t time(std::string_view key) { return static_cast<std::int64_t>(count(key)); }

  Digest digest(std::string_view key) {
    const auto value = from_hex<Digest>(text(key, 2 * kHashBytes));
    if (!value) fail(CodecError::BadForm);
    return value.value_or(Digest());
  }

  StreamIdentity stream() {
    StreamIdentity out{text("stream", kStreamBytesMax), time("created_ns")};
    const bool is_plain = std::ranges::all_of(
        out.name, [](char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7f; });
    if (!is_plain) fail(CodecError::BadForm);
    return out;
  }

  /// Nothing, with an error, when it is not there or too long.
  std::span<const Json> list(std::string_view key, std::size_t items_max) {
    const Json* value = json_.find(key);
    if (value == nullptr || !value->is_array()) return fail(CodecError::BadForm), NoJson();
    if (value->items().size() > items_max) return fail(CodecError::OutOfRange), NoJson();
    return value->items();
  }

  template <typename Id>
  std::vector<Id> ids(std::string_view key) {
    std::vector<Id> out;
    for (const Json& item : list(key, kErasedMax)) {
      const auto id = from_hex<Id>(item.string().value_or(""));
      if (!id) return fail(CodecError::BadForm), out;
      out.push_back(*id);
    }
    return out;
  }

  /// A member that is true or not there.
  bool is_said(std::string_view key) {
    const Json* value = json_.find(key);
    if (value == nullptr) return false;
    if (value->boolean() != true) fail(CodecError::BadForm);
    return true;
  }

  /// No member but these.
  void only(std::initializer_list<std::string_view> keys) {
    for (const auto& [key, value] : json_.members()) {
      if (std::ranges::find(keys, key) == keys.end()) fail(CodecError::BadForm);
    }
  }

  void fail(CodecError error) {
    if (!error_) error_ = error;
  }

  [[nodiscard]] const Json* find(std::string_view key) const { return json_.find(key); }

  template <typename T>
  Result<T, CodecError> done(T&& value) const {
    if (error_) return failure(*error_);
    return std::forward<T>(value);
  }

  [[nodiscard]] const std::optional<CodecError>& error() const { return error_; }

 private:
  using NoJson = std::span<const Json>;

  const Json& json_;
  std::optional<CodecError> error_;
};

Result<Json, CodecError> parse(std::string_view text, std::size_t bytes_max) {
  if (text.size() > bytes_max) return failure(CodecError::OutOfRange);
  auto json = Json::parse(text, {bytes_max, 6, 8'192});
  if (!json) return failure(CodecError::NotJson);
  return std::move(*json);
}

void put_stream(JsonWriter& w, const StreamIdentity& stream) {
  w.key("stream").string(stream.name).key("created_ns").integer(stream.created_ns);
}

void put_count(JsonWriter& w, std::string_view key, std::uint64_t value) {
  w.key(key).integer(static_cast<std::int64_t>(value));
}

// --- Items of the moderators' lists.

bool is_item(ModerationList list, std::string_view item) {
  constexpr std::size_t kKey = 32;
  constexpr std::size_t kAddress = 16;
  switch (list) {
    case ModerationList::BannedKeys:
    case ModerationList::AllowedKeys:
    case ModerationList::BannedEvents:
    case ModerationList::AllowedEvents:
      return item.size() == kKey;
    case ModerationList::AllowedKinds:
    case ModerationList::DisallowedKinds:
      return item.size() == 4 && item[0] == 0 && item[1] == 0;
    case ModerationList::BlockedAddresses:
      return item.size() == kAddress + 1 && static_cast<unsigned char>(item.back()) <= 128;
    case ModerationList::Texts:
      return index_of(kTexts, item).has_value();
    case ModerationList::Methods:
      return item.size() > kKey && management_method(item.substr(kKey)).has_value();
    case ModerationList::Roles:
      return MemberRole::is_id(item);
    case ModerationList::MemberRoles:
      return item.size() > kKey && MemberRole::is_id(item.substr(kKey));
  }
  return false;
}

std::optional<ModerationChange> change_of(MemberReader& reader) {
  reader.only({"list", "item", "text"});
  const auto list = index_of(kLists, reader.text("list", kNameBytesMax));
  const auto item = decode_hex(reader.text("item", 2 * kItemBytesMax));
  const Json* text = reader.find("text");
  if (!list || !item || text == nullptr) return std::nullopt;
  ModerationChange out{static_cast<ModerationList>(*list + 1), std::string(as_text(*item)), {}};
  if (!is_item(out.list, out.item)) return std::nullopt;
  if (!text->is_null()) out.text = reader.text("text", kModerationTextBytesMax);
  return out;
}

std::vector<ModerationChange> changes_of(MemberReader& reader) {
  std::vector<ModerationChange> out;
  for (const Json& item : reader.list("changes", kModerationChangesMax)) {
    MemberReader one(item);
    auto change = change_of(one);
    if (!change || one.error()) {
      reader.fail(one.error().value_or(CodecError::BadForm));
      return out;
    }
    out.push_back(std::move(*change));
  }
  return out;
}

RelayStatus status_of(MemberReader& reader) {
  RelayStatus out;
  out.relay = reader.name("relay");
  out.version = reader.text("version", kVersionBytesMax);
  const auto state = index_of(kStates, reader.text("state", kNameBytesMax));
  if (!state) reader.fail(CodecError::BadForm);
  out.state = static_cast<RelayState>(state.value_or(0));
  out.note = reader.note("note");
  out.stream = reader.stream();
  out.position = reader.count("position");
  out.stream_last = reader.count("stream_last");
  out.events = reader.count("events");
  out.outbox_events = reader.count("outbox_events");
  out.connections = reader.count("connections");
  out.rules = reader.text("rules", kRulesBytesMax);
  out.started_at_ms = reader.time("started_at_ms");
  for (const std::string* text : {&out.version, &out.rules}) {
    if (one_line(*text) != *text) reader.fail(CodecError::BadForm);
  }
  return out;
}

SnapshotHeader header_of(MemberReader& reader) {
  SnapshotHeader out;
  out.id = reader.id("id");
  out.relay = reader.name("relay");
  out.stream = reader.stream();
  out.position = reader.count("position");
  out.events = reader.count("events");
  out.made_at_s = reader.time("made_at_s");
  out.bytes[0] = reader.count("events_bytes", kSnapshotBytesMax);
  out.bytes[1] = reader.count("moderation_bytes", kSnapshotBytesMax);
  out.hashes_sha256 = reader.digest("hashes_sha256");
  if (out.bytes[0] == 0 || out.bytes[1] == 0) reader.fail(CodecError::OutOfRange);
  return out;
}

}  // namespace

std::string_view to_string(CodecError error) {
  switch (error) {
    case CodecError::NotJson:
      return "not JSON";
    case CodecError::BadForm:
      return "a member is missing, wrong, or not known";
    case CodecError::OutOfRange:
      return "a value is beyond its bound";
  }
  return "unknown";
}

bool is_message_id(std::string_view text) {
  std::array<std::uint8_t, kIdBytes> bytes{};
  return decode_hex(text, bytes);
}

std::string new_message_id(Rng& rng) {
  std::array<std::uint8_t, kIdBytes> bytes{};
  rng.fill(bytes);
  return encode_hex(ByteSpan(bytes));
}

std::string_view name_of(ControlAction action) {
  return kActions[static_cast<std::size_t>(action)];
}

std::string_view name_of(RelayState state) {
  return kStates[static_cast<std::size_t>(state)];
}

// --- Control.

std::string to_json(const ControlRequest& request) {
  JsonWriter w;
  w.begin_object().key("do").string(name_of(request.action)).end_object();
  return std::move(w).take();
}

Result<ControlRequest, CodecError> parse_control_request(std::string_view text) {
  const auto json = parse(text, kControlBytesMax);
  if (!json) return failure(json.error());
  MemberReader reader(*json);
  reader.only({"do"});
  const auto action = index_of(kActions, reader.text("do", kNameBytesMax));
  if (!action) reader.fail(CodecError::BadForm);
  return reader.done(ControlRequest{static_cast<ControlAction>(action.value_or(0))});
}

std::string to_json(const RelayStatus& status) {
  JsonWriter w;
  w.begin_object().key("relay").string(status.relay).key("version").string(status.version);
  w.key("state").string(name_of(status.state)).key("note").string(note_of(status.note));
  put_stream(w, status.stream);
  put_count(w, "position", status.position);
  put_count(w, "stream_last", status.stream_last);
  put_count(w, "lag", status.lag());
  put_count(w, "events", status.events);
  put_count(w, "outbox_events", status.outbox_events);
  put_count(w, "connections", status.connections);
  w.key("rules").string(status.rules).key("started_at_ms").integer(status.started_at_ms);
  w.end_object();
  return std::move(w).take();
}

std::string to_json(const ControlReply& reply) {
  JsonWriter w;
  w.begin_object().key("relay").string(reply.relay);
  if (reply.outcome) {
    w.key("status").raw(to_json(*reply.outcome));
  } else {
    w.key("error").string(note_of(reply.outcome.error()));
  }
  w.end_object();
  return std::move(w).take();
}

Result<ControlReply, CodecError> parse_control_reply(std::string_view text) {
  const auto json = parse(text, kControlBytesMax);
  if (!json) return failure(json.error());
  MemberReader reader(*json);
  ControlReply out{reader.name("relay"), failure(std::string())};
  const Json* status = reader.find("status");
  if (status == nullptr) {
    out.outcome = failure(reader.note("error"));
    return reader.done(std::move(out));
  }
  MemberReader inner(*status);
  out.outcome = status_of(inner);
  if (inner.error()) return failure(*inner.error());
  if (out.outcome->relay != out.relay) reader.fail(CodecError::BadForm);
  return reader.done(std::move(out));
}

// --- Moderation.

std::string to_json(const ModerationMessage& message) {
  JsonWriter w;
  w.begin_object().key("id").string(message.id).key("relay").string(message.relay);
  w.key("decided_at").integer(message.decided_at_s);
  w.key("changes").begin_array();
  for (const ModerationChange& change : message.changes) {
    w.begin_object().key("list").string(kLists[static_cast<std::size_t>(change.list) - 1]);
    w.key("item").string(encode_hex(as_bytes(change.item)));
    w.key("text");
    change.text ? (void)w.string(*change.text) : (void)w.null();
    w.end_object();
  }
  w.end_array().key("erase_authors").begin_array();
  for (const PublicKey& author : message.erased_authors) w.string(encode_hex(author));
  w.end_array().key("erase_ids").begin_array();
  for (const EventId& id : message.erased_ids) w.string(encode_hex(id));
  w.end_array();
  if (message.is_again) w.key("again").boolean(true);
  w.end_object();
  return std::move(w).take();
}

Result<ModerationMessage, CodecError> parse_moderation(std::string_view text) {
  const auto json = parse(text, kModerationBytesMax);
  if (!json) return failure(json.error());
  MemberReader reader(*json);
  reader.only({"id", "relay", "decided_at", "changes", "erase_authors", "erase_ids", "again"});
  ModerationMessage out;
  out.id = reader.id("id");
  out.relay = reader.name("relay");
  out.decided_at_s = reader.time("decided_at");
  out.changes = changes_of(reader);
  out.erased_authors = reader.ids<PublicKey>("erase_authors");
  out.erased_ids = reader.ids<EventId>("erase_ids");
  out.is_again = reader.is_said("again");
  return reader.done(std::move(out));
}

// --- Snapshots.

namespace {

std::string json_of(const SnapshotWho& request) {
  JsonWriter w;
  w.begin_object().key("do").string("who").key("relay").string(request.relay);
  w.key("but").begin_array();
  for (const std::string& name : request.but) w.string(name);
  w.end_array().end_object();
  return std::move(w).take();
}

std::string json_of(const SnapshotOpen& request) {
  JsonWriter w;
  w.begin_object().key("do").string("open").key("relay").string(request.relay).end_object();
  return std::move(w).take();
}

std::string json_of(const SnapshotPiece& request) {
  JsonWriter w;
  w.begin_object();
  w.key("do").string(request.of == SnapshotPiece::Of::Hashes ? "hashes" : "chunk");
  w.key("id").string(request.id);
  put_count(w, "number", request.number);
  w.end_object();
  return std::move(w).take();
}

std::string json_of(const SnapshotMaking& making) {
  JsonWriter w;
  w.begin_object().key("is").string("making");
  put_count(w, "rows", making.rows);
  w.end_object();
  return std::move(w).take();
}

std::string json_of(const SnapshotRefused& refused) {
  JsonWriter w;
  w.begin_object().key("is").string("refused").key("why").string(note_of(refused.why));
  w.end_object();
  return std::move(w).take();
}

std::string json_of(const SnapshotHeader& header) {
  JsonWriter w;
  w.begin_object().key("is").string("ready").key("id").string(header.id);
  w.key("relay").string(header.relay);
  put_stream(w, header.stream);
  put_count(w, "position", header.position);
  put_count(w, "events", header.events);
  w.key("made_at_s").integer(header.made_at_s);
  put_count(w, "events_bytes", header.bytes[0]);
  put_count(w, "moderation_bytes", header.bytes[1]);
  w.key("hashes_sha256").string(encode_hex(header.hashes_sha256));
  w.end_object();
  return std::move(w).take();
}

SnapshotWho who_of(MemberReader& reader) {
  reader.only({"do", "relay", "but"});
  SnapshotWho out;
  out.relay = reader.name("relay");
  for (const Json& item : reader.list("but", kSnapshotButMax)) {
    const auto name = item.string();
    if (!name || !is_relay_name(*name)) {
      reader.fail(CodecError::BadForm);
      break;
    }
    out.but.emplace_back(*name);
  }
  return out;
}

SnapshotPiece piece_of(MemberReader& reader, SnapshotPiece::Of of) {
  reader.only({"do", "id", "number"});
  return {reader.id("id"), of, reader.count("number", kSnapshotBytesMax / kChunkBytes + 1)};
}

}  // namespace

std::string to_json(const SnapshotRequest& request) {
  return std::visit([](const auto& one) { return json_of(one); }, request);
}

Result<SnapshotRequest, CodecError> parse_snapshot_request(std::string_view text) {
  const auto json = parse(text, kControlBytesMax + kSnapshotButMax * (kNameBytesMax + 4));
  if (!json) return failure(json.error());
  MemberReader reader(*json);
  const std::string what = reader.text("do", kNameBytesMax);
  if (what == "who") return reader.done(SnapshotRequest(who_of(reader)));
  if (what == "open") {
    reader.only({"do", "relay"});
    return reader.done(SnapshotRequest(SnapshotOpen{reader.name("relay")}));
  }
  if (what == "hashes" || what == "chunk") {
    const auto of = what == "chunk" ? SnapshotPiece::Of::Chunks : SnapshotPiece::Of::Hashes;
    return reader.done(SnapshotRequest(piece_of(reader, of)));
  }
  return failure(reader.error().value_or(CodecError::BadForm));
}

std::string to_json(const SnapshotOffer& offer) {
  JsonWriter w;
  w.begin_object().key("relay").string(offer.relay);
  put_stream(w, offer.stream);
  put_count(w, "position", offer.position);
  put_count(w, "events", offer.events);
  w.end_object();
  return std::move(w).take();
}

Result<SnapshotOffer, CodecError> parse_snapshot_offer(std::string_view text) {
  const auto json = parse(text, kControlBytesMax);
  if (!json) return failure(json.error());
  MemberReader reader(*json);
  SnapshotOffer out{reader.name("relay"), reader.stream(), reader.count("position"),
                    reader.count("events")};
  return reader.done(std::move(out));
}

std::string to_json(const SnapshotOpened& opened) {
  return std::visit([](const auto& one) { return json_of(one); }, opened);
}

Result<SnapshotOpened, CodecError> parse_snapshot_opened(std::string_view text) {
  const auto json = parse(text, kControlBytesMax);
  if (!json) return failure(json.error());
  MemberReader reader(*json);
  const std::string what = reader.text("is", kNameBytesMax);
  if (what == "making") return reader.done(SnapshotOpened(SnapshotMaking{reader.count("rows")}));
  if (what == "refused") return reader.done(SnapshotOpened(SnapshotRefused{reader.note("why")}));
  if (what == "ready") return reader.done(SnapshotOpened(header_of(reader)));
  return failure(reader.error().value_or(CodecError::BadForm));
}

Bytes piece_reply(ByteSpan piece) {
  Bytes out;
  out.reserve(piece.size() + 1);
  out.push_back(kPiece);
  out.insert(out.end(), piece.begin(), piece.end());
  return out;
}

Bytes piece_refusal(std::string_view why) {
  const std::string note = note_of(why);
  Bytes out = {kNoPiece};
  out.insert(out.end(), note.begin(), note.end());
  return out;
}

Result<ByteSpan, std::string> parse_piece_reply(ByteSpan reply) {
  if (reply.empty() || reply.size() > kChunkBytes + 1 || reply.front() > kNoPiece) {
    return failure(std::string("an answer that is no piece of a snapshot"));
  }
  const ByteSpan rest = reply.subspan(1);
  if (reply.front() == kNoPiece) return failure(note_of(as_text(rest)));
  return rest;
}

}  // namespace nostril::relay
