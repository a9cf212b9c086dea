#pragma once

#include "attestation/xml.h"
#include "base/bytes.h"

#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <optional>
#include <vector>

/// XML Signature (W3C XMLDSig) in the one form that NVIDIA signs its manifests in:
///   one ds:Signature, a child of the root, with no element of that name anywhere else
///     SignedInfo: C14N 1.1; ECDSA with SHA-384; one Reference, URI "", transforms
///       enveloped-signature and C14N 1.1, SHA-384, DigestValue
///     SignatureValue: r||s, 96 bytes, in base64
///     KeyInfo: X509Data with certificates, in base64 unbroken or in lines of 64
/// and nothing else: no text between, no other attribute, no other declaration below Signature. So
/// the signature covers the whole document, and there is no second reading of which part it covers.
namespace nostril::attestation {

using Sha384 = std::array<std::uint8_t, 48>;

struct XmlSignature {
  std::size_t element = 0;  ///< of the document
  std::size_t signed_info = 0;
  Sha384 digest{};  ///< as SignedInfo says it
  std::array<std::uint8_t, 96> value{};
  std::vector<Bytes> certificates;  ///< DER, as they stand; the signer's first
};

/// Nothing when the document has no signature of that form.
std::optional<XmlSignature> read_xml_signature(const XmlDocument& document);

/// What `digest` must be: of the document without its Signature.
Sha384 digest_signed_content(const XmlDocument& document, const XmlSignature& signature);

/// `key` (P-384) signed SignedInfo, and thereby `digest`.
bool verify_signed_info(const XmlDocument& document, const XmlSignature& signature, EVP_PKEY* key);

}  // namespace nostril::attestation
