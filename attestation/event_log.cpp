#include "attestation/event_log.h"

#include "attestation/sha384.h"
#include "base/hex.h"

#include <algorithm>
#include <limits>
#include <set>

namespace nostril::attestation {

namespace {

constexpr std::uint32_t kSeparator = 0x00000004;
constexpr std::uint32_t kEfiVariable = 0x80000001;
constexpr std::uint32_t kEfiAction = 0x80000007;
constexpr std::string_view kReady = "system-ready";

bool hashes_payload(std::uint32_t type) {
  return type == kSeparator || type == kEfiVariable || type == kEfiAction;
}

/// Labels dstack 0.6 puts on three events of the firmware; no digest covers them.
bool is_label(std::string_view name) {
  return name.empty() || name == "acpi-loader" || name == "acpi-rsdp" || name == "acpi-tables";
}

bool is_printable_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}

Measurement runtime_digest(std::string_view name, ByteSpan payload, std::int64_t version) {
  if (version == 2) {
    JsonWriter json;
    json.begin_object().key("name").string(name).key("payload").string(encode_hex(payload));
    json.key("type").integer(kRuntimeEventType).end_object();
    return sha384({as_bytes(json.text())});
  }
  constexpr std::array<std::uint8_t, 5> kHead = {0x01, 0x00, 0x00, 0x08, ':'};
  return sha384({kHead, as_bytes(name), as_bytes(":"), payload});
}

/// The digest that name and payload have; nothing when it is of bytes outside the log.
std::optional<Measurement> covered_digest(const RawEvent& raw) {
  if (raw.type == kRuntimeEventType) return runtime_digest(raw.name, raw.payload, raw.version);
  if (hashes_payload(raw.type) && !raw.payload.empty()) return sha384({raw.payload});
  return std::nullopt;
}

std::optional<std::uint32_t> to_uint32(const Json& value) {
  const auto number = value.integer();
  if (!number || *number < 0 || *number > std::numeric_limits<std::uint32_t>::max()) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(*number);
}

bool read_hex(const Json& value, std::size_t bytes_max, Bytes& out) {
  const auto text = value.string();
  if (!text || text->size() > 2 * bytes_max) return false;
  auto bytes = decode_hex(*text);
  if (!bytes) return false;
  out = std::move(*bytes);
  return true;
}

Result<LoggedEvent, EventLogError> read_event(const Json& value) {
  constexpr unsigned kAll = 0x1f;
  RawEvent raw;
  Bytes digest;
  Bytes payload;
  unsigned seen = 0;
  for (const auto& [key, member] : value.members()) {
    bool good = false;
    if (key == "imr" || key == "event_type") {
      const auto number = to_uint32(member);
      good = number.has_value();
      (key == "imr" ? raw.imr : raw.type) = number.value_or(0);
      seen |= key == "imr" ? 1U : 2U;
    } else if (key == "digest") {
      good = read_hex(member, std::tuple_size_v<Measurement>, digest);
      seen |= 4U;
    } else if (key == "event") {
      good = member.is_string();
      raw.name = member.string().value_or("");
      seen |= 8U;
    } else if (key == "event_payload") {
      good = read_hex(member, kEventPayloadBytesMax, payload);
      seen |= 16U;
    } else if (key == "version") {
      raw.version = member.integer().value_or(0);
      good = raw.version == 1 || raw.version == 2;
    }
    if (!good) return failure(EventLogError::Malformed);
  }
  if (seen != kAll) return failure(EventLogError::Malformed);
  raw.digest = digest;
  raw.payload = payload;
  return check_event(raw);
}

/// Takes payloads out of the record; the first that is missing or malformed is remembered.
class Payloads {
 public:
  explicit Payloads(std::vector<const LoggedEvent*> events) : events_(std::move(events)) {}

  [[nodiscard]] const LoggedEvent* find(std::string_view name) const {
    for (const LoggedEvent* event : events_) {
      if (event->name == name) return event;
    }
    return nullptr;
  }

  void take(std::string_view name, std::span<std::uint8_t> out) {
    const LoggedEvent* event = find(name);
    if (event == nullptr) return fail(BootError::Missing);
    if (event->payload.size() != out.size()) return fail(BootError::BadPayload);
    std::copy(event->payload.begin(), event->payload.end(), out.begin());
  }

  void take_optional(std::string_view name, std::optional<Digest>& out) {
    if (find(name) == nullptr) return;
    take(name, out.emplace().bytes);
  }

  /// {"name":…,"id":hex}
  void take_key_provider(BootRecord& out) {
    const LoggedEvent* event = find("key-provider");
    if (event == nullptr) return;
    const auto json = Json::parse(as_text(event->payload));
    const auto name = json ? json->find_string("name") : std::nullopt;
    const auto id = json ? json->find_string("id") : std::nullopt;
    const auto bytes = id ? decode_hex(*id) : std::nullopt;
    if (!name || !bytes || json->members().size() != 2) return fail(BootError::BadPayload);
    out.key_provider = *name;
    out.key_provider_id = *bytes;
  }

  [[nodiscard]] std::optional<BootError> error() const { return error_; }

 private:
  void fail(BootError error) {
    if (!error_) error_ = error;
  }

  std::vector<const LoggedEvent*> events_;
  std::optional<BootError> error_;
};

}  // namespace

std::string_view to_string(EventLogError error) {
  switch (error) {
    case EventLogError::NotJson:
      return "event log is not JSON";
    case EventLogError::TooLarge:
      return "event log too large";
    case EventLogError::TooManyEvents:
      return "too many events";
    case EventLogError::Malformed:
      return "malformed event";
    case EventLogError::WrongRegister:
      return "event of the wrong register";
    case EventLogError::UnknownName:
      return "a name that no digest covers";
    case EventLogError::NoDigest:
      return "event without digest";
    case EventLogError::DigestMismatch:
      return "an event's digest is not that of its content";
  }
  return "unknown";
}

std::string_view to_string(BootError error) {
  switch (error) {
    case BootError::NotReady:
      return "no system-ready";
    case BootError::Missing:
      return "app-id or compose-hash is missing";
    case BootError::Doubled:
      return "an event stands twice before system-ready";
    case BootError::BadPayload:
      return "malformed payload of a boot event";
  }
  return "unknown";
}

Result<LoggedEvent, EventLogError> check_event(const RawEvent& raw) {
  LoggedEvent out;
  const bool runtime = raw.type == kRuntimeEventType;
  if (raw.imr > kRuntimeRegister || runtime != (raw.imr == kRuntimeRegister)) {
    return failure(EventLogError::WrongRegister);
  }
  if (raw.name.size() > kEventNameBytesMax || raw.payload.size() > kEventPayloadBytesMax ||
      (raw.version != 1 && !runtime) || !is_printable_ascii(raw.name) ||
      (!raw.digest.empty() && raw.digest.size() != out.digest.size())) {
    return failure(EventLogError::Malformed);
  }
  if (!runtime && !is_label(raw.name)) return failure(EventLogError::UnknownName);
  const auto covered = covered_digest(raw);
  if (!covered && raw.digest.empty()) return failure(EventLogError::NoDigest);
  if (covered && !raw.digest.empty() &&
      !std::equal(covered->begin(), covered->end(), raw.digest.begin())) {
    return failure(EventLogError::DigestMismatch);
  }
  out.imr = static_cast<std::uint8_t>(raw.imr);
  out.type = raw.type;
  out.digest_given = !raw.digest.empty();
  if (covered) {
    out.digest = *covered;
  } else {
    std::copy(raw.digest.begin(), raw.digest.end(), out.digest.begin());
  }
  if (runtime) {
    out.version = static_cast<std::uint8_t>(raw.version);
    out.name = raw.name;
    out.payload.assign(raw.payload.begin(), raw.payload.end());
  }
  return out;
}

Result<EventLog, EventLogError> read_event_log(const Json& value) {
  if (const auto text = value.string()) return parse_event_log(*text);
  if (!value.is_array()) return failure(EventLogError::Malformed);
  if (value.items().size() > kEventCountMax) return failure(EventLogError::TooManyEvents);
  EventLog out;
  out.reserve(value.items().size());
  for (const Json& item : value.items()) {
    auto event = read_event(item);
    if (!event) return failure(event.error());
    out.push_back(std::move(*event));
  }
  return out;
}

Result<EventLog, EventLogError> parse_event_log(std::string_view json) {
  if (json.size() > kEventLogBytesMax) return failure(EventLogError::TooLarge);
  const auto value = Json::parse(json);
  if (!value) return failure(EventLogError::NotJson);
  if (!value->is_array()) return failure(EventLogError::Malformed);
  return read_event_log(*value);
}

LoggedEvent make_runtime_event(std::string_view name, ByteSpan payload) {
  LoggedEvent out;
  out.imr = kRuntimeRegister;
  out.type = kRuntimeEventType;
  out.digest = runtime_digest(name, payload, 1);
  out.digest_given = true;
  out.name = name;
  out.payload.assign(payload.begin(), payload.end());
  return out;
}

std::string to_json(const EventLog& log) {
  JsonWriter json;
  json.begin_array();
  for (const LoggedEvent& event : log) {
    json.begin_object().key("imr").integer(event.imr).key("event_type").integer(event.type);
    const bool stands_alone = event.digest_given || !event.is_runtime();
    json.key("digest").string(stands_alone ? encode_hex(event.digest) : "");
    json.key("event").string(event.name).key("event_payload").string(encode_hex(event.payload));
    if (event.version != 1) json.key("version").integer(event.version);
    json.end_object();
  }
  json.end_array();
  return std::move(json).take();
}

std::array<Measurement, 4> replay(const EventLog& log) {
  std::array<Measurement, 4> out{};
  for (const LoggedEvent& event : log) {
    Measurement& rtmr = out.at(event.imr);
    rtmr = sha384({rtmr, event.digest});
  }
  return out;
}

Result<BootRecord, BootError> read_boot_record(const EventLog& log) {
  BootRecord out;
  std::vector<const LoggedEvent*> early;
  std::set<std::string_view> names;
  bool ready = false;
  for (const LoggedEvent& event : log) {
    if (!event.is_runtime()) continue;
    out.events.push_back(event.name);
    if (ready) {
      out.late_events.push_back(event.name);
      continue;
    }
    if (!names.insert(event.name).second) return failure(BootError::Doubled);
    early.push_back(&event);
    ready = event.name == kReady;
  }
  if (!ready) return failure(BootError::NotReady);
  Payloads payloads(std::move(early));
  payloads.take("app-id", out.app_id);
  payloads.take("compose-hash", out.compose_hash.bytes);
  payloads.take_optional("os-image-hash", out.os_image_hash);
  payloads.take_key_provider(out);
  if (const LoggedEvent* id = payloads.find("instance-id")) {
    out.instance_id = encode_hex(id->payload);
  }
  if (const auto error = payloads.error()) return failure(*error);
  return out;
}

}  // namespace nostril::attestation
