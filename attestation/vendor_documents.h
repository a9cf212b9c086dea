#pragma once

#include "attestation/evidence.h"
#include "base/bytes.h"

#include <cstddef>
#include <functional>
#include <vector>

/// What vendors sign and many nodes share need not be in every node's evidence: it names the
/// documents by their SHA-256, and they travel by themselves (events of kind 31474, files). Signed
/// by the vendor and fixed by the digest, so that it does not matter who hands them over. Pure.
///
///   kind            bytes
///   Manifest        a reference manifest, XML
///   OcspAnswers     sections 9 of pack.h, as they would stand there
///   Collateral      sections 16 to 23 of pack.h, texts not folded
namespace nostril::attestation {

/// Of one document: real ones are to 40 KB.
inline constexpr std::size_t kDocumentBytesMax = 1U << 20U;

struct VendorDocument {
  NamedDocument named;
  Bytes bytes;
};

/// Takes them all out of `evidence`, which names them from now on. What is too large stays. The
/// evidence must be within_limits().
std::vector<VendorDocument> take_documents(Evidence& evidence);

/// The bytes with that SHA-256; nullptr: not at hand. Valid till the next call.
using FindDocument = std::function<const Bytes*(const Digest& sha256)>;

/// Puts those that are found into their places; the others stay named, and so do those whose bytes
/// have another digest or are no such document.
void put_documents(Evidence& evidence, const FindDocument& find);

}  // namespace nostril::attestation
