#include "attestation/nras_simulator.h"

#include "base/base64.h"
#include "base/hex.h"
#include "base/json.h"
#include "schnorr/hash.h"

#include <fmt/format.h>

#include <array>

namespace nostril::attestation {

namespace {

constexpr std::string_view kKid = "nostril-test-key-not-a-tee";
constexpr std::string_view kIssuer = "https://nras.attestation.nvidia.com";
constexpr std::int64_t kLife = 3600;
constexpr std::uint32_t kSerialLeaf = 21;

constexpr std::array<std::string_view, 17> kTrue = {
    "secboot",
    "x-nvidia-gpu-arch-check",
    "x-nvidia-gpu-attestation-report-cert-chain-validated",
    "x-nvidia-gpu-attestation-report-nonce-match",
    "x-nvidia-gpu-attestation-report-parsed",
    "x-nvidia-gpu-attestation-report-signature-verified",
    "x-nvidia-gpu-driver-rim-cert-validated",
    "x-nvidia-gpu-driver-rim-fetched",
    "x-nvidia-gpu-driver-rim-measurements-available",
    "x-nvidia-gpu-driver-rim-schema-validated",
    "x-nvidia-gpu-driver-rim-signature-verified",
    "x-nvidia-gpu-vbios-index-no-conflict",
    "x-nvidia-gpu-vbios-rim-cert-validated",
    "x-nvidia-gpu-vbios-rim-fetched",
    "x-nvidia-gpu-vbios-rim-measurements-available",
    "x-nvidia-gpu-vbios-rim-schema-validated",
    "x-nvidia-gpu-vbios-rim-signature-verified"};

std::string device_name(std::size_t index) {
  return fmt::format("GPU-{}", index);
}

void write_frame(JsonWriter& json, std::span<const std::uint8_t, 32> nonce, UnixTime issued_at) {
  json.key("iss").string(kIssuer).key("eat_nonce").string(encode_hex(nonce));
  json.key("iat").integer(issued_at).key("nbf").integer(issued_at);
  json.key("exp").integer(issued_at + kLife);
}

}  // namespace

NrasSimulator::NrasSimulator(std::span<const std::uint8_t, 32> seed,
                             const NrasSimulatorOptions& options)
    : root_(seed),
      key_(seed, "nras"),
      leaf_(make_certificate({options.leaf_name,
                              std::string(kTestRootName),
                              kSerialLeaf,
                              options.leaf_not_before,
                              options.leaf_not_after,
                              false,
                              0,
                              {}},
                             key_, root_.key)) {}

std::string NrasSimulator::key_set() const {
  const ByteSpan xy(key_.public_xy());
  JsonWriter json;
  json.begin_object().key("keys").begin_array().begin_object();
  json.key("kty").string("EC").key("crv").string("P-384").key("kid").string(kKid);
  json.key("x5c").begin_array().string(encode_base64(leaf_));
  json.string(encode_base64(root_.der)).end_array();
  json.key("x").string(encode_base64url(xy.first(SimKey384::kBytes)));
  json.key("y").string(encode_base64url(xy.last(SimKey384::kBytes)));
  json.end_object().end_array().end_object();
  return std::move(json).take();
}

std::string NrasSimulator::header() {
  return fmt::format(R"({{"kid":"{}","alg":"ES384"}})", kKid);
}

std::string NrasSimulator::device_claims(std::span<const std::uint8_t, 32> nonce, std::size_t index,
                                         UnixTime issued_at) {
  JsonWriter json;
  json.begin_object();
  write_frame(json, nonce, issued_at);
  json.key("hwmodel").string(kSimulatedModel).key("ueid").string(fmt::format("{}", 1000 + index));
  json.key("measres").string("success").key("dbgstat").string("disabled");
  json.key("x-nvidia-gpu-driver-version").string("550.90.07");
  json.key("x-nvidia-gpu-vbios-version").string("96.00.9F.00.01");
  for (const std::string_view name : kTrue) json.key(name).boolean(true);
  json.end_object();
  return std::move(json).take();
}

std::string NrasSimulator::overall_claims(std::span<const std::uint8_t, 32> nonce,
                                          std::span<const std::string> devices,
                                          UnixTime issued_at) {
  JsonWriter json;
  json.begin_object().key("sub").string("NVIDIA-PLATFORM-ATTESTATION");
  write_frame(json, nonce, issued_at);
  json.key("x-nvidia-ver").string("2.0").key("x-nvidia-overall-att-result").boolean(true);
  json.key("submods").begin_object();
  for (std::size_t i = 0; i < devices.size(); ++i) {
    json.key(device_name(i)).begin_array().string("DIGEST").begin_array();
    json.string("SHA-256").string(encode_hex(sha256(devices[i]))).end_array().end_array();
  }
  json.end_object().end_object();
  return std::move(json).take();
}

std::string NrasSimulator::token(std::string_view header, std::string_view claims) const {
  const std::string signed_part =
      encode_base64url(as_bytes(header)) + "." + encode_base64url(as_bytes(claims));
  return signed_part + "." + encode_base64url(key_.sign(as_bytes(signed_part)));
}

std::string NrasSimulator::response(std::string_view overall,
                                    std::span<const std::string> devices) {
  JsonWriter json;
  json.begin_array().begin_array().string("JWT").string(overall).end_array().begin_object();
  for (std::size_t i = 0; i < devices.size(); ++i) json.key(device_name(i)).string(devices[i]);
  json.end_object().end_array();
  return std::move(json).take();
}

NrasEvidence NrasSimulator::evidence(std::span<const std::uint8_t, 32> nonce, std::size_t count,
                                     UnixTime issued_at) const {
  std::vector<std::string> devices;
  for (std::size_t i = 0; i < count; ++i) {
    devices.push_back(token(header(), device_claims(nonce, i, issued_at)));
  }
  const std::string overall = token(header(), overall_claims(nonce, devices, issued_at));
  return {response(overall, devices), key_set()};
}

}  // namespace nostril::attestation
