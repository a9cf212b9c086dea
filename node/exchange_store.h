#pragma once

#include "base/clock.h"
#include "client/journal.h"
#include "schnorr/types.h"

#include "face/legacy_signature.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::node {

/// A finished exchange of the HTTPS face: what was signed about it. No prompt and no answer.
struct Exchange {
  static constexpr std::size_t kIdBytesMax = 256;
  static constexpr std::size_t kModelBytesMax = 256;
  static constexpr std::size_t kReceiptBytesMax = 16U << 10;

  std::string id;          ///< the answer's `id`; empty: it had none
  std::string receipt_id;  ///< X-Receipt-Id; empty: none
  Digest caller;           ///< who may read it; zero: anybody (access.h)
  std::int64_t at_s = 0;   ///< Unix seconds
  std::string model;
  Digest request;   ///< of the wire's bytes, as SignedText has it
  Digest response;  ///< the same
  /// Made when the exchange ended, by the keys that its client attested: they may be gone after a
  /// restart.
  std::vector<face::ChatSignature> signatures;
  std::string aci_receipt;  ///< the signed document; empty: none

  /// The signature of that form; nullptr when there is none. `with_model`: the text of three parts.
  [[nodiscard]] const face::ChatSignature* signature(face::SigningAlgorithm algorithm,
                                                     bool with_model = true) const;
};

/// All four signatures of `exchange`: both algorithms, texts of three parts and of two.
[[nodiscard]] std::vector<face::ChatSignature> sign_exchange(const Exchange& exchange,
                                                             const face::LegacySigner& signer);

struct ExchangeLimits {
  std::int64_t age_s_max = 2'592'000;  ///< 30 days; older ones are not found, and erased
  std::uint64_t bytes_max = 1U << 30;  ///< on the disk, about 1500 bytes each; the oldest go first
};

/// Keeps finished exchanges in the node's journal, so that signatures and receipts outlive the
/// process. Its changes are committed by the caller, in one go with the exchange's record:
///
///   journal.commit({record, book.row(), store.put(exchange)...}, [] { the last bytes leave });
///
/// Two exchanges of one caller may bear one id (Ollama draws from a thousand): the newer is found.
/// Threads: the loop's only.
///
/// Rows, integers big-endian:
///   exchanges:       number (8), counted up                           -> encode_exchange()
///   exchange_names:  SHA-256 of what it is called (32), ~number (8)   -> nothing
class ExchangeStore {
 public:
  ExchangeStore(client::Journal& journal, const ExchangeLimits& limits, Clock& clock);

  /// Its rows, and erasures that keep the bounds. An id, model or receipt beyond its limit, or
  /// that is no UTF-8, is not kept.
  [[nodiscard]] std::vector<client::JournalChange> put(Exchange exchange);
  /// Erasures of what is too old, some hundreds at most: for a node without requests.
  [[nodiscard]] std::vector<client::JournalChange> sweep();

  /// Only what is on the disk, of this caller, and not too old.
  [[nodiscard]] std::optional<Exchange> find(const Digest& caller, std::string_view id) const;
  [[nodiscard]] std::optional<Exchange> find_receipt(const Digest& caller,
                                                     std::string_view receipt_id) const;

 private:
  [[nodiscard]] std::optional<Exchange> find_named(const Digest& name, const Digest& caller) const;
  [[nodiscard]] bool is_old(const Exchange& exchange) const;
  void erase_oldest(std::size_t bytes, std::size_t old_max,
                    std::vector<client::JournalChange>& changes);

  client::Journal& journal_;
  const ExchangeLimits limits_;
  Clock& clock_;
  std::uint64_t next_ = 0;    ///< number of the next exchange
  std::uint64_t oldest_ = 0;  ///< all before it are erased, or queued to be
};

/// One JSON object; signed texts are made of model and hashes again.
[[nodiscard]] std::string encode_exchange(const Exchange& exchange);
/// Nothing for what encode_exchange() did not write.
[[nodiscard]] std::optional<Exchange> decode_exchange(std::string_view text);

}  // namespace nostril::node
