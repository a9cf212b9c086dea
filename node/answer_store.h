#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/journal.h"
#include "events/frames.h"
#include "events/inference.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace nostril::node {

struct AnswerLimits {
  std::int64_t kept_s = 86'400;  ///< how long the same request id gets the same answer
  /// Of all rows. Beyond it the oldest answers lose their bodies: what was charged is not made
  /// again, but can't be repeated either.
  std::uint64_t bytes_max = std::uint64_t{1} << 30;
};

/// A finished answer.
struct StoredAnswer {
  ResponseHead head;
  Event record;
  std::string body;
};

/// What is known of a request id.
struct AnswerKept {
  enum class Why : std::uint8_t {
    Unknown,       ///< it may be answered
    OtherRequest,  ///< it was used with another body
    NotKept,       ///< something was charged under it, and the answer is not here
  };
};

using FoundAnswer = std::variant<AnswerKept::Why, StoredAnswer>;

/// Answers that were charged, so that the same request id gets the same answer and is charged once,
/// also after a restart. Rows are committed together with the record, before it leaves.
///
/// Row of JournalTable::Answers: request id (16) -> expiry (8, Unix seconds, big-endian), and then
/// nothing when the body is not kept, else one line of JSON (status, content_type, record), LF,
/// nonce (12), the body under AES-256-GCM with its tag. Its key is HKDF-SHA256(salt = request id,
/// ikm = request body, info = "nostril/answer/1"): who reads the disk reads no answer whose request
/// he does not know.
/// Memory: about 200 bytes an answer. Threads: the loop's only.
class AnswerStore {
 public:
  AnswerStore(client::Journal& journal, const AnswerLimits& limits, Clock& clock, Rng& rng);

  [[nodiscard]] FoundAnswer find(const RequestId& id, ByteSpan request_body) const;

  /// The id is being answered from now on. False when it is already.
  [[nodiscard]] bool begin(const RequestId& id) { return running_.insert(id).second; }

  void end(const RequestId& id) { running_.erase(id); }

  /// To be committed with the record: the answer, and what has to go for it.
  [[nodiscard]] std::vector<client::JournalChange> put(const RequestId& id, ByteSpan request_body,
                                                       const StoredAnswer& answer);
  /// The same when there is no body to keep, or not yet: a part of the answer was charged.
  [[nodiscard]] std::vector<client::JournalChange> put_charged(const RequestId& id);

  /// Deletions of what has expired, `count_max` at most.
  [[nodiscard]] std::vector<client::JournalChange> expired(std::size_t count_max);

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

  [[nodiscard]] std::size_t count() const { return rows_.size(); }

 private:
  using Age = std::pair<std::int64_t, RequestId>;  // expiry first

  struct Row {
    std::int64_t expires_at;
    std::size_t bytes;
    bool whole;
  };

  void remember(const RequestId& id, const Row& row);
  void forget(const RequestId& id);
  [[nodiscard]] std::vector<client::JournalChange> put_row(const RequestId& id, Bytes value,
                                                           bool whole);
  void make_room(const RequestId& but, std::vector<client::JournalChange>& changes);

  client::Journal& journal_;
  const AnswerLimits limits_;
  Clock& clock_;
  Rng& rng_;
  std::unordered_map<RequestId, Row, FixedBytesHash> rows_;
  std::set<Age> oldest_;
  std::set<Age> oldest_whole_;
  std::uint64_t bytes_ = 0;
  std::set<RequestId> running_;
};

}  // namespace nostril::node
