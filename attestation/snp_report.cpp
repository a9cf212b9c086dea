#include "attestation/snp_report.h"

#include "attestation/byte_reader.h"

#include <algorithm>

namespace nostril::attestation {

namespace {

constexpr std::size_t kSignedBytes = 0x2a0;
constexpr std::uint32_t kAlgorithmEcdsaP384Sha384 = 1;
constexpr std::uint32_t kVmplMax = 3;
constexpr std::uint64_t kPolicyAlwaysSet = 1ULL << 17U;
constexpr std::uint64_t kPolicyKnown = (1ULL << 26U) - 1;
constexpr std::uint64_t kPlatformKnown = 0xbf;  // bit 6 is reserved
constexpr std::uint32_t kFlagAuthorKey = 1U << 0U;
constexpr std::uint32_t kFlagMaskedChipKey = 1U << 1U;
constexpr std::uint32_t kFlagsKnown = 0x1f;
constexpr unsigned kSignerShift = 2;
constexpr std::size_t kNumberBytes = 48;
constexpr std::size_t kNumberFieldBytes = 72;

/// A little-endian number of 72 bytes as 48 big-endian ones; false when it is longer than 48.
bool take_number(ByteReader& reader, std::span<std::uint8_t, kNumberBytes> out) {
  const ByteSpan number = reader.take(kNumberBytes);
  std::reverse_copy(number.begin(), number.end(), out.begin());
  return reader.take_zeros(kNumberFieldBytes - kNumberBytes);
}

/// Reserved bytes are looked at when they are passed; one flag says whether all were zero.
class FieldReader {
 public:
  explicit FieldReader(ByteSpan data) : reader_(data) {}

  void reserved(std::size_t count) { zeros_ = reader_.take_zeros(count) && zeros_; }

  SnpFirmware firmware() {
    const ByteSpan bytes = reader_.take(3);
    reserved(1);
    return {bytes[2], bytes[1], bytes[0]};
  }

  ByteReader& operator*() { return reader_; }

  ByteReader* operator->() { return &reader_; }

  [[nodiscard]] bool zeros() const { return zeros_; }

 private:
  ByteReader reader_;
  bool zeros_ = true;
};

/// 000 to 04f.
std::optional<SnpReportError> parse_head(FieldReader& in, SnpReport& out) {
  out.version = in->take_le<std::uint32_t>();
  if (out.version < 2 || out.version > 5) return SnpReportError::UnsupportedVersion;
  out.guest_svn = in->take_le<std::uint32_t>();
  out.policy = in->take_le<std::uint64_t>();
  in->take_into(out.family_id);
  in->take_into(out.image_id);
  const auto vmpl = in->take_le<std::uint32_t>();
  if (vmpl > kVmplMax) return SnpReportError::BadVmpl;
  out.vmpl = static_cast<std::uint8_t>(vmpl);
  if (in->take_le<std::uint32_t>() != kAlgorithmEcdsaP384Sha384) {
    return SnpReportError::UnsupportedAlgorithm;
  }
  in->take_into(out.current_tcb);
  out.platform_info = in->take_le<std::uint64_t>();
  const auto flags = in->take_le<std::uint32_t>();
  out.author_key = (flags & kFlagAuthorKey) != 0;
  out.masked_chip_key = (flags & kFlagMaskedChipKey) != 0;
  const std::uint32_t signer = (flags & kFlagsKnown) >> kSignerShift;
  if (signer > 1) return SnpReportError::UnsupportedSigner;
  out.signer = signer == 0 ? SnpSigner::Vcek : SnpSigner::Vlek;
  in.reserved(4);
  const bool reserved = (out.policy & ~kPolicyKnown) != 0 || (out.policy & kPolicyAlwaysSet) == 0 ||
                        (out.platform_info & ~kPlatformKnown) != 0 || (flags & ~kFlagsKnown) != 0;
  return reserved ? std::optional(SnpReportError::ReservedNotZero) : std::nullopt;
}

/// 050 to 29f.
void parse_body(FieldReader& in, SnpReport& out) {
  in->take_into(out.report_data);
  in->take_into(out.measurement);
  in->take_into(out.host_data);
  in->take_into(out.id_key_digest);
  in->take_into(out.author_key_digest);
  in->take_into(out.report_id);
  in->take_into(out.report_id_ma);
  in->take_into(out.reported_tcb);
  if (out.version >= 3) {
    const ByteSpan cpuid = in->take(3);
    out.cpuid = SnpCpuid{cpuid[0], cpuid[1], cpuid[2]};
    in.reserved(21);
  } else {
    in.reserved(24);
  }
  in->take_into(out.chip_id);
  in->take_into(out.committed_tcb);
  out.current = in.firmware();
  out.committed = in.firmware();
  in->take_into(out.launch_tcb);
  if (out.version >= 5) {
    out.launch_mitigations = in->take_le<std::uint64_t>();
    out.current_mitigations = in->take_le<std::uint64_t>();
    in.reserved(152);
  } else {
    in.reserved(168);
  }
}

}  // namespace

std::string_view to_string(SnpReportError error) {
  switch (error) {
    case SnpReportError::WrongSize:
      return "not 1184 bytes";
    case SnpReportError::UnsupportedVersion:
      return "report version not supported";
    case SnpReportError::ReservedNotZero:
      return "reserved bits are set";
    case SnpReportError::UnsupportedAlgorithm:
      return "signature algorithm not supported";
    case SnpReportError::UnsupportedSigner:
      return "not signed by a VCEK or VLEK";
    case SnpReportError::BadVmpl:
      return "VMPL out of range";
    case SnpReportError::BadSignatureEncoding:
      return "signature number too long, or bytes after it";
  }
  return "unknown";
}

std::string_view to_string(SnpProduct product) {
  switch (product) {
    case SnpProduct::Milan:
      return "Milan";
    case SnpProduct::Genoa:
      return "Genoa";
    case SnpProduct::Turin:
      return "Turin";
  }
  return "unknown";
}

std::optional<SnpProduct> parse_snp_product(std::string_view name) {
  for (const SnpProduct product : {SnpProduct::Milan, SnpProduct::Genoa, SnpProduct::Turin}) {
    if (name == to_string(product)) return product;
  }
  return std::nullopt;
}

bool reaches(const SnpTcb& a, const SnpTcb& b) {
  return a.fmc >= b.fmc && a.bootloader >= b.bootloader && a.tee >= b.tee && a.snp >= b.snp &&
         a.microcode >= b.microcode;
}

std::optional<SnpTcb> decode_snp_tcb(const RawSnpTcb& raw, SnpProduct product) {
  const bool turin = product == SnpProduct::Turin;
  const auto unused = turin ? ByteSpan(raw).subspan(4, 3) : ByteSpan(raw).subspan(2, 4);
  if (std::any_of(unused.begin(), unused.end(), [](auto byte) { return byte != 0; })) {
    return std::nullopt;
  }
  if (turin) return SnpTcb{raw[0], raw[1], raw[2], raw[3], raw[7]};
  return SnpTcb{0, raw[0], raw[1], raw[6], raw[7]};
}

std::optional<SnpProduct> product_of(const SnpCpuid& cpuid) {
  if (cpuid.family == 0x19 && cpuid.model <= 0x0f) return SnpProduct::Milan;
  const bool genoa = (cpuid.model >= 0x10 && cpuid.model <= 0x1f) ||
                     (cpuid.model >= 0xa0 && cpuid.model <= 0xaf);  // Bergamo, Siena
  if (cpuid.family == 0x19 && genoa) return SnpProduct::Genoa;
  if (cpuid.family == 0x1a && cpuid.model <= 0x11) return SnpProduct::Turin;
  return std::nullopt;
}

Result<SnpReport, SnpReportError> parse_snp_report(ByteSpan report) {
  if (report.size() != kSnpReportBytes) return failure(SnpReportError::WrongSize);
  SnpReport out;
  out.signed_part = report.first(kSignedBytes);
  FieldReader fields(out.signed_part);
  if (const auto error = parse_head(fields, out)) return failure(*error);
  parse_body(fields, out);
  if (!fields.zeros()) return failure(SnpReportError::ReservedNotZero);

  ByteReader signature(report.subspan(kSignedBytes));
  const std::span<std::uint8_t, 96> numbers(out.signature);
  const bool encoded = take_number(signature, numbers.first<kNumberBytes>()) &&
                       take_number(signature, numbers.last<kNumberBytes>()) &&
                       signature.take_zeros(signature.rest().size());
  if (!encoded) return failure(SnpReportError::BadSignatureEncoding);
  return out;
}

}  // namespace nostril::attestation
