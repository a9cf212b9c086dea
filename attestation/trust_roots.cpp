#include "attestation/trust_roots.h"

#include "attestation/x509.h"
#include "schnorr/hash.h"

#include <openssl/err.h>

#include <algorithm>
#include <array>

namespace nostril::attestation {

namespace {

/// SHA-256 of the DER of "CN=Intel SGX Root CA, O=Intel Corporation, L=Santa Clara, ST=CA, C=US",
/// serial 22650cd65a9d3489f383b49552bf501b392706ac, as Intel publishes it.
constexpr Digest kIntelRootSha256 = {{0x44, 0xa0, 0x19, 0x6b, 0x2b, 0x99, 0xf8, 0x89,
                                      0xb8, 0xe1, 0x49, 0xe9, 0x5b, 0x80, 0x7a, 0x35,
                                      0x0e, 0x74, 0x24, 0x96, 0x43, 0x99, 0xe8, 0x85,
                                      0xa7, 0xcb, 0xb8, 0xcc, 0xfa, 0xb6, 0x74, 0xd3}};

/// SHA-256 of the DER of AMD's self-signed ARK certificates, as its key server gives them.
constexpr Digest kArkMilanSha256 = {{0x69, 0xd0, 0x63, 0xb4, 0x53, 0x44, 0xd2, 0x6a,
                                     0x2e, 0x94, 0xe1, 0xf4, 0x21, 0x0d, 0xe4, 0x9e,
                                     0xf5, 0x55, 0x30, 0x82, 0x87, 0xd4, 0xc1, 0x74,
                                     0x44, 0x5c, 0x95, 0x63, 0x9a, 0x54, 0x0b, 0xcd}};
constexpr Digest kArkGenoaSha256 = {{0x4c, 0x65, 0x98, 0xd1, 0x9c, 0x18, 0x71, 0x9c,
                                     0x5d, 0xfd, 0x4a, 0x7d, 0x33, 0x5f, 0x67, 0x4e,
                                     0x5b, 0xfe, 0x1d, 0x8f, 0x80, 0x0c, 0xea, 0x2c,
                                     0xf2, 0x70, 0xc1, 0x0d, 0x10, 0x3d, 0xb2, 0xf1}};
constexpr Digest kArkTurinSha256 = {{0x1f, 0x08, 0x41, 0x61, 0xa4, 0x4b, 0xb6, 0xd9,
                                     0x37, 0x78, 0xa9, 0x04, 0x87, 0x7d, 0x48, 0x19,
                                     0xca, 0xfa, 0x5d, 0x05, 0xef, 0x41, 0x93, 0xb2,
                                     0xde, 0xd9, 0xdd, 0x9c, 0x73, 0xdd, 0x3f, 0x6a}};
/// SHA-256 of the DER of NVIDIA's device identity root, as its attestation SDK carries it.
constexpr Digest kNvidiaDeviceRootSha256 = {{0x10, 0x2b, 0xf6, 0x59, 0xd5, 0x41, 0x96, 0x14,
                                             0xc9, 0xd8, 0xe6, 0xae, 0xce, 0xbc, 0x80, 0x45,
                                             0x4e, 0xb2, 0x6b, 0x1d, 0xf6, 0xa7, 0x69, 0xac,
                                             0x72, 0x0b, 0x9a, 0x69, 0x0b, 0x16, 0x7b, 0x48}};
/// SHA-256 of the DER of "CN=NVIDIA CoRIM signing Root CA, O=NVIDIA, C=US", as NVIDIA's attestation
/// SDK carries it.
constexpr Digest kNvidiaRimRootSha256 = {{0x12, 0x97, 0x7b, 0x51, 0x15, 0xac, 0xb0, 0x38,
                                          0x11, 0x79, 0x27, 0x9f, 0xff, 0xeb, 0x5a, 0x8c,
                                          0x4d, 0x26, 0x49, 0x71, 0xeb, 0xb3, 0x22, 0x98,
                                          0x02, 0x3a, 0x46, 0x5f, 0xa4, 0x1d, 0xf5, 0xd1}};
/// SHA-256 of the DER of "CN=NVIDIA Attestation Service GPU Intermediate 004", as NVIDIA's key set
/// gives it. Its issuer is not published with it.
constexpr Digest kNvidiaServiceSha256 = {{0x2d, 0xf8, 0x90, 0x7c, 0xf4, 0xd6, 0xc2, 0x77,
                                          0xb8, 0x55, 0xd4, 0x07, 0xec, 0x17, 0x8a, 0x64,
                                          0x99, 0x30, 0xa8, 0xe7, 0x3f, 0x72, 0x94, 0xe8,
                                          0xfc, 0xe6, 0x6e, 0x6e, 0xe2, 0x7c, 0x51, 0x75}};
constexpr std::array<Digest, 7> kPinned = {
    kIntelRootSha256, kNvidiaDeviceRootSha256, kArkMilanSha256,     kArkGenoaSha256,
    kArkTurinSha256,  kNvidiaRimRootSha256,    kNvidiaServiceSha256};

bool is_test_root(const Certificate& root) {
  return common_name(root) == kTestRootName && is_signed_by(root, root);
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

TrustRoots TrustRoots::vendors() {
  return intel().joined(amd()).joined(nvidia_devices()).joined(nvidia_manifests());
}

TrustRoots TrustRoots::intel() {
  TrustRoots out;
  out.roots_.push_back({kIntelRootSha256, Class::Genuine});
  return out;
}

TrustRoots TrustRoots::amd() {
  TrustRoots out;
  for (const Digest& ark : {kArkMilanSha256, kArkGenoaSha256, kArkTurinSha256}) {
    out.roots_.push_back({ark, Class::Genuine});
  }
  return out;
}

TrustRoots TrustRoots::nvidia_devices() {
  TrustRoots out;
  out.roots_.push_back({kNvidiaDeviceRootSha256, Class::Genuine});
  return out;
}

TrustRoots TrustRoots::nvidia_manifests() {
  TrustRoots out;
  out.roots_.push_back({kNvidiaRimRootSha256, Class::Genuine});
  return out;
}

TrustRoots TrustRoots::nvidia_service() {
  TrustRoots out;
  out.roots_.push_back({kNvidiaServiceSha256, Class::Genuine});
  return out;
}

Result<TrustRoots, RootError> TrustRoots::only(ByteSpan der) {
  const auto root = parse_certificate(der);
  if (!root) return failure(RootError::Malformed);
  const Digest digest = sha256(der);
  const bool pinned = std::find(kPinned.begin(), kPinned.end(), digest) != kPinned.end();
  TrustRoots out;
  out.roots_.push_back({digest, pinned                ? Class::Genuine
                                : is_test_root(*root) ? Class::Test
                                                      : Class::Given});
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

Result<TrustRoots, RootError> TrustRoots::vendors_and_test_root(ByteSpan der) {
  const auto test = with_test_root(der);
  if (!test) return failure(test.error());
  return vendors().joined(*test);
}

TrustRoots TrustRoots::joined(const TrustRoots& other) const {
  TrustRoots out = *this;
  out.roots_.insert(out.roots_.end(), other.roots_.begin(), other.roots_.end());
  return out;
}

std::optional<TrustRoots::Class> TrustRoots::classify(ByteSpan der) const {
  const Digest digest = sha256(der);
  for (const Root& root : roots_) {
    if (root.der_sha256 == digest) return root.kind;
  }
  return std::nullopt;
}

Digest TrustRoots::digest() const {
  Sha256 hash;
  for (const Root& root : roots_) {
    const auto kind = static_cast<std::uint8_t>(root.kind);
    hash.update(root.der_sha256.bytes).update(ByteSpan(&kind, 1));
  }
  return hash.finish();
}

}  // namespace nostril::attestation
