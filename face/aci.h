#pragma once

#include "base/result.h"
#include "schnorr/ed25519.h"
#include "schnorr/types.h"

#include "face/api_error.h"
#include "face/attestation_report.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Attested Confidential Inference, `aci/1` (draft of 2026-08), for a service that runs the model
/// itself ("direct": no upstream, no attested sessions). Documents are hashed and signed in their
/// canonical form (canonical_json.h). Threads: any.
namespace nostril::face {

inline constexpr std::string_view kAciVersion = "aci/1";  ///< X-ACI-Version
inline constexpr std::string_view kAciX25519 = "x25519-aes-256-gcm-hkdf-sha256";
inline constexpr std::string_view kAciSecp256k1 = "secp256k1-aes-256-gcm-hkdf-sha256";

struct AciReceiptKey {
  std::string id;
  Ed25519PublicKey key;
};

struct AciEncryptionKey {
  std::string id;
  std::string_view algorithm = kAciX25519;
  std::string public_key;  ///< hex
};

struct AciTlsKey {
  Digest spki;
  std::optional<std::string> domain;
};

/// The keys that a quote binds.
struct AciKeyset {
  std::optional<std::string> subject;
  std::int64_t not_after = 0;  ///< Unix seconds
  std::vector<AciReceiptKey> receipt_keys;
  std::vector<AciEncryptionKey> encryption_keys;
  std::vector<AciTlsKey> tls_keys;
};

/// The keyset's canonical form, and "sha256:" with the hash of it (X-ACI-Keyset-Digest).
[[nodiscard]] std::string keyset_json(const AciKeyset& keyset);
[[nodiscard]] std::string keyset_digest(const AciKeyset& keyset);

/// The statement whose hash is the report data. Without a nonce it is null: no freshness.
[[nodiscard]] std::string aci_statement(std::string_view keyset_digest,
                                        const std::optional<ReportNonce>& nonce);
/// SHA-256 of the statement, zeros behind.
[[nodiscard]] ReportData aci_report_data(std::string_view keyset_digest,
                                         const std::optional<ReportNonce>& nonce);

/// `nonce` of the query of GET /v1/aci/attestation: 64 lowercase hex digits, or none.
[[nodiscard]] Result<std::optional<ReportNonce>, ApiError> parse_aci_query(std::string_view query);

struct AciProvenance {
  std::optional<std::string> repo_url;
  std::optional<std::string> repo_commit;
  std::optional<std::string> image_digest;
};

struct AciReport {
  AciKeyset keyset;
  std::optional<ReportNonce> nonce;
  std::string_view tee = "tdx";  ///< or "sev_snp"
  AciProvenance provenance;
  std::string evidence = "{}";  ///< JSON, of the TEE's kind: the quote over aci_report_data() in it
  bool field_encryption = false;  ///< version 2 is served
};

[[nodiscard]] std::string aci_report_json(const AciReport& report);

/// What happened to one request. Refusals have receipts too; `forwarded` is then empty.
struct AciReceipt {
  std::string id;  ///< X-Receipt-Id
  std::optional<std::string> chat_id;
  std::optional<std::string> model;
  std::string keyset_digest;
  std::string endpoint;  ///< its path
  std::string method = "POST";
  std::int64_t served_at = 0;       ///< Unix seconds
  Digest received;                  ///< of the body; of an encrypted request, as restored
  std::optional<Digest> forwarded;  ///< of the bytes that the engine got
  Digest returned;                  ///< of all bytes sent
  std::string key_id;
};

/// The document with its signature, in canonical form.
[[nodiscard]] std::string sign_receipt(const AciReceipt& receipt, const Ed25519Key& key);

inline constexpr std::size_t kAciReceiptBytesMax = 1U << 20;

/// Whether the document, in any encoding, is signed by `key`. For clients, and for tests.
[[nodiscard]] bool verify_receipt(std::string_view json, const Ed25519PublicKey& key);

/// The body of a request without what only this protocol reads: `provider.aci_verified`, which a
/// direct service satisfies, and `provider.aci_session_ids`, which it can't (412). Other members
/// that start with `aci_` are refused. The body itself, byte for byte, when it has none.
[[nodiscard]] Result<std::string, ApiError> take_constraints(std::string_view body,
                                                             const Json& document);

}  // namespace nostril::face
