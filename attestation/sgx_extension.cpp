#include "attestation/der.h"
#include "attestation/x509.h"

#include <algorithm>
#include <bitset>

namespace nostril::attestation {

namespace {

constexpr const char* kSgxExtensionOid = "1.2.840.113741.1.13.1";
/// The same, as the content of an OID value; the parts add one or two arcs below 128.
constexpr std::array<std::uint8_t, 9> kSgxArcs = {0x2a, 0x86, 0x48, 0x86, 0xf8,
                                                  0x4d, 0x01, 0x0d, 0x01};
constexpr std::uint8_t kPpid = 1;
constexpr std::uint8_t kTcb = 2;
constexpr std::uint8_t kPceId = 3;
constexpr std::uint8_t kFmspc = 4;
constexpr std::uint8_t kSgxType = 5;
constexpr std::uint8_t kComponentCount = 16;
constexpr std::uint8_t kPceSvn = 17;
constexpr std::uint8_t kCpuSvn = 18;

/// One SEQUENCE { OID, value }, its OID cut down to the arcs after `prefix`.
struct Entry {
  std::uint8_t last_arc = 0;
  der::Reader::Value value;
};

/// The next entry whose OID is `prefix` and one more arc.
std::optional<Entry> next_entry(der::Reader& reader, ByteSpan prefix) {
  const auto sequence = reader.next(der::kSequence);
  if (!sequence) return std::nullopt;
  der::Reader inner(*sequence);
  const auto arcs = inner.next(der::kOid);
  const auto value = inner.next();
  if (!arcs || !value || !inner.at_end()) return std::nullopt;
  if (arcs->size() != prefix.size() + 1) return std::nullopt;
  if (!std::equal(prefix.begin(), prefix.end(), arcs->begin())) return std::nullopt;
  return Entry{arcs->back(), *value};
}

template <std::size_t N>
bool copy_octets(const der::Reader::Value& value, std::array<std::uint8_t, N>& out) {
  if (value.tag != der::kOctetString || value.content.size() != N) return false;
  std::copy(value.content.begin(), value.content.end(), out.begin());
  return true;
}

std::optional<std::uint32_t> bounded_integer(const der::Reader::Value& value, std::uint32_t max) {
  if (value.tag != der::kInteger) return std::nullopt;
  const auto number = der::to_uint32(value.content);
  return number && *number <= max ? number : std::nullopt;
}

bool parse_tcb_entry(const Entry& entry, SgxExtension& out) {
  if (entry.last_arc == kCpuSvn) {
    std::array<std::uint8_t, 16> cpu_svn{};  // the same numbers packed; only its form is checked
    return copy_octets(entry.value, cpu_svn);
  }
  if (entry.last_arc == kPceSvn) {
    const auto svn = bounded_integer(entry.value, 0xffff);
    out.pce_svn = static_cast<std::uint16_t>(svn.value_or(0));
    return svn.has_value();
  }
  if (entry.last_arc == 0 || entry.last_arc > kComponentCount) return false;
  const auto svn = bounded_integer(entry.value, 0xff);
  out.component_svn.at(entry.last_arc - 1U) = static_cast<std::uint8_t>(svn.value_or(0));
  return svn.has_value();
}

bool parse_tcb(const der::Reader::Value& value, SgxExtension& out) {
  if (value.tag != der::kSequence) return false;
  std::array<std::uint8_t, kSgxArcs.size() + 1> prefix{};
  std::copy(kSgxArcs.begin(), kSgxArcs.end(), prefix.begin());
  prefix.back() = kTcb;
  std::bitset<kCpuSvn + 1U> seen;
  der::Reader reader(value.content);
  while (!reader.at_end()) {
    const auto entry = next_entry(reader, prefix);
    if (!entry || entry->last_arc > kCpuSvn || seen.test(entry->last_arc)) return false;
    if (!parse_tcb_entry(*entry, out)) return false;
    seen.set(entry->last_arc);
  }
  return seen.count() == kCpuSvn;
}

bool parse_entry(const Entry& entry, SgxExtension& out) {
  switch (entry.last_arc) {
    case kPpid:
      return copy_octets(entry.value, out.ppid);
    case kTcb:
      return parse_tcb(entry.value, out);
    case kPceId:
      return copy_octets(entry.value, out.pce_id);
    case kFmspc:
      return copy_octets(entry.value, out.fmspc);
    case kSgxType:
      return entry.value.tag == der::kEnumerated;
    default:
      return true;
  }
}

}  // namespace

std::optional<SgxExtension> sgx_extension(const Certificate& certificate) {
  const auto content = extension_of(certificate, kSgxExtensionOid);
  if (!content) return std::nullopt;
  der::Reader outer(*content);
  const auto sequence = outer.next(der::kSequence);
  if (!sequence || !outer.at_end()) return std::nullopt;

  SgxExtension out;
  std::bitset<128> seen;
  der::Reader reader(*sequence);
  while (!reader.at_end()) {
    const auto entry = next_entry(reader, kSgxArcs);
    if (!entry || entry->last_arc > 127 || seen.test(entry->last_arc)) return std::nullopt;
    if (!parse_entry(*entry, out)) return std::nullopt;
    seen.set(entry->last_arc);
  }
  for (const std::uint8_t arc : {kPpid, kTcb, kPceId, kFmspc, kSgxType}) {
    if (!seen.test(arc)) return std::nullopt;
  }
  return out;
}

}  // namespace nostril::attestation
