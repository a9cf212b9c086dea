// What NATS servers answer to a relay of a cluster: the first byte chooses which reader.
#include "base/check.h"
#include "relay/cluster/jetstream.h"
#include "relay/cluster/subjects.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace {

using namespace nostril::relay;             // NOLINT(google-build-using-namespace): its own file
using namespace nostril::relay::jetstream;  // NOLINT(google-build-using-namespace)

constexpr std::string_view kStream = "relays";

bool is_line(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

void is_error(const ApiError& error) {
  CHECK(!error.text.empty() && error.text.size() <= kErrorBytesMax && is_line(in_words(error)));
}

// What a stream is asked to be like, it says it is.
void reads_again(const StreamConfig& config) {
  const auto again = parse_stream_reply(
      R"({"config":)" + to_json(config) +
          R"(,"created":"2026-01-01T00:00:00Z","state":{"messages":0,"bytes":0,"first_seq":0,"last_seq":0}})",
      kStream);
  CHECK(again.has_value() && again->config == config);
}

void read_stream(std::string_view text) {
  const auto report = parse_stream_reply(text, kStream);
  if (!report) return is_error(report.error());
  const StreamInfo& info = report->info;
  CHECK(info.identity.name == kStream && info.identity.created_ns >= 0);
  CHECK(info.first_sequence <= info.last_sequence + 1 || info.last_sequence == 0);
  reads_again(report->config);
}

void read_ack(std::string_view text) {
  const PublishAck ack = parse_publish_ack(text, kStream);
  const bool is_stored =
      ack.result == PublishAck::Result::Stored || ack.result == PublishAck::Result::Duplicate;
  CHECK(is_stored == (ack.sequence > 0) && is_stored == ack.error.empty());
  CHECK(is_line(ack.error));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 's':
      read_stream(text);
      break;
    case 'c':
      if (const auto made = parse_consumer_reply(text, kStream); !made) is_error(made.error());
      break;
    case 'a':
      read_ack(text);
      break;
    case 'p':
      if (const auto place = place_of(text)) CHECK(place->stream > 0 && place->consumer > 0);
      break;
    case 'f':
      CHECK(!is_flow_control(text) || (is_line(text) && text.find(' ') == std::string_view::npos));
      break;
    case 't':
      if (const auto time_ns = parse_time_ns(text)) CHECK(*time_ns >= 0);
      break;
    case 'n':  // of the subject that an ack came to, and of headers of heartbeats
      (void)number_of(text);
      break;
    default:
      break;
  }
  return 0;
}
