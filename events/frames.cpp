#include "events/frames.h"

#include "base/base64.h"
#include "base/check.h"
#include "base/hex.h"
#include "base/json.h"
#include "events/kinds.h"

#include <algorithm>
#include <array>
#include <utility>

namespace nostril {

namespace {

constexpr std::size_t kHeadersMax = 16;
constexpr std::size_t kHeaderNameBytesMax = 64;
constexpr std::size_t kHeaderValueBytesMax = 256;
constexpr std::size_t kHeaderBytesMax = 1024;  // of all headers of one frame
constexpr std::size_t kPathBytesMax = 256;
constexpr std::size_t kFeaturesMax = 16;
constexpr std::size_t kFeatureBytesMax = 32;
constexpr std::size_t kMessageBytesMax = 512;
constexpr std::uint64_t kRetryAfterMsMax = 86'400'000;
constexpr std::size_t kContentTypeBytesMax = 128;
constexpr std::size_t kEventJsonBytesMax = 6144;

constexpr std::array<std::string_view, 13> kTypeNames = {
    "open",   "accept", "data",         "progress", "ack",   "credit", "checkpoint",
    "cancel", "resume", "need-receipt", "receipt",  "error", "end"};
static_assert(kTypeNames.size() == std::variant_size_v<Frame>);

constexpr std::array<std::string_view, 3> kStageNames = {"queued", "prefill", "generating"};

struct CodeRow {
  std::string_view name;
  ErrorCodeInfo info;
};

constexpr std::array<CodeRow, kErrorCodeCount> kCodes = {{
    {"bad-request", {400, false}},
    {"not-found", {404, false}},
    {"too-large", {413, false}},
    {"unknown-offer", {404, false}},
    {"key-expired", {409, true}},
    {"payment-required", {402, false}},
    {"bad-receipt", {402, false}},
    {"busy", {503, true}},
    {"rate-limited", {429, true}},
    {"timeout", {504, true}},
    {"engine-died", {502, true}},
    {"engine-refused", {400, false}},
    {"protocol", {400, false}},
    {"internal", {500, true}},
}};

/// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(ByteSpan bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const std::uint8_t lead = bytes[at];
    if (lead < 0x80) {
      ++at;
      continue;
    }
    const std::size_t more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4 || at + more >= bytes.size()) return false;
    const std::uint8_t second = bytes[at + 1];
    const std::uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const std::uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (second < low || second > high) return false;
    for (std::size_t index = 2; index <= more; ++index) {
      if ((bytes[at + index] & 0xC0) != 0x80) return false;
    }
    at += more + 1;
  }
  return true;
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

bool is_header_name(std::string_view name) {
  return !name.empty() && name.size() <= kHeaderNameBytesMax &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

bool is_header(const Header& header) {
  return is_header_name(header.name) && header.value.size() <= kHeaderValueBytesMax &&
         is_printable(header.value);
}

bool is_request_line(std::string_view method, std::string_view path) {
  return !method.empty() && method.size() <= 8 &&
         std::ranges::all_of(method, [](char c) { return c >= 'A' && c <= 'Z'; }) &&
         path.starts_with('/') && path.size() <= kPathBytesMax && is_printable(path);
}

std::size_t escaped_size(ByteSpan bytes) {
  std::size_t size = 2;
  for (const std::uint8_t byte : bytes) {
    if (byte == '"' || byte == '\\') {
      size += 2;
    } else if (byte >= 0x20) {
      size += 1;
    } else {
      const bool is_short =
          byte == '\n' || byte == '\r' || byte == '\t' || byte == '\b' || byte == '\f';
      size += is_short ? 2 : 6;
    }
  }
  return size;
}

// ---- Writing ------------------------------------------------------------------------------------

void put_u64(JsonWriter& w, std::string_view key, std::uint64_t value) {
  CHECK(value <= kFrameIntegerMax);
  w.key(key).integer(static_cast<std::int64_t>(value));
}

/// As text when it is shorter so, else in base64: "<key>" or "<key>64".
void put_bytes(JsonWriter& w, std::string_view text_key, std::string_view base64_key,
               ByteSpan bytes) {
  if (is_utf8(bytes) && escaped_size(bytes) <= (bytes.size() + 2) / 3 * 4 + 2 + 8) {
    w.key(text_key).string(as_text(bytes));
  } else {
    w.key(base64_key).string(encode_base64(bytes));
  }
}

void put_strings(JsonWriter& w, std::string_view key, const std::vector<std::string>& values) {
  w.key(key).begin_array();
  for (const std::string& value : values) w.string(value);
  w.end_array();
}

void put_usage(JsonWriter& w, const Usage& usage) {
  put_u64(w, "input", usage.input);
  put_u64(w, "cached", usage.cached);
  put_u64(w, "output", usage.output);
}

void put_arrived(JsonWriter& w, std::uint64_t upto, const std::vector<FrameRange>& missing,
                 std::uint64_t credit) {
  put_u64(w, "upto", upto);
  w.key("missing").begin_array();
  for (const FrameRange& range : missing) {
    w.begin_array()
        .integer(static_cast<std::int64_t>(range.first))
        .integer(static_cast<std::int64_t>(range.last))
        .end_array();
  }
  w.end_array();
  put_u64(w, "credit", credit);
}

void write(JsonWriter& w, const OpenFrame& frame) {
  w.key("request").string(encode_hex(frame.request));
  w.key("offer").string(encode_hex(frame.offer));
  w.key("attestation").string(encode_hex(frame.attestation));
  w.key("method").string(frame.method);
  w.key("path").string(frame.path);
  w.key("headers").begin_array();
  for (const Header& header : frame.headers) {
    w.begin_array().string(header.name).string(header.value).end_array();
  }
  w.end_array();
  put_u64(w, "body_bytes", frame.body_bytes);
  put_bytes(w, "body", "body64", frame.body);
  w.key("durable").boolean(frame.durable);
  put_strings(w, "features", frame.features);
  if (frame.payment) {
    w.key("signer").string(encode_hex(frame.payment->signer));
    w.key("salt").string(encode_hex(frame.payment->salt));
    if (frame.payment->payer) w.key("payer").string(encode_hex(*frame.payment->payer));
  }
  put_u64(w, "credit", frame.credit);
}

void write(JsonWriter& w, const AcceptFrame& frame) {
  w.key("request").string(encode_hex(frame.request));
  w.key("session").string(encode_hex(frame.session_key));
  put_strings(w, "features", frame.features);
  put_u64(w, "queue", frame.queue);
  put_u64(w, "credit", frame.credit);
  if (frame.resync) {
    w.key("record").raw(to_json(frame.resync->record));
    w.key("receipt").raw(to_json(frame.resync->receipt));
    w.key("previous").string(encode_hex(frame.resync->previous_hash));
  }
}

void write(JsonWriter& w, const DataFrame& frame) {
  if (frame.head) {
    put_u64(w, "status", frame.head->status);
    w.key("type").string(frame.head->content_type);
  }
  if (frame.zstd) {
    w.key("zstd").string(encode_base64(frame.bytes));
  } else {
    put_bytes(w, "text", "base64", frame.bytes);
  }
}

void write(JsonWriter& w, const ProgressFrame& frame) {
  w.key("stage").string(kStageNames[static_cast<std::size_t>(frame.stage)]);
  put_u64(w, "position", frame.position);
}

void write(JsonWriter& w, const AckFrame& frame) {
  put_arrived(w, frame.upto, frame.missing, frame.credit);
  if (frame.ask) w.key("ask").boolean(true);
}

void write(JsonWriter& w, const CreditFrame& frame) {
  put_u64(w, "credit", frame.credit);
}

void write(JsonWriter& w, const CheckpointFrame& frame) {
  put_u64(w, "bytes", frame.bytes);
  w.key("hash").string(encode_hex(frame.response_hash));
  put_usage(w, frame.usage);
}

void write(JsonWriter& w, const CancelFrame& frame) {
  w.key("reason").string(frame.reason);
}

void write(JsonWriter& w, const ResumeFrame& frame) {
  put_arrived(w, frame.upto, frame.missing, frame.credit);
}

void write(JsonWriter& w, const NeedReceiptFrame& frame) {
  w.key("record").raw(to_json(frame.record));
}

void write(JsonWriter& w, const ReceiptFrame& frame) {
  w.key("receipt").raw(to_json(frame.receipt));
}

void write(JsonWriter& w, const ErrorFrame& frame) {
  w.key("code").string(to_string(frame.code));
  w.key("retryable").boolean(frame.retryable);
  put_u64(w, "retry_after_ms", frame.retry_after_ms);
  w.key("message").string(frame.message);
  w.key("final").boolean(frame.final);
}

void write(JsonWriter& w, const EndFrame& frame) {
  w.key("record").raw(to_json(frame.record));
}

// ---- Reading ------------------------------------------------------------------------------------

/// Reads members; the first failure is kept and looked at once, at the end.
class FrameReader {
 public:
  explicit FrameReader(const Json& object) : object_(object) {}

  [[nodiscard]] const std::optional<FrameError>& error() const { return error_; }

  void fail(FrameError error) {
    if (!error_) error_ = error;
  }

  std::string_view text(std::string_view key, std::size_t bytes_max) {
    const Json* member = require(key);
    if (member == nullptr) return {};
    const auto value = member->string();
    if (!value || value->size() > bytes_max) {
      fail(FrameError::BadField);
      return {};
    }
    return *value;
  }

  std::uint64_t number(std::string_view key, std::uint64_t max = kFrameIntegerMax) {
    const Json* member = require(key);
    return member == nullptr ? 0 : as_number(*member, max);
  }

  bool boolean(std::string_view key) {
    const Json* member = require(key);
    if (member == nullptr) return false;
    if (!member->boolean()) fail(FrameError::BadField);
    return member->boolean().value_or(false);
  }

  bool flag(std::string_view key) { return object_.find(key) != nullptr && boolean(key); }

  template <typename T>
  T fixed(std::string_view key) {
    const auto value = from_hex<T>(text(key, T::kSize * 2));
    if (!value) fail(FrameError::BadField);
    return value.value_or(T{});
  }

  Bytes bytes(std::string_view text_key, std::string_view base64_key, std::size_t bytes_max) {
    const bool is_text = object_.find(text_key) != nullptr;
    if (is_text && object_.find(base64_key) != nullptr) fail(FrameError::BadField);
    Bytes out;
    if (is_text) {
      const ByteSpan span = as_bytes(text(text_key, bytes_max));
      out.assign(span.begin(), span.end());
    } else {
      out = base64(base64_key, bytes_max);
    }
    if (out.size() > bytes_max) fail(FrameError::BadField);
    return out;
  }

  Bytes base64(std::string_view key, std::size_t bytes_max) {
    auto decoded = decode_base64(text(key, kFrameTextBytesMax));
    if (!decoded || decoded->size() > bytes_max) {
      fail(FrameError::BadField);
      return {};
    }
    return *std::move(decoded);
  }

  std::span<const Json> array(std::string_view key, std::size_t count_max) {
    const Json* member = require(key);
    if (member == nullptr) return {};
    if (!member->is_array() || member->items().size() > count_max) {
      fail(FrameError::BadField);
      return {};
    }
    return member->items();
  }

  std::vector<std::string> strings(std::string_view key) {
    std::vector<std::string> out;
    for (const Json& item : array(key, kFeaturesMax)) {
      const auto value = item.string();
      if (!value || value->empty() || value->size() > kFeatureBytesMax) {
        fail(FrameError::BadField);
        break;
      }
      out.emplace_back(*value);
    }
    return out;
  }

  Usage usage() {
    Usage usage;
    usage.input = number("input", InferenceLimits::kTokensMax);
    usage.cached = number("cached", usage.input);
    usage.output = number("output", InferenceLimits::kTokensMax);
    return usage;
  }

  std::vector<FrameRange> ranges(std::string_view key) {
    std::vector<FrameRange> out;
    for (const Json& item : array(key, kAckRangesMax)) {
      if (!item.is_array() || item.items().size() != 2) {
        fail(FrameError::BadField);
        break;
      }
      const FrameRange range{as_number(item.items()[0], kFrameIntegerMax),
                             as_number(item.items()[1], kFrameIntegerMax)};
      if (range.first > range.last || (!out.empty() && range.first <= out.back().last)) {
        fail(FrameError::BadField);
        break;
      }
      out.push_back(range);
    }
    return out;
  }

  Event event(std::string_view key, std::uint32_t kind) {
    const Json* member = require(key);
    if (member == nullptr) return {};
    const auto parsed =
        parse_event(member->dump(), EventLimits{.json_bytes_max = kEventJsonBytesMax});
    if (!parsed || parsed->event().kind != kind) {
      fail(FrameError::BadField);
      return {};
    }
    return parsed->event();
  }

  [[nodiscard]] bool has(std::string_view key) const { return object_.find(key) != nullptr; }

 private:
  const Json* require(std::string_view key) {
    const Json* member = object_.find(key);
    if (member == nullptr) fail(FrameError::MissingField);
    return member;
  }

  std::uint64_t as_number(const Json& value, std::uint64_t max) {
    const auto number = value.integer();
    if (!number || *number < 0 || static_cast<std::uint64_t>(*number) > max) {
      fail(FrameError::BadField);
      return 0;
    }
    return static_cast<std::uint64_t>(*number);
  }

  const Json& object_;
  std::optional<FrameError> error_;
};

Frame read_open(FrameReader& r) {
  OpenFrame frame;
  frame.request = r.fixed<RequestId>("request");
  frame.offer = r.fixed<EventId>("offer");
  frame.attestation = r.fixed<Digest>("attestation");
  frame.method = r.text("method", 8);
  frame.path = r.text("path", kPathBytesMax);
  for (const Json& item : r.array("headers", kHeadersMax)) {
    const auto parts = item.items();
    const auto name = parts.size() == 2 ? parts[0].string() : std::nullopt;
    const auto value = parts.size() == 2 ? parts[1].string() : std::nullopt;
    if (!name || !value || !is_header({std::string(*name), std::string(*value)})) {
      r.fail(FrameError::BadField);
      break;
    }
    frame.headers.push_back({std::string(*name), std::string(*value)});
  }
  frame.body_bytes = r.number("body_bytes");
  frame.body = r.bytes("body", "body64", kOpenBodyBytesMax);
  frame.durable = r.boolean("durable");
  frame.features = r.strings("features");
  if (r.has("signer") || r.has("salt")) {
    PaymentTerms payment;
    payment.signer = r.fixed<PublicKey>("signer");
    payment.salt = r.fixed<RequestId>("salt").bytes;
    if (r.has("payer")) payment.payer = r.fixed<EthereumAddress>("payer");
    frame.payment = payment;
  }
  frame.credit = r.number("credit");
  if (!is_sendable(frame)) r.fail(FrameError::BadField);
  return frame;
}

Frame read_accept(FrameReader& r) {
  AcceptFrame frame;
  frame.request = r.fixed<RequestId>("request");
  frame.session_key = r.fixed<PublicKey>("session");
  frame.features = r.strings("features");
  frame.queue = r.number("queue");
  frame.credit = r.number("credit");
  if (r.has("record") || r.has("receipt") || r.has("previous")) {
    frame.resync = ChannelResync{.record = r.event("record", kinds::kRecord),
                                 .receipt = r.event("receipt", kinds::kReceipt),
                                 .previous_hash = r.fixed<Digest>("previous")};
  }
  return frame;
}

Frame read_data(FrameReader& r) {
  DataFrame frame;
  if (r.has("status") || r.has("type")) {
    ResponseHead head;
    head.status = static_cast<std::uint16_t>(r.number("status", 599));
    head.content_type = r.text("type", kContentTypeBytesMax);
    if (head.status < 200 || !is_printable(head.content_type)) r.fail(FrameError::BadField);
    frame.head = head;
  }
  frame.zstd = r.has("zstd");
  if (!frame.zstd) {
    frame.bytes = r.bytes("text", "base64", kFrameDataBytesMax);
    return frame;
  }
  if (r.has("text") || r.has("base64")) r.fail(FrameError::BadField);
  frame.bytes = r.base64("zstd", kFrameZstdBytesMax);
  if (frame.bytes.empty()) r.fail(FrameError::BadField);
  return frame;
}

Frame read_progress(FrameReader& r) {
  ProgressFrame frame;
  const std::string_view stage = r.text("stage", 16);
  const auto* const found = std::ranges::find(kStageNames, stage);
  if (found == kStageNames.end()) {
    r.fail(FrameError::BadField);
  } else {
    frame.stage = static_cast<ProgressStage>(found - kStageNames.begin());
  }
  frame.position = r.number("position");
  return frame;
}

Frame read_ack(FrameReader& r) {
  AckFrame frame;
  frame.upto = r.number("upto");
  frame.missing = r.ranges("missing");
  frame.credit = r.number("credit");
  frame.ask = r.flag("ask");
  return frame;
}

Frame read_resume(FrameReader& r) {
  ResumeFrame frame;
  frame.upto = r.number("upto");
  frame.missing = r.ranges("missing");
  frame.credit = r.number("credit");
  return frame;
}

Frame read_checkpoint(FrameReader& r) {
  CheckpointFrame frame;
  frame.bytes = r.number("bytes");
  frame.response_hash = r.fixed<Digest>("hash");
  frame.usage = r.usage();
  return frame;
}

Frame read_error(FrameReader& r) {
  ErrorFrame frame;
  const auto code = parse_error_code(r.text("code", 32));
  if (!code) r.fail(FrameError::BadField);
  frame.code = code.value_or(ErrorCode::Internal);
  frame.retryable = r.boolean("retryable");
  frame.retry_after_ms = r.number("retry_after_ms", kRetryAfterMsMax);
  frame.message = r.text("message", kMessageBytesMax);
  frame.final = r.boolean("final");
  return frame;
}

std::optional<Frame> read_body(FrameReader& r, std::size_t type) {
  switch (type) {
    case 0:
      return read_open(r);
    case 1:
      return read_accept(r);
    case 2:
      return read_data(r);
    case 3:
      return read_progress(r);
    case 4:
      return read_ack(r);
    case 5:
      return CreditFrame{.credit = r.number("credit")};
    case 6:
      return read_checkpoint(r);
    case 7:
      return CancelFrame{.reason = std::string(r.text("reason", kMessageBytesMax))};
    case 8:
      return read_resume(r);
    case 9:
      return NeedReceiptFrame{.record = r.event("record", kinds::kRecord)};
    case 10:
      return ReceiptFrame{.receipt = r.event("receipt", kinds::kReceipt)};
    case 11:
      return read_error(r);
    case 12:
      return EndFrame{.record = r.event("record", kinds::kRecord)};
    default:
      return std::nullopt;
  }
}

}  // namespace

std::string_view to_string(ErrorCode code) {
  return kCodes[static_cast<std::size_t>(code)].name;
}

std::optional<ErrorCode> parse_error_code(std::string_view text) {
  for (std::size_t index = 0; index < kCodes.size(); ++index) {
    if (kCodes[index].name == text) return static_cast<ErrorCode>(index);
  }
  return std::nullopt;
}

ErrorCodeInfo error_code_info(ErrorCode code) {
  return kCodes[static_cast<std::size_t>(code)].info;
}

bool takes_number(const Frame& frame) {
  return !std::holds_alternative<ProgressFrame>(frame) &&
         !std::holds_alternative<AckFrame>(frame) && !std::holds_alternative<CreditFrame>(frame) &&
         !std::holds_alternative<ResumeFrame>(frame);
}

std::string_view frame_type(const Frame& frame) {
  return kTypeNames[frame.index()];
}

std::string_view to_string(FrameError error) {
  switch (error) {
    case FrameError::TooLarge:
      return "too large";
    case FrameError::NotJson:
      return "not a JSON object";
    case FrameError::UnknownType:
      return "unknown type";
    case FrameError::MissingField:
      return "a member is missing";
    case FrameError::BadField:
      return "a member has a bad value";
  }
  return "unknown";
}

bool is_sendable(const OpenFrame& frame) {
  std::size_t header_bytes = 0;
  for (const Header& header : frame.headers) {
    if (!is_header(header)) return false;
    header_bytes += header.name.size() + header.value.size();
  }
  return is_request_line(frame.method, frame.path) && frame.headers.size() <= kHeadersMax &&
         header_bytes <= kHeaderBytesMax && frame.body.size() <= kOpenBodyBytesMax &&
         frame.features.size() <= kFeaturesMax && frame.body.size() <= frame.body_bytes;
}

ResponseHead make_head(std::uint16_t status, std::string_view content_type) {
  ResponseHead head;
  head.status = status >= 200 && status <= 599 ? status : std::uint16_t{502};
  if (content_type.size() <= kContentTypeBytesMax && is_printable(content_type)) {
    head.content_type = content_type;
  }
  return head;
}

ErrorFrame make_error(ErrorCode code, std::string_view message, std::uint64_t retry_after_ms) {
  ErrorFrame frame;
  frame.code = code;
  frame.retryable = error_code_info(code).retryable;
  frame.retry_after_ms = std::min<std::uint64_t>(retry_after_ms, kRetryAfterMsMax);
  for (const char c : message.substr(0, kMessageBytesMax)) {
    frame.message.push_back(c >= ' ' && c <= '~' ? c : '?');
  }
  return frame;
}

std::string print_frame(std::uint64_t n, const Frame& frame) {
  JsonWriter w;
  w.begin_object().key("t").string(frame_type(frame));
  put_u64(w, "n", n);
  std::visit([&w](const auto& body) { write(w, body); }, frame);
  w.end_object();
  CHECK(w.text().size() <= kFrameTextBytesMax);
  return std::move(w).take();
}

std::string print_padded_frame(std::uint64_t n, const Frame& frame, std::size_t unit) {
  constexpr std::string_view kOpening = ",\"pad\":\"";
  constexpr std::string_view kClosing = "\"}";
  std::string text = print_frame(n, frame);
  text.pop_back();  // the object's end
  const std::size_t least = text.size() + kOpening.size() + kClosing.size();
  const std::size_t whole = (least + unit - 1) / unit * unit;
  if (whole > kFrameTextBytesMax) return text + "}";
  text += kOpening;
  text.append(whole - least, '0');
  text += kClosing;
  return text;
}

Result<NumberedFrame, FrameError> parse_frame(std::string_view text) {
  if (text.size() > kFrameTextBytesMax) return failure(FrameError::TooLarge);
  const auto json = Json::parse(text, {.bytes_max = kFrameTextBytesMax, .depth_max = 8});
  if (!json || !json->is_object()) return failure(FrameError::NotJson);
  FrameReader reader(*json);
  const std::string_view name = reader.text("t", 16);
  const auto* const type = std::ranges::find(kTypeNames, name);
  const std::uint64_t n = reader.number("n");
  if (reader.error()) return failure(*reader.error());
  if (type == kTypeNames.end()) return failure(FrameError::UnknownType);
  auto frame = read_body(reader, static_cast<std::size_t>(type - kTypeNames.begin()));
  if (reader.error()) return failure(*reader.error());
  return NumberedFrame{n, *std::move(frame)};
}

}  // namespace nostril
