#include "base/check.h"
#include "tests/face/fuzz_keys.h"

#include "face/aci_encryption.h"
#include "face/field_encryption.h"

#include <algorithm>
#include <array>

using namespace nostril;

namespace {

/// The first line of the input: header values between spaces. The rest: a body.
struct Input {
  std::array<std::string_view, 6> headers;
  std::string_view body;
};

Input split(std::string_view text) {
  Input out;
  const std::size_t end = std::min(text.find('\n'), text.size());
  out.body = text.substr(std::min(end + 1, text.size()));
  std::string_view line = text.substr(0, end);
  for (std::string_view& header : out.headers) {
    const std::size_t stop = std::min(line.find(' '), line.size());
    header = line.substr(0, stop);
    line.remove_prefix(std::min(stop + 1, line.size()));
  }
  return out;
}

void try_legacy(const Input& input, face::Endpoint endpoint) {
  static const face::LegacySigner kSigner = face::test::fuzz_signer();
  SystemRng rng;
  face::FieldEncryptionHeaders headers;
  headers.signing_algo = input.headers[0];
  headers.client_public_key = input.headers[1];
  const std::string node_key = kSigner.public_key(face::SigningAlgorithm::Ecdsa);
  if (!input.headers[4].empty()) {
    headers.e2ee_nonce = input.headers[4];
    headers.e2ee_timestamp = input.headers[5];
    headers.model_public_key = node_key;
  }
  if (!input.headers[2].empty()) headers.encryption_version = input.headers[2];
  if (!input.headers[3].empty()) headers.encrypt_all_fields = input.headers[3];
  auto exchange = face::FieldEncryption::from_headers(headers, kSigner);
  if (!exchange || !*exchange) return;
  const auto plain = (*exchange)->decrypt_request(endpoint, input.body, kSigner);
  CHECK(!plain || Json::parse(*plain).has_value());
  const auto sealed = (*exchange)->encrypt_response(endpoint, input.body, rng);
  CHECK(!sealed || Json::parse(*sealed).has_value());
}

void try_aci(const Input& input, face::Endpoint endpoint) {
  static const face::AciKeys kKeys = face::test::fuzz_aci_keys();
  const face::AciEncryptionHeaders headers{input.headers[0], input.headers[1], input.headers[2],
                                           input.headers[3], input.headers[4], std::nullopt};
  auto exchange = face::AciEncryption::from_headers(headers, kKeys, 1'750'000'000);
  if (!exchange || !*exchange) return;
  const auto plain = (*exchange)->decrypt_request(endpoint, input.body, kKeys);
  CHECK(!plain || Json::parse(*plain).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 1U << 16) return 0;
  const auto endpoint = static_cast<face::Endpoint>(data[0] % 7);
  const Input input = split(as_text({data + 1, size - 1}));
  try_legacy(input, endpoint);
  try_aci(input, endpoint);
  return 0;
}
