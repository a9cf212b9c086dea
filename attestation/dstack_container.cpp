#include "attestation/dstack_container.h"

#include "attestation/byte_reader.h"

namespace nostril::attestation {

namespace {

constexpr std::uint8_t kTdx = 0;
constexpr std::uint8_t kSnp = 3;
constexpr std::size_t kCertificatesMax = 8;

/// SCALE on top of the byte reader; the first deviation makes ok() false for good.
class ScaleReader {
 public:
  explicit ScaleReader(ByteSpan bytes) : reader_(bytes) {}

  std::uint8_t byte() { return reader_.take_le<std::uint8_t>(); }

  std::uint32_t number() { return reader_.take_le<std::uint32_t>(); }

  std::size_t count(std::size_t max) {
    const ByteSpan rest = reader_.rest();
    const unsigned mode = rest.empty() ? 3U : rest[0] & 3U;
    std::size_t value = 0;
    std::size_t least = 0;  // smaller values have a shorter form
    if (mode == 0) {
      value = reader_.take_le<std::uint8_t>() >> 2U;
    } else if (mode == 1) {
      value = reader_.take_le<std::uint16_t>() >> 2U;
      least = 1U << 6U;
    } else if (mode == 2) {
      value = reader_.take_le<std::uint32_t>() >> 2U;
      least = 1U << 14U;
    } else {
      good_ = false;
    }
    if (value < least || value > max) good_ = false;
    return ok() ? value : 0;
  }

  ByteSpan bytes(std::size_t max = kDstackContainerBytesMax) { return reader_.take(count(max)); }

  ByteSpan take(std::size_t size) { return reader_.take(size); }

  [[nodiscard]] bool ok() const { return good_ && reader_.ok(); }

  [[nodiscard]] bool at_end() const { return reader_.rest().empty(); }

 private:
  ByteReader reader_;
  bool good_ = true;
};

Result<EventLog, EventLogError> read_log(ScaleReader& reader) {
  Result<EventLog, EventLogError> out;
  const std::size_t count = reader.count(kEventCountMax);
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    RawEvent raw;
    raw.imr = reader.number();
    raw.type = reader.number();
    raw.digest = reader.bytes();
    raw.name = as_text(reader.bytes());
    raw.payload = reader.bytes();
    const auto event = check_event(raw);
    if (out && event) {
      out->push_back(*event);
    } else if (out) {
      out = failure(event.error());  // the rest is read for its form only
    }
  }
  return out;
}

void read_snp(ScaleReader& reader, DstackContainer& out) {
  out.platform = DstackContainer::Platform::Snp;
  const ByteSpan report = reader.bytes();
  out.evidence.assign(report.begin(), report.end());
  const std::size_t count = reader.count(kCertificatesMax);
  for (std::size_t i = 0; i < count; ++i) out.certificates.emplace_back(as_text(reader.bytes()));
  out.mr_config = as_text(reader.bytes());
}

}  // namespace

std::optional<DstackContainer> parse_dstack_container(ByteSpan bytes) {
  if (bytes.size() > kDstackContainerBytesMax) return std::nullopt;
  ScaleReader reader(bytes);
  if (reader.byte() != 0) return std::nullopt;
  DstackContainer out;
  const std::uint8_t platform = reader.byte();
  if (platform == kTdx) {
    const ByteSpan quote = reader.bytes();
    out.evidence.assign(quote.begin(), quote.end());
    out.log = read_log(reader);
  } else if (platform == kSnp) {
    read_snp(reader, out);
  } else {
    return std::nullopt;
  }
  const std::size_t count = reader.count(kEventCountMax);
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    const std::string_view name = as_text(reader.bytes(kEventNameBytesMax));
    const ByteSpan payload = reader.bytes(kEventPayloadBytesMax);
    out.runtime_events.push_back(make_runtime_event(name, payload));
  }
  const ByteSpan report_data = reader.take(out.report_data.size());
  std::copy(report_data.begin(), report_data.end(), out.report_data.begin());
  reader.bytes();
  if (!reader.ok() || !reader.at_end()) return std::nullopt;
  return out;
}

}  // namespace nostril::attestation
