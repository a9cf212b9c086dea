#pragma once

#include "base/fixed_bytes.h"
#include "schnorr/types.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

/// The statement: what a node says about itself and what its CPU quote must commit to.
/// Pure functions of their arguments; safe from any thread. The page is spec/04-attestation.md.
namespace nostril::attestation {

/// Seconds since 1970-01-01 UTC. Always an argument: nothing in this layer reads a clock.
using UnixTime = std::int64_t;

using Nonce = std::array<std::uint8_t, 32>;

/// Everything a client relies on when it seals a prompt. All of it is inside the quote's
/// report_data.
struct Statement {
  /// The node's Nostr identity; also signs the event that carries the evidence.
  PublicKey node;
  /// N: the key that opens the first frame of a session.
  PublicKey encryption_key;
  /// When N is erased. Inside the quote, so old evidence cannot give a dead key a new life.
  UnixTime encryption_key_expires_at = 0;
  /// SHA-256 of the SubjectPublicKeyInfo (DER) of the node's HTTPS key; all zero: serves no HTTPS.
  Digest tls_spki;
  /// gpu_evidence_digest() of the raw GPU reports; without GPUs the digest of the empty list.
  Digest gpu_evidence;
  /// Digest of the model manifest, made by the measured agent; all zero: not stated.
  Digest model_manifest;
  /// The client's nonce, or the id of a recent beacon event.
  Nonce nonce{};

  bool operator==(const Statement&) const = default;
};

/// The statement's exact bytes. Seven fields, each two bytes of length (big-endian), then the
/// field:
///
///   off  len  field
///     0   32  nonce
///    34   32  node
///    68   32  encryption_key
///   102    8  encryption_key_expires_at, big-endian, two's complement; decoding refuses < 0
///   112   32  tls_spki
///   146   32  gpu_evidence
///   180   32  model_manifest
///
/// `off` is where the two length bytes lie. 214 bytes in all.
inline constexpr std::size_t kStatementBytes = 214;

std::array<std::uint8_t, kStatementBytes> encode_statement(const Statement& statement);

/// The inverse. Nothing when a length, the size or the sign of the time is wrong.
std::optional<Statement> decode_statement(std::span<const std::uint8_t> bytes);

/// H("nostril/att/cpu", encode_statement()), H = BIP-340 tagged hash. It is the `d` tag of event
/// 31471 and the first half of report_data: an event and its quote are matched without hashing.
Digest statement_digest(const Statement& statement);

/// The 64 bytes the CPU quote must carry: statement_digest (32), then the nonce (32).
std::array<std::uint8_t, 64> report_data(const Statement& statement);

/// H("nostril/att/gpus", fields(n as 4 bytes big-endian, SHA-256(report 0), ... )): commits to the
/// raw bytes of the GPU reports in index order, never to a re-encoding of them.
/// With NVSwitch reports H("nostril/att/board", fields(n, SHA-256(report 0), …, m, SHA-256(switch
/// 0), …)): the tag says which of the two it is, so that none can be taken for the other.
Digest gpu_evidence_digest(std::span<const std::span<const std::uint8_t>> raw_reports,
                           std::span<const std::span<const std::uint8_t>> raw_switches = {});

/// H("nostril/att/gpu", fields(nonce, node)): what each GPU is asked to sign. Binds a GPU report to
/// the node, as gpu_evidence binds the quote to the GPU reports.
Digest gpu_nonce(const Nonce& nonce, const PublicKey& node);

}  // namespace nostril::attestation
