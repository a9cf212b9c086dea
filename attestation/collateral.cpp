#include "attestation/collateral.h"

#include <algorithm>

namespace nostril::attestation {

namespace {

/// What TCB info and QE identity have in common: text, signature, issuer chain.
struct SignedText {
  std::string_view text;
  std::span<const std::uint8_t, 64> signature;
  std::string_view issuer_chain;
};

/// Checks chain and signature before a single value of the text is believed.
Result<TrustedChain, CollateralError> check_signed_text(const SignedText& signed_text,
                                                        const TrustRoots& roots,
                                                        const Certificate& root, UnixTime now,
                                                        ChainCache& cache) {
  if (signed_text.text.size() > kCollateralTextBytesMax ||
      signed_text.issuer_chain.size() > kCollateralTextBytesMax) {
    return failure(CollateralError::TooLarge);
  }
  auto chain = check_trusted_chain(signed_text.issuer_chain, 2, roots, now, cache);
  if (!chain || chain->root().der != root.der) return failure(CollateralError::BadChain);
  if (common_name(chain->leaf()) != chain_names(chain->root_class).tcb_signing) {
    return failure(CollateralError::BadChain);
  }
  const ByteSpan message = as_bytes(signed_text.text);
  if (!verify_p256(p256_key_of(chain->leaf()), message, signed_text.signature)) {
    return failure(CollateralError::BadSignature);
  }
  return std::move(*chain);
}

template <typename Document, typename Parse>
Result<Vouched<Document>, CollateralError> check_document(const SignedText& signed_text,
                                                          IntelTee tee, const TrustRoots& roots,
                                                          const Certificate& root, UnixTime now,
                                                          ChainCache& cache, Parse parse) {
  auto chain = check_signed_text(signed_text, roots, root, now, cache);
  if (!chain) return failure(chain.error());
  Result<Document, CollateralError> document = parse(signed_text.text, tee);
  if (!document) return failure(document.error());
  if (now < document->issued_at) return failure(CollateralError::NotYetValid);
  if (now > document->next_update) return failure(CollateralError::Expired);
  return Vouched<Document>{std::move(*document), std::move(*chain)};
}

template <std::size_t N>
bool equal_masked(const std::array<std::uint8_t, N>& found, const std::array<std::uint8_t, N>& mask,
                  const std::array<std::uint8_t, N>& wanted) {
  for (std::size_t i = 0; i < N; ++i) {
    if ((found.at(i) & mask.at(i)) != wanted.at(i)) return false;
  }
  return true;
}

}  // namespace

Result<Vouched<TcbInfo>, CollateralError> check_tcb_info(const Collateral& collateral, IntelTee tee,
                                                         const TrustRoots& roots,
                                                         const Certificate& root, UnixTime now,
                                                         ChainCache& cache) {
  const SignedText text{collateral.tcb_info, collateral.tcb_info_signature,
                        collateral.tcb_info_issuer_chain};
  return check_document<TcbInfo>(text, tee, roots, root, now, cache, parse_tcb_info);
}

Result<Vouched<QeIdentity>, CollateralError> check_qe_identity(const Collateral& collateral,
                                                               IntelTee tee,
                                                               const TrustRoots& roots,
                                                               const Certificate& root,
                                                               UnixTime now, ChainCache& cache) {
  const SignedText text{collateral.qe_identity, collateral.qe_identity_signature,
                        collateral.qe_identity_issuer_chain};
  return check_document<QeIdentity>(text, tee, roots, root, now, cache, parse_qe_identity);
}

Result<UnixTime, CrlError> check_revocation(const Collateral& collateral, const TrustedChain& pck,
                                            const Certificate& tcb_signer,
                                            const Certificate& qe_signer, UnixTime now) {
  const Certificate& pck_ca = pck.certificates[1];
  if (collateral.root_ca_crl.size() > kCrlBytesMax || collateral.pck_crl.size() > kCrlBytesMax) {
    return failure(CrlError::Malformed);
  }
  const auto root_crl = parse_crl(collateral.root_ca_crl, pck.root(), now);
  if (!root_crl) return failure(root_crl.error());
  const auto pck_crl = parse_crl(collateral.pck_crl, pck_ca, now);
  if (!pck_crl) return failure(pck_crl.error());
  const bool revoked = is_revoked(*root_crl, pck_ca) || is_revoked(*root_crl, tcb_signer) ||
                       is_revoked(*root_crl, qe_signer) || is_revoked(*pck_crl, pck.leaf());
  if (revoked) return failure(CrlError::Revoked);
  return std::min(valid_until(*root_crl), valid_until(*pck_crl));
}

const SvnLevel* match_qe(const QeIdentity& identity, const EnclaveReport& qe) {
  const bool same = equal_masked(qe.miscselect, identity.miscselect_mask, identity.miscselect) &&
                    equal_masked(qe.attributes, identity.attributes_mask, identity.attributes) &&
                    qe.mrsigner == identity.mrsigner && qe.isv_prod_id == identity.isv_prod_id;
  if (!same) return nullptr;
  for (const SvnLevel& level : identity.levels) {
    if (qe.isv_svn >= level.isv_svn) return &level;
  }
  return nullptr;
}

}  // namespace nostril::attestation
