#include "attestation/der.h"
#include "attestation/snp_verify.h"

namespace nostril::attestation {

namespace {

constexpr std::size_t kHwidBytes = 64;
constexpr std::size_t kTurinHwidBytes = 8;
constexpr std::size_t kCspIdBytesMax = 64;
constexpr std::uint8_t kIa5String = 0x16;

std::optional<ByteSpan> amd_extension(const Certificate& certificate, const std::string& arcs) {
  return extension_of(certificate, ("1.3.6.1.4.1.3704.1." + arcs).c_str());
}

/// The only value in an extension, when it has this tag.
std::optional<ByteSpan> only_value(std::optional<ByteSpan> extension, std::uint8_t tag) {
  if (!extension) return std::nullopt;
  der::Reader reader(*extension);
  const auto content = reader.next(tag);
  return reader.at_end() ? content : std::nullopt;
}

/// False when the extension is missing or no INTEGER 0..255.
bool read_svn(const Certificate& certificate, const std::string& arcs, std::uint8_t& out) {
  const auto content = only_value(amd_extension(certificate, arcs), der::kInteger);
  const auto number = content ? der::to_uint32(*content) : std::nullopt;
  if (!number || *number > 0xff) return false;
  out = static_cast<std::uint8_t>(*number);
  return true;
}

bool read_tcb(const Certificate& certificate, SnpProduct product, SnpTcb& out) {
  const bool has_fmc = amd_extension(certificate, "3.9").has_value();
  if (has_fmc != (product == SnpProduct::Turin)) return false;
  return read_svn(certificate, "3.1", out.bootloader) && read_svn(certificate, "3.2", out.tee) &&
         read_svn(certificate, "3.3", out.snp) && read_svn(certificate, "3.8", out.microcode) &&
         (!has_fmc || read_svn(certificate, "3.9", out.fmc));
}

std::string read_text(const Certificate& certificate, const std::string& arcs) {
  const auto text = only_value(amd_extension(certificate, arcs), kIa5String);
  return text ? std::string(as_text(*text)) : std::string();
}

/// "Milan-B0" is the product and a stepping; newer certificates leave the stepping out.
std::optional<SnpProduct> read_product(const Certificate& certificate) {
  const std::string text = read_text(certificate, "2");
  const std::size_t dash = text.find('-');
  if (dash != std::string::npos && text.size() != dash + 3) return std::nullopt;
  return parse_snp_product(text.substr(0, dash));
}

}  // namespace

std::optional<VekExtensions> vek_extensions(const Certificate& certificate, SnpSigner signer) {
  VekExtensions out;
  std::uint8_t struct_version = 0;
  const auto product = read_product(certificate);
  if (!product || !read_svn(certificate, "1", struct_version)) return std::nullopt;
  out.product = *product;
  if (!read_tcb(certificate, *product, out.tcb)) return std::nullopt;

  const auto hwid = amd_extension(certificate, "4");
  out.csp_id = read_text(certificate, "5");
  if (signer == SnpSigner::Vlek) {
    const bool named = !out.csp_id.empty() && out.csp_id.size() <= kCspIdBytesMax;
    return named && !hwid ? std::optional(out) : std::nullopt;
  }
  const std::size_t wanted = *product == SnpProduct::Turin ? kTurinHwidBytes : kHwidBytes;
  const bool foreign = amd_extension(certificate, "5").has_value();
  if (!hwid || hwid->size() != wanted || foreign) return std::nullopt;
  out.hwid.assign(hwid->begin(), hwid->end());
  return out;
}

}  // namespace nostril::attestation
