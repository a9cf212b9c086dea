#include "attestation/gpu_certificates.h"

#include "attestation/bignum.h"
#include "attestation/der.h"
#include "attestation/evidence.h"
#include "base/hex.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>

namespace nostril::attestation {

namespace {

constexpr const char* kCompositeDeviceId = "2.23.133.5.4.1";
constexpr const char* kTcbInfo = "2.23.133.5.4.1.1";
constexpr const char* kAlternativeName = "2.5.29.17";
constexpr std::array<std::uint8_t, 9> kSha384Arcs = {0x60, 0x86, 0x48, 0x01, 0x65,
                                                     0x03, 0x04, 0x02, 0x02};
constexpr std::uint8_t kContext0 = 0xa0;
constexpr std::uint8_t kFwidList = 0xa6;
constexpr std::uint8_t kOperationalFlags = 0x87;
constexpr std::uint8_t kDebugFlags = 0x70;  // bits 1 to 3 of the first byte
constexpr std::size_t kFwidCountMax = 16;
constexpr std::string_view kTestPrefix = "NOSTRIL TEST ";
constexpr std::size_t kDeviceIdDigits = 16;

/// The length that the DER value at the front states; 0 when it is none.
std::size_t der_value_bytes(ByteSpan bytes) {
  der::Reader reader(bytes);
  const auto value = reader.next();
  if (!value || value->tag != der::kSequence) return 0;
  return static_cast<std::size_t>(value->content.data() - bytes.data()) + value->content.size();
}

Result<std::vector<Certificate>, ChainError> parse_der_chain(ByteSpan chain, ChainCache& cache) {
  std::vector<Certificate> out;
  while (!chain.empty()) {
    if (out.size() == kChainCountMax) return failure(ChainError::WrongLength);
    const std::size_t size = der_value_bytes(chain);
    auto certificate = cache.parse(chain.first(size));
    if (!certificate) return failure(ChainError::BadCertificate);
    out.push_back(std::move(*certificate));
    chain = chain.subspan(size);
  }
  return out;
}

/// Appends it unless it stands for none.
bool read_fwid(der::Reader& in, std::vector<Measurement>& out) {
  const auto fwid = in.next(der::kSequence);
  if (!fwid) return false;
  der::Reader parts(*fwid);
  const auto algorithm = parts.next(der::kOid);
  const auto digest = parts.next(der::kOctetString);
  if (!algorithm || !digest || !parts.at_end()) return false;
  if (!std::equal(algorithm->begin(), algorithm->end(), kSha384Arcs.begin(), kSha384Arcs.end())) {
    return false;
  }
  Measurement value{};
  if (digest->size() != value.size()) return false;
  std::copy(digest->begin(), digest->end(), value.begin());
  if (value != Measurement{}) out.push_back(value);
  return true;
}

/// Hopper.
std::optional<GpuFirmware> read_composite_device_id(ByteSpan content) {
  der::Reader outer(content);
  const auto whole = outer.next(der::kSequence);
  if (!whole || !outer.at_end()) return std::nullopt;
  der::Reader in(*whole);
  const auto version = in.next(der::kInteger);
  if (!version || der::to_uint32(*version) != 1U || !in.next(der::kSequence)) return std::nullopt;
  GpuFirmware out;
  if (!read_fwid(in, out.fwids) || !in.at_end()) return std::nullopt;
  return out;
}

/// Blackwell.
std::optional<GpuFirmware> read_tcb_info(ByteSpan content) {
  der::Reader outer(content);
  const auto whole = outer.next(der::kSequence);
  if (!whole || !outer.at_end()) return std::nullopt;
  GpuFirmware out;
  std::uint8_t last_number = 0;
  bool first = true;
  for (der::Reader in(*whole); !in.at_end(); first = false) {
    const auto field = in.next();
    if (!field) return std::nullopt;
    const auto number = static_cast<std::uint8_t>(field->tag & 0x1fU);
    if (!first && number <= last_number) return std::nullopt;  // context tags rise
    last_number = number;
    if (field->tag == kFwidList) {
      std::size_t count = 0;
      for (der::Reader list(field->content); !list.at_end(); ++count) {
        if (count == kFwidCountMax || !read_fwid(list, out.fwids)) return std::nullopt;
      }
    } else if (field->tag == kOperationalFlags) {
      if (field->content.size() < 2) return std::nullopt;
      out.debug = (field->content[1] & kDebugFlags) != 0;
    }
  }
  return out;
}

struct ChipAndStepping {
  std::string chip;
  std::string stepping;
};

/// The first two words.
std::optional<ChipAndStepping> split_leaf_name(std::string_view name) {
  const auto take_word = [&name] {
    const std::size_t end = std::min(name.find(' '), name.size());
    std::string word(name.substr(0, end));
    name.remove_prefix(std::min(end + 1, name.size()));
    return word;
  };
  ChipAndStepping out{take_word(), take_word()};
  const auto plain = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); };
  const auto sound = [&plain](const std::string& word) {
    return !word.empty() && std::all_of(word.begin(), word.end(), plain);
  };
  if (!sound(out.chip) || !sound(out.stepping)) return std::nullopt;
  return out;
}

bool is_numbered(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  return !name.empty() &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

Result<std::vector<Certificate>, ChainError> parse_gpu_chain(ByteSpan chain) {
  ChainCache cache;
  return parse_gpu_chain(chain, cache);
}

Result<std::vector<Certificate>, ChainError> parse_gpu_chain(ByteSpan chain, ChainCache& cache) {
  if (!chain.empty() && chain.front() == der::kSequence) return parse_der_chain(chain, cache);
  std::string_view text = as_text(chain);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\0')) text.remove_suffix(1);
  return parse_pem_chain(text, cache);
}

Bytes join_chain(const std::vector<Certificate>& chain) {
  Bytes out;
  for (const Certificate& certificate : chain) {
    out.insert(out.end(), certificate.der.begin(), certificate.der.end());
  }
  return out;
}

GpuNames gpu_names(TrustRoots::Class root_class, std::string_view chip, std::string_view stepping) {
  const bool test = root_class == TrustRoots::Class::Test;
  const std::string prefix(test ? kTestPrefix : "");
  const std::string vendor = prefix + "NVIDIA " + std::string(chip);
  const std::string device = prefix + std::string(chip) + " " + std::string(stepping);
  return {device + " GSP FMC LF", device + " GSP BROM", vendor + " Provisioner ICA ",
          vendor + " Identity",
          std::string(test ? kTestRootName : std::string_view("NVIDIA Device Identity CA"))};
}

std::optional<std::string> chip_of(const std::vector<Certificate>& chain,
                                   TrustRoots::Class root_class) {
  if (chain.size() != kGpuChainCount) return std::nullopt;
  std::array<std::string, kGpuChainCount> names;
  std::transform(chain.begin(), chain.end(), names.begin(),
                 [](const Certificate& certificate) { return common_name(certificate); });
  std::string_view leaf = names[0];
  if (root_class == TrustRoots::Class::Test && leaf.starts_with(kTestPrefix)) {
    leaf.remove_prefix(kTestPrefix.size());
  }
  const auto found = split_leaf_name(leaf);
  if (!found) return std::nullopt;
  const GpuNames wanted = gpu_names(root_class, found->chip, found->stepping);
  const bool same = names[0] == wanted.leaf && names[1] == wanted.brom &&
                    is_numbered(names[2], wanted.provisioner) && names[3] == wanted.identity &&
                    names[4] == wanted.root;
  return same ? std::optional(found->chip) : std::nullopt;
}

GpuNames switch_names(TrustRoots::Class root_class) {
  GpuNames out = gpu_names(root_class, "GH100", "A01");
  const std::string prefix(root_class == TrustRoots::Class::Test ? kTestPrefix : "");
  out.leaf = prefix + "LS_10 A01 FSP FMC LF";
  out.brom = prefix + "LS_10 A01 FSP BROM";
  out.provisioner = prefix + "NVIDIA LS_10 Provisioner ICA ";
  return out;
}

std::optional<std::string> switch_of(const std::vector<Certificate>& chain,
                                     TrustRoots::Class root_class) {
  if (chain.size() != kGpuChainCount) return std::nullopt;
  const GpuNames wanted = switch_names(root_class);
  const bool same = common_name(chain[0]) == wanted.leaf && common_name(chain[1]) == wanted.brom &&
                    is_numbered(common_name(chain[2]), wanted.provisioner) &&
                    common_name(chain[3]) == wanted.identity &&
                    common_name(chain[4]) == wanted.root;
  return same ? std::optional<std::string>("LS10") : std::nullopt;
}

std::optional<std::string> gpu_chip(ByteSpan chain) {
  if (chain.size() > kIssuerChainBytesMax) return std::nullopt;
  const auto certificates = parse_gpu_chain(chain);
  if (!certificates) return std::nullopt;
  auto chip = chip_of(*certificates, TrustRoots::Class::Genuine);
  return chip ? chip : chip_of(*certificates, TrustRoots::Class::Test);
}

std::optional<GpuFirmware> gpu_firmware(const Certificate& leaf) {
  const auto hopper = extension_of(leaf, kCompositeDeviceId);
  const auto blackwell = extension_of(leaf, kTcbInfo);
  if (hopper.has_value() == blackwell.has_value()) return std::nullopt;
  auto out = hopper ? read_composite_device_id(*hopper) : read_tcb_info(*blackwell);
  if (out && out->fwids.empty()) return std::nullopt;
  return out;
}

std::string serial_of(const Certificate& certificate) {
  const ASN1_INTEGER* serial = X509_get0_serialNumber(certificate.get());
  return encode_hex(ByteSpan(ASN1_STRING_get0_data(serial),
                             static_cast<std::size_t>(ASN1_STRING_length(serial))));
}

std::string to_decimal(const std::string& serial) {
  const Bytes bytes = decode_hex(serial).value_or(Bytes());
  char* digits = BN_bn2dec(to_number(bytes).get());
  CHECK(digits != nullptr);
  std::string out(digits);
  OPENSSL_free(digits);
  return out;
}

std::string gpu_device_id(const Certificate& leaf) {
  const auto names = extension_of(leaf, kAlternativeName);
  if (!names) return {};
  // SEQUENCE { [0] { OID, [0] { UTF8String } } }
  der::Reader outer(*names);
  const auto list = outer.next(der::kSequence);
  der::Reader in(list.value_or(ByteSpan()));
  der::Reader other(in.next(kContext0).value_or(ByteSpan()));
  if (!other.next(der::kOid)) return {};
  der::Reader value(other.next(kContext0).value_or(ByteSpan()));
  const auto text = value.next(der::kUtf8String);
  if (!text) return {};
  const std::string_view name = as_text(*text);
  const std::size_t colon = name.rfind(':');
  if (colon == std::string_view::npos) return {};
  std::string id(name.substr(colon + 1));
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  const bool sound = id.size() == kDeviceIdDigits && std::all_of(id.begin(), id.end(), hex);
  return sound ? id : std::string();
}

}  // namespace nostril::attestation
