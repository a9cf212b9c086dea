#include "relay/cluster/jetstream.h"

#include "base/json.h"
#include "base/log.h"
#include "relay/cluster/subjects.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

namespace nostril::relay::jetstream {

namespace {

constexpr JsonLimits kReplyLimits = {kReplyBytesMax, 16, 16'384};
constexpr std::size_t kSubjectsMax = 64;
constexpr std::size_t kSubjectBytesMax = 256;
constexpr std::int64_t kReplicasMax = 64;
constexpr std::int64_t kNsASecond = 1'000'000'000;
constexpr std::string_view kSenseless = "the stream's answer makes no sense";
constexpr std::string_view kAckSubject = "$JS.ACK.";
constexpr std::string_view kFlowControl = "$JS.FC.";
constexpr std::string_view kApi = "$JS.API.";

struct Advice {
  std::int64_t number;
  std::string_view text;
};

// Each was provoked with real servers: RefusalTest of tests/relay/cluster_bus_test.cpp, and 10005,
// which takes several servers, in tests/cluster/life.test.mjs.
constexpr std::array kAdvice = {
    Advice{10'005,
           "too few servers with JetStream are there, or too few have [cluster] stream_bytes_max "
           "free: make it smaller, or max_file_store in nats-server.conf larger"},
    Advice{10'026, "raise the account's max_consumers: one for each relay, and some to spare"},
    Advice{10'027, "raise the account's max_streams"},
    Advice{10'039, "write `jetstream: enabled` into the servers' account of the relays"},
    Advice{10'047,
           "the servers or the account have less free than [cluster] stream_bytes_max: make it "
           "smaller, or max_file_store in nats-server.conf larger"},
    Advice{10'065,
           "another stream of the account takes these subjects: remove it, or choose another "
           "[cluster] name"},
    Advice{10'074,
           "one server alone keeps one copy: set [cluster] replicas = 1, or give the servers a "
           "cluster"},
    Advice{10'122, "the account's disk_max_stream_bytes is less than [cluster] stream_bytes_max"},
};

const Advice* advice_of(std::int64_t number) {
  const auto* const found = std::ranges::find(kAdvice, number, &Advice::number);
  return found == kAdvice.end() ? nullptr : found;
}

ApiError senseless() {
  return {error::kNone, std::string(kSenseless)};
}

// Not in the middle of a character.
std::string cut(std::string_view text) {
  std::string out = one_line(text);
  if (out.size() <= kErrorBytesMax) return out;
  std::size_t size = kErrorBytesMax;
  while (size > 0 && (static_cast<unsigned char>(out[size]) & 0xC0U) == 0x80U) --size;
  out.resize(size);
  return out;
}

std::optional<Json> parse_object(std::string_view text) {
  auto json = Json::parse(text, kReplyLimits);
  if (!json || !json->is_object()) return std::nullopt;
  return std::move(*json);
}

// {"error":{"code":503,"err_code":10047,"description":"…"}}
std::optional<ApiError> error_in(const Json& reply) {
  const Json* error = reply.find("error");
  if (error == nullptr) return std::nullopt;
  ApiError out;
  out.number = error->find_integer("err_code").value_or(error::kNone);
  out.text = cut(error->find_string("description").value_or(""));
  if (out.text.empty()) out.text = "an error without words";
  return out;
}

std::optional<std::uint64_t> count_in(const Json& object, std::string_view key) {
  const auto value = object.find_integer(key);
  if (!value || *value < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*value);
}

// `absent`: where it is not there; what is there and no number is nothing.
std::optional<std::int64_t> number_in(const Json& object, std::string_view key,
                                      std::optional<std::int64_t> absent) {
  const Json* value = object.find(key);
  return value == nullptr ? absent : value->integer();
}

std::optional<std::vector<std::string>> subjects_in(const Json& config) {
  std::vector<std::string> out;
  const Json* list = config.find("subjects");
  if (list == nullptr) return out;
  if (!list->is_array() || list->items().size() > kSubjectsMax) return std::nullopt;
  for (const Json& item : list->items()) {
    const auto subject = item.string();
    if (!subject || subject->empty() || subject->size() > kSubjectBytesMax) return std::nullopt;
    out.emplace_back(*subject);
  }
  return out;
}

std::optional<StreamConfig> config_in(const Json& reply) {
  const Json* json = reply.find("config");
  if (json == nullptr || !json->is_object()) return std::nullopt;
  const auto name = json->find_string("name");
  auto subjects = subjects_in(*json);
  const auto replicas = number_in(*json, "num_replicas", std::nullopt);
  const auto bytes_max = number_in(*json, "max_bytes", -1);
  const auto age_max = number_in(*json, "max_age", 0);
  const auto window = number_in(*json, "duplicate_window", 0);
  const auto message_bytes_max = number_in(*json, "max_msg_size", -1);
  if (!name || !subjects || !replicas || !bytes_max || !age_max || !window || !message_bytes_max) {
    return std::nullopt;
  }
  if (*replicas < 1 || *replicas > kReplicasMax) return std::nullopt;
  if (*bytes_max < -1 || *age_max < 0 || *window < 0 || *message_bytes_max < -1) {
    return std::nullopt;
  }
  return StreamConfig{
      std::string(*name), std::move(*subjects), *replicas, *bytes_max, *age_max, *window,
      *message_bytes_max};
}

std::optional<StreamInfo> info_in(const Json& reply, const StreamConfig& config) {
  const Json* state = reply.find("state");
  const auto created = reply.find_string("created");
  if (state == nullptr || !created) return std::nullopt;
  const auto created_ns = parse_time_ns(*created);
  const auto messages = count_in(*state, "messages");
  const auto first = count_in(*state, "first_seq");
  const auto last = count_in(*state, "last_seq");
  const auto bytes = count_in(*state, "bytes");
  if (!created_ns || !messages || !first || !last || !bytes) return std::nullopt;
  if (*messages > 0 && (*first == 0 || *first > *last)) return std::nullopt;
  StreamInfo out;
  out.identity = {config.name, *created_ns};
  out.first_sequence = *messages == 0 && *last > 0 ? *last + 1 : *first;
  out.last_sequence = *last;
  out.is_whole = *messages == 0 || *last - *first + 1 == *messages;
  out.bytes = *bytes;
  out.replicas = config.replicas;
  return out;
}

// Digits only, all of them.
std::optional<int> digits(std::string_view text) {
  const bool are_digits = std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  const auto value = are_digits ? parse_count(text) : std::nullopt;
  return value && *value <= 9'999 ? std::optional(static_cast<int>(*value)) : std::nullopt;
}

// ".5" is 500,000,000; "" is nothing of a second.
std::optional<std::int64_t> fraction_ns(std::string_view text) {
  if (text.empty()) return 0;
  constexpr std::size_t kDigitsMax = 9;
  if (text[0] != '.' || text.size() < 2 || text.size() > kDigitsMax + 1) return std::nullopt;
  std::int64_t value = 0;
  for (std::size_t i = 1; i <= kDigitsMax; ++i) {
    const char c = i < text.size() ? text[i] : '0';
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

// Z, or +HH:MM.
std::optional<std::int64_t> offset_s(std::string_view text) {
  if (text == "Z") return 0;
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return std::nullopt;
  const auto hours = digits(text.substr(1, 2));
  const auto minutes = digits(text.substr(4, 2));
  if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  const std::int64_t out = std::int64_t{*hours} * 3'600 + std::int64_t{*minutes} * 60;
  return text[0] == '-' ? -out : out;
}

std::vector<std::string_view> tokens_of(std::string_view subject, std::size_t count_max) {
  std::vector<std::string_view> out;
  while (out.size() < count_max) {
    const std::size_t dot = subject.find('.');
    out.push_back(subject.substr(0, dot));
    if (dot == std::string_view::npos) break;
    subject.remove_prefix(dot + 1);
  }
  return out;
}

std::string subject_of(std::string_view verb, std::string_view stream) {
  return fmt::format("{}{}.{}", kApi, verb, stream);
}

}  // namespace

std::string in_words(const ApiError& error) {
  std::string out = error.text;
  if (error.number != error::kNone) out += fmt::format(" (JetStream's error {})", error.number);
  if (const Advice* advice = advice_of(error.number)) out += fmt::format(": {}", advice->text);
  return out;
}

bool is_lasting(const ApiError& error) {
  return advice_of(error.number) != nullptr;
}

bool has_bounds_of(const StreamConfig& found, const StreamConfig& wanted) {
  return found.bytes_max == wanted.bytes_max && found.age_ns_max == wanted.age_ns_max &&
         found.replicas == wanted.replicas &&
         found.duplicate_window_ns == wanted.duplicate_window_ns;
}

std::string info_subject(std::string_view stream) {
  return subject_of("STREAM.INFO", stream);
}

std::string create_subject(std::string_view stream) {
  return subject_of("STREAM.CREATE", stream);
}

std::string update_subject(std::string_view stream) {
  return subject_of("STREAM.UPDATE", stream);
}

std::string consumer_subject(std::string_view stream) {
  return subject_of("CONSUMER.CREATE", stream);
}

std::string to_json(const StreamConfig& config) {
  JsonWriter w;
  w.begin_object().key("name").string(config.name).key("subjects").begin_array();
  for (const std::string& subject : config.subjects) w.string(subject);
  w.end_array();
  w.key("retention").string("limits").key("storage").string("file").key("discard").string("old");
  w.key("max_consumers").integer(-1).key("max_msgs").integer(-1);
  w.key("max_bytes").integer(config.bytes_max).key("max_age").integer(config.age_ns_max);
  w.key("max_msg_size").integer(config.message_bytes_max);
  w.key("num_replicas").integer(config.replicas);
  w.key("duplicate_window").integer(config.duplicate_window_ns);
  w.key("deny_delete").boolean(true).key("deny_purge").boolean(true);
  return std::move(w.end_object()).take();
}

std::string to_json(const ConsumerConfig& config) {
  JsonWriter w;
  w.begin_object().key("stream_name").string(config.stream).key("config").begin_object();
  w.key("deliver_policy").string("by_start_sequence");
  w.key("opt_start_seq").integer(static_cast<std::int64_t>(config.from_sequence));
  w.key("ack_policy").string("none").key("replay_policy").string("instant");
  w.key("deliver_subject").string(config.deliver_subject);
  w.key("flow_control").boolean(true).key("idle_heartbeat").integer(config.heartbeat_ns);
  w.key("inactive_threshold").integer(config.unused_ns_max);
  w.key("num_replicas").integer(1).key("mem_storage").boolean(true);
  return std::move(w.end_object().end_object()).take();
}

Result<StreamReport, ApiError> parse_stream_reply(std::string_view text, std::string_view stream) {
  const auto reply = parse_object(text);
  if (!reply) return failure(senseless());
  if (auto error = error_in(*reply)) return failure(std::move(*error));
  auto config = config_in(*reply);
  if (!config || config->name != stream) return failure(senseless());
  auto info = info_in(*reply, *config);
  if (!info) return failure(senseless());
  return StreamReport{std::move(*info), std::move(*config)};
}

Result<void, ApiError> parse_consumer_reply(std::string_view text, std::string_view stream) {
  const auto reply = parse_object(text);
  if (!reply) return failure(senseless());
  if (auto error = error_in(*reply)) return failure(std::move(*error));
  if (reply->find_string("stream_name") != stream) return failure(senseless());
  return {};
}

PublishAck parse_publish_ack(std::string_view text, std::string_view stream) {
  PublishAck ack;
  ack.error = kSenseless;
  const auto reply = parse_object(text);
  if (!reply) return ack;
  if (const auto error = error_in(*reply)) {
    ack.error = in_words(*error);
    if (error->number == error::kMessageTooLarge) ack.result = PublishAck::Result::Refused;
    return ack;
  }
  const auto sequence = count_in(*reply, "seq");
  const auto is_duplicate = reply->find("duplicate");
  if (!sequence || *sequence == 0 || reply->find_string("stream") != stream) return ack;
  if (is_duplicate != nullptr && !is_duplicate->boolean()) return ack;
  ack.error.clear();
  ack.sequence = *sequence;
  ack.result = is_duplicate != nullptr && *is_duplicate->boolean() ? PublishAck::Result::Duplicate
                                                                   : PublishAck::Result::Stored;
  return ack;
}

// $JS.ACK.STREAM.CONSUMER.DELIVERIES.STREAM_SEQUENCE.CONSUMER_SEQUENCE.TIME.PENDING, or, of servers
// with domains, $JS.ACK.DOMAIN.ACCOUNT.STREAM.… and maybe something behind.
std::optional<Place> place_of(std::string_view reply) {
  if (!reply.starts_with(kAckSubject)) return std::nullopt;
  constexpr std::size_t kShort = 7;
  constexpr std::size_t kLong = 9;
  const auto tokens = tokens_of(reply.substr(kAckSubject.size()), kLong);
  if (tokens.size() != kShort && tokens.size() != kLong) return std::nullopt;
  const std::size_t at = tokens.size() == kShort ? 3 : 5;
  const auto stream = parse_count(tokens[at]);
  const auto consumer = parse_count(tokens[at + 1]);
  if (!stream || !consumer || *stream == 0 || *consumer == 0) return std::nullopt;
  return Place{*stream, *consumer};
}

bool is_flow_control(std::string_view subject) {
  return subject.starts_with(kFlowControl) && subject.size() <= kSubjectBytesMax &&
         std::ranges::none_of(subject, [](char c) {
           return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '*' || c == '>';
         });
}

std::optional<std::int64_t> parse_time_ns(std::string_view text) {
  constexpr std::string_view kForm = "dddd-dd-ddTdd:dd:dd";
  if (text.size() <= kForm.size()) return std::nullopt;
  for (std::size_t i = 0; i < kForm.size(); ++i) {
    if (kForm[i] != 'd' && text[i] != kForm[i]) return std::nullopt;
  }
  const auto year = digits(text.substr(0, 4));
  const auto month = digits(text.substr(5, 2));
  const auto day = digits(text.substr(8, 2));
  const auto hour = digits(text.substr(11, 2));
  const auto minute = digits(text.substr(14, 2));
  const auto second = digits(text.substr(17, 2));
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  if (*year < 1970 || *year > 2261 || *hour > 23 || *minute > 59 || *second > 59) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date(std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok()) return std::nullopt;
  const std::string_view rest = text.substr(kForm.size());
  const std::size_t zone = rest.find_first_of("Z+-");
  if (zone == std::string_view::npos) return std::nullopt;
  const auto ns = fraction_ns(rest.substr(0, zone));
  const auto offset = offset_s(rest.substr(zone));
  if (!ns || !offset) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const std::int64_t seconds =
      days * 86'400 + std::int64_t{*hour} * 3'600 + std::int64_t{*minute} * 60 + *second - *offset;
  if (seconds < 0) return std::nullopt;
  return seconds * kNsASecond + *ns;
}

}  // namespace nostril::relay::jetstream
