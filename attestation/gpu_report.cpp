#include "attestation/gpu_report.h"

#include "attestation/byte_reader.h"
#include "attestation/evidence.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace nostril::attestation {

namespace {

constexpr std::array<std::uint8_t, 4> kRequest = {0x11, 0xe0, 0x01, 0xff};
constexpr std::array<std::uint8_t, 3> kResponse = {0x11, 0x60, 0x00};
constexpr std::uint8_t kSlotMax = 7;
constexpr std::uint8_t kBlockIndexMax = 254;
constexpr std::uint8_t kDmtf = 1;
constexpr std::uint8_t kRawBit = 0x80;
constexpr std::size_t kDigestBytes = 48;
constexpr std::size_t kBlockBytes = 3 + kDigestBytes;
constexpr std::size_t kPdiBytes = 8;
constexpr std::size_t kPortCount = 64;
constexpr std::uint8_t kOn = 0xaa;
constexpr std::uint8_t kOff = 0x55;

enum class Field : std::uint16_t {
  Driver = 3,
  Vbios = 6,
  Nvdec0 = 11,
  ChipSku = 15,
  Project = 17,
  ProjectSku = 18,
  Fwid = 20,
  ProtectedPcie = 21,
  Switches = 22,
  OpaqueVersion = 34,
  SwitchGpus = 26,
  Features = 36,
};

template <typename Wanted>
bool take_exactly(ByteReader& in, const Wanted& wanted) {
  const ByteSpan bytes = in.take(wanted.size());
  return std::equal(bytes.begin(), bytes.end(), wanted.begin(), wanted.end());
}

std::uint8_t take_byte(ByteReader& in) {
  return in.take_le<std::uint8_t>();
}

std::uint32_t take_le24(ByteReader& in) {
  const std::uint32_t low = in.take_le<std::uint16_t>();
  return low | static_cast<std::uint32_t>(take_byte(in)) << 16U;
}

/// Request and the head of the response.
bool parse_head(ByteReader& in, SpdmReport& out) {
  if (!take_exactly(in, kRequest)) return false;
  in.take_into(out.nonce);
  const std::uint8_t slot = take_byte(in);
  return slot <= kSlotMax && take_exactly(in, kResponse) && take_byte(in) == slot && in.ok();
}

bool parse_blocks(ByteReader in, std::size_t count, SpdmReport& out) {
  std::uint8_t last = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t index = take_byte(in);
    if (index <= last || index > kBlockIndexMax || take_byte(in) != kDmtf) return false;
    if (in.take_le<std::uint16_t>() != kBlockBytes) return false;
    if ((take_byte(in) & kRawBit) != 0 || in.take_le<std::uint16_t>() != kDigestBytes) return false;
    GpuMeasurement& block = out.measurements.emplace_back();
    block.index = static_cast<std::uint8_t>(index - 1);
    in.take_into(block.value);
    if (!in.ok()) return false;
    last = index;
  }
  return in.rest().empty();
}

/// The opaque fields by type; nothing when one is doubled or the lengths do not fit.
std::optional<std::map<std::uint16_t, ByteSpan>> split(ByteSpan opaque) {
  std::map<std::uint16_t, ByteSpan> out;
  ByteReader in(opaque);
  while (!in.rest().empty()) {
    const auto type = in.take_le<std::uint16_t>();
    const ByteSpan value = in.take(in.take_le<std::uint16_t>());
    if (!in.ok() || !out.emplace(type, value).second) return std::nullopt;
  }
  return out;
}

std::optional<std::string> to_text(ByteSpan value) {
  const auto end = std::find(value.begin(), value.end(), 0);
  if (end == value.begin() || end == value.end()) return std::nullopt;
  const auto printable = [](std::uint8_t byte) { return byte > 0x20 && byte < 0x7f; };
  const auto zero = [](std::uint8_t byte) { return byte == 0; };
  if (!std::all_of(value.begin(), end, printable) || !std::all_of(end, value.end(), zero)) {
    return std::nullopt;
  }
  return std::string(value.begin(), end);
}

std::optional<bool> to_switch(ByteSpan value) {
  if (value.size() != 1 || (value[0] != kOn && value[0] != kOff)) return std::nullopt;
  return value[0] == kOn;
}

std::optional<std::uint16_t> to_number(ByteSpan value) {
  if (value.size() != 2) return std::nullopt;
  return ByteReader(value).take_le<std::uint16_t>();
}

/// Reads the fields; any of the wrong form makes ok() false.
class OpaqueReader {
 public:
  explicit OpaqueReader(const std::map<std::uint16_t, ByteSpan>& fields) : fields_(fields) {}

  /// Fails when the field is missing.
  void require(Field field) { ok_ = ok_ && find(field) != nullptr; }

  void read(Field field, std::string& out) {
    if (const auto text = converted(field, to_text)) out = *text;
  }

  void read_vbios(std::string& out) {
    const ByteSpan* value = find(Field::Vbios);
    if (value == nullptr) return;
    ok_ = ok_ && value->size() == 8;
    if (ok_) out = gpu_vbios_text(value->first<8>());
  }

  void read(Field field, std::optional<bool>& out) { out = converted(field, to_switch); }

  void read(Field field, std::uint16_t max, std::optional<std::uint16_t>& out) {
    out = converted(field, to_number);
    ok_ = ok_ && (!out || *out <= max);
  }

  void read(Field field, std::optional<Measurement>& out) {
    const ByteSpan* value = find(field);
    if (value == nullptr) return;
    ok_ = ok_ && value->size() == kDigestBytes;
    if (ok_) std::copy(value->begin(), value->end(), out.emplace().begin());
  }

  void read(Field field, std::vector<std::array<std::uint8_t, kPdiBytes>>& out) {
    const ByteSpan* value = find(field);
    if (value == nullptr) return;
    ok_ = ok_ && value->size() % kPdiBytes == 0;
    if (!ok_) return;
    out.resize(value->size() / kPdiBytes);
    ByteReader in(*value);
    for (auto& pdi : out) in.take_into(pdi);
  }

  [[nodiscard]] bool ok() const { return ok_; }

 private:
  [[nodiscard]] const ByteSpan* find(Field field) const {
    const auto found = fields_.find(static_cast<std::uint16_t>(field));
    return found == fields_.end() ? nullptr : &found->second;
  }

  template <typename Convert>
  auto converted(Field field, Convert convert) -> decltype(convert(ByteSpan())) {
    const ByteSpan* value = find(field);
    if (value == nullptr) return std::nullopt;
    auto out = convert(*value);
    ok_ = ok_ && out.has_value();
    return out;
  }

  const std::map<std::uint16_t, ByteSpan>& fields_;
  bool ok_ = true;
};

bool parse_opaque(ByteSpan opaque, GpuReport& out) {
  const auto fields = split(opaque);
  if (!fields) return false;
  OpaqueReader in(*fields);
  for (const Field field : {Field::Driver, Field::Vbios, Field::Nvdec0}) in.require(field);
  in.read(Field::Driver, out.driver);
  in.read_vbios(out.vbios);
  std::optional<bool> nvdec0;
  in.read(Field::Nvdec0, nvdec0);
  out.nvdec0 = nvdec0.value_or(false);
  in.read(Field::ChipSku, out.chip_sku);
  in.read(Field::Project, out.project);
  in.read(Field::ProjectSku, out.project_sku);
  in.read(Field::Fwid, out.fwid);
  in.read(Field::ProtectedPcie, out.protected_pcie);
  in.read(Field::Switches, out.switches);
  in.read(Field::OpaqueVersion, 1, out.opaque_version);
  std::optional<std::uint16_t> features;
  in.read(Field::Features, 2, features);
  if (features) out.features = static_cast<GpuFeatures>(*features);
  return in.ok();
}

}  // namespace

std::string gpu_vbios_text(std::span<const std::uint8_t, 8> field) {
  return fmt::format("{:02X}.{:02X}.{:02X}.{:02X}.{:02X}", field[3], field[2], field[1], field[0],
                     field[4]);
}

std::string_view to_string(GpuReportError error) {
  switch (error) {
    case GpuReportError::WrongSize:
      return "wrong size, or lengths that do not add up to it";
    case GpuReportError::NotMeasurements:
      return "not a request for all measurements and its answer, SPDM 1.1";
    case GpuReportError::BadBlock:
      return "measurement of another form or out of order";
    case GpuReportError::BadOpaque:
      return "opaque field twice, missing, or of the wrong form";
  }
  return "unknown";
}

std::string_view to_string(GpuFeatures features) {
  switch (features) {
    case GpuFeatures::MultiGpuPassthrough:
      return "multi_gpu_passthrough";
    case GpuFeatures::SingleGpu:
      return "single_gpu";
    case GpuFeatures::ProtectedPcie:
      return "protected_pcie";
  }
  return "unknown";
}

const Measurement* SpdmReport::measurement(std::uint8_t index) const {
  const auto found =
      std::lower_bound(measurements.begin(), measurements.end(), index,
                       [](const GpuMeasurement& a, std::uint8_t b) { return a.index < b; });
  return found == measurements.end() || found->index != index ? nullptr : &found->value;
}

namespace {

/// All but the opaque fields, which it leaves in `opaque`.
std::optional<GpuReportError> parse_frame(ByteSpan report, SpdmReport& out, ByteSpan& opaque) {
  if (report.size() < kGpuReportBytesMin || report.size() > kGpuReportBytesMax) {
    return GpuReportError::WrongSize;
  }
  ByteReader in(report);
  if (!parse_head(in, out)) return GpuReportError::NotMeasurements;
  const std::size_t block_count = take_byte(in);
  const ByteSpan blocks = in.take(take_le24(in));
  in.take_into(out.device_nonce);
  opaque = in.take(in.take_le<std::uint16_t>());
  out.signed_part = report.first(report.size() - in.rest().size());
  in.take_into(out.signature);
  if (!in.ok() || !in.rest().empty()) return GpuReportError::WrongSize;
  if (block_count == 0 || !parse_blocks(ByteReader(blocks), block_count, out)) {
    return GpuReportError::BadBlock;
  }
  return std::nullopt;
}

/// "96.10.55.00.01".
bool is_bios_version(ByteSpan text) {
  constexpr std::size_t kBytes = 14;
  if (text.size() != kBytes) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool hex = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'A' && text[i] <= 'F');
    if (i % 3 == 2 ? text[i] != '.' : !hex) return false;
  }
  return true;
}

bool parse_switch_opaque(ByteSpan opaque, SwitchReport& out) {
  const auto fields = split(opaque);
  if (!fields) return false;
  const auto find = [&fields](Field field) {
    const auto found = fields->find(static_cast<std::uint16_t>(field));
    return found == fields->end() ? ByteSpan() : found->second;
  };
  const ByteSpan version = find(Field::Vbios);
  const ByteSpan pdi = find(Field::Switches);
  ByteReader gpus(find(Field::SwitchGpus));
  if (!is_bios_version(version) || pdi.size() != kPdiBytes) return false;
  out.vbios = as_text(version);
  std::copy(pdi.begin(), pdi.end(), out.pdi.begin());
  for (Pdi& gpu : out.gpus) gpus.take_into(gpu);
  gpus.take(kPortCount);
  return gpus.ok() && gpus.rest().empty();
}

}  // namespace

Result<GpuReport, GpuReportError> parse_gpu_report(ByteSpan report) {
  GpuReport out;
  ByteSpan opaque;
  if (const auto error = parse_frame(report, out, opaque)) return failure(*error);
  if (!parse_opaque(opaque, out)) return failure(GpuReportError::BadOpaque);
  return out;
}

Result<SwitchReport, GpuReportError> parse_switch_report(ByteSpan report) {
  SwitchReport out;
  ByteSpan opaque;
  if (const auto error = parse_frame(report, out, opaque)) return failure(*error);
  if (!parse_switch_opaque(opaque, out)) return failure(GpuReportError::BadOpaque);
  return out;
}

}  // namespace nostril::attestation
