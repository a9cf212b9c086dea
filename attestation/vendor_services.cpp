#include "attestation/vendor_services.h"

#include "attestation/tdx_quote.h"
#include "base/hex.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace nostril::attestation {

namespace {

constexpr std::uint8_t kDerSequence = 0x30;
constexpr std::size_t kSignatureDigits = 128;
constexpr std::size_t kTurinHwidBytes = 8;

}  // namespace

std::optional<IntelPlatform> intel_platform(ByteSpan quote) {
  const auto view = parse_tdx_quote(quote);
  if (!view) return std::nullopt;
  auto chain = parse_pem_chain(view->pck_chain);
  if (!chain || chain->size() != 3) return std::nullopt;
  const auto extension = sgx_extension(chain->front());
  if (!extension) return std::nullopt;
  IntelPlatform out;
  const std::string name = common_name((*chain)[1]);
  out.ca = name.find("Processor") == std::string::npos ? "platform" : "processor";
  out.fmspc = extension->fmspc;
  out.chain = std::move(*chain);
  return out;
}

std::string intel_tcb_path(const IntelPlatform& platform) {
  return "/tdx/certification/v4/tcb?fmspc=" + encode_hex(platform.fmspc);
}

std::string intel_qe_identity_path() {
  return "/tdx/certification/v4/qe/identity";
}

std::string intel_pck_crl_path(const IntelPlatform& platform) {
  return "/sgx/certification/v4/pckcrl?ca=" + platform.ca + "&encoding=der";
}

std::optional<std::string> amd_vcek_path(const SnpReport& report) {
  const auto product = report.cpuid ? product_of(*report.cpuid) : std::nullopt;
  if (report.signer != SnpSigner::Vcek || !product || report.masked_chip_key) return std::nullopt;
  const bool turin = *product == SnpProduct::Turin;
  const ByteSpan chip =
      ByteSpan(report.chip_id).first(turin ? kTurinHwidBytes : report.chip_id.size());
  const auto tcb = decode_snp_tcb(report.reported_tcb, *product).value_or(SnpTcb{});
  return fmt::format("/vcek/v1/{}/{}?blSPL={:02}&teeSPL={:02}&snpSPL={:02}&ucodeSPL={:02}{}",
                     to_string(*product), encode_hex(chip), tcb.bootloader, tcb.tee, tcb.snp,
                     tcb.microcode, turin ? fmt::format("&fmcSPL={:02}", tcb.fmc) : std::string());
}

std::string amd_crl_path(SnpSigner signer, SnpProduct product) {
  return fmt::format("/{}/v1/{}/crl", signer == SnpSigner::Vcek ? "vcek" : "vlek",
                     to_string(product));
}

bool put_tcb_info(Collateral& out, ByteSpan body, std::string chain) {
  auto answer = parse_signed_answer(as_text(body), "tcbInfo");
  if (!answer) return false;
  out.tcb_info = std::move(answer->text);
  out.tcb_info_signature = answer->signature;
  out.tcb_info_issuer_chain = std::move(chain);
  return true;
}

bool put_qe_identity(Collateral& out, ByteSpan body, std::string chain) {
  auto answer = parse_signed_answer(as_text(body), "enclaveIdentity");
  if (!answer) return false;
  out.qe_identity = std::move(answer->text);
  out.qe_identity_signature = answer->signature;
  out.qe_identity_issuer_chain = std::move(chain);
  return true;
}

std::optional<SignedAnswer> parse_signed_answer(std::string_view body, std::string_view member) {
  while (body.ends_with('\n') || body.ends_with('\r')) body.remove_suffix(1);
  const std::string head = fmt::format("{{\"{}\":", member);
  constexpr std::string_view kMiddle = ",\"signature\":\"";
  constexpr std::string_view kEnd = "\"}";
  const std::size_t tail_bytes = kMiddle.size() + kSignatureDigits + kEnd.size();
  if (!body.starts_with(head) || !body.ends_with(kEnd) || body.size() < head.size() + tail_bytes) {
    return std::nullopt;
  }
  const std::string_view tail = body.substr(body.size() - tail_bytes);
  SignedAnswer out;
  if (!tail.starts_with(kMiddle) ||
      !decode_hex(tail.substr(kMiddle.size(), kSignatureDigits), out.signature)) {
    return std::nullopt;
  }
  body.remove_suffix(tail_bytes);
  body.remove_prefix(head.size());
  if (!body.starts_with('{') || !body.ends_with('}')) return std::nullopt;
  out.text = body;
  return out;
}

Bytes crl_from_answer(ByteSpan body) {
  if (!body.empty() && body.front() != kDerSequence) {
    std::string_view text = as_text(body);
    while (text.ends_with('\n') || text.ends_with('\r')) text.remove_suffix(1);
    if (auto der = decode_hex(text)) return std::move(*der);
  }
  return {body.begin(), body.end()};
}

}  // namespace nostril::attestation
