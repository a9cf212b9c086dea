#pragma once

#include "client/journal.h"
#include "events/frames.h"
#include "events/inference.h"

#include <cstdint>
#include <optional>
#include <string>

namespace nostril::node {

/// A finished answer, kept until its encryption key expires: the same request id gets the same
/// answer and is charged once, also after a restart.
struct StoredAnswer {
  Digest request_hash;
  std::int64_t expires_at = 0;  ///< Unix seconds
  ResponseHead head;
  std::optional<Event> record;
  std::string body;
  bool whole = true;  ///< false: the body was too large to keep
};

/// Row of JournalTable::Answers: request id (16) -> one line of JSON, LF, the body.
[[nodiscard]] client::JournalChange put_answer(const RequestId& id, const StoredAnswer& answer);
[[nodiscard]] std::optional<StoredAnswer> get_answer(client::Journal& journal, const RequestId& id,
                                                     std::int64_t now_s);
/// Deletions of what has expired, `count_max` at most.
[[nodiscard]] std::vector<client::JournalChange> expired_answers(client::Journal& journal,
                                                                 std::int64_t now_s,
                                                                 std::size_t count_max);

}  // namespace nostril::node
