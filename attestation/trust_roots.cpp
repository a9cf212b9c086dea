#include "attestation/trust_roots.h"

#include "attestation/x509.h"
#include "schnorr/hash.h"

#include <openssl/err.h>

namespace nostril::attestation {

namespace {

/// SHA-256 of the DER of "CN=Intel SGX Root CA, O=Intel Corporation, L=Santa Clara, ST=CA, C=US",
/// serial 22650cd65a9d3489f383b49552bf501b392706ac, as Intel publishes it.
constexpr Digest kIntelRootSha256 = {{0x44, 0xa0, 0x19, 0x6b, 0x2b, 0x99, 0xf8, 0x89,
                                      0xb8, 0xe1, 0x49, 0xe9, 0x5b, 0x80, 0x7a, 0x35,
                                      0x0e, 0x74, 0x24, 0x96, 0x43, 0x99, 0xe8, 0x85,
                                      0xa7, 0xcb, 0xb8, 0xcc, 0xfa, 0xb6, 0x74, 0xd3}};

bool is_test_root(const Certificate& root) {
  if (common_name(root) != kTestRootName) return false;
  const bool self_signed = X509_verify(root.get(), X509_get0_pubkey(root.get())) == 1;
  ERR_clear_error();
  return self_signed;
}

}  // namespace

std::string_view to_string(RootError error) {
  switch (error) {
    case RootError::Malformed:
      return "not a DER certificate";
    case RootError::NotTestRoot:
      return "not a test root";
  }
  return "unknown";
}

TrustRoots TrustRoots::intel() {
  TrustRoots out;
  out.roots_.push_back({kIntelRootSha256, Class::Genuine});
  return out;
}

Result<TrustRoots, RootError> TrustRoots::with_test_root(ByteSpan der) {
  const auto root = parse_certificate(der);
  if (!root) return failure(RootError::Malformed);
  if (!is_test_root(*root)) return failure(RootError::NotTestRoot);
  TrustRoots out;
  out.roots_.push_back({sha256(der), Class::Test});
  return out;
}

Result<TrustRoots, RootError> TrustRoots::intel_and_test_root(ByteSpan der) {
  auto out = with_test_root(der);
  if (out) out->roots_.push_back({kIntelRootSha256, Class::Genuine});
  return out;
}

std::optional<TrustRoots::Class> TrustRoots::classify(ByteSpan der) const {
  const Digest digest = sha256(der);
  for (const Root& root : roots_) {
    if (root.der_sha256 == digest) return root.kind;
  }
  return std::nullopt;
}

}  // namespace nostril::attestation
