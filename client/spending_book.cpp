#include "client/spending_book.h"

#include "attestation/utc_time.h"
#include "events/nip19.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace nostril::client {

namespace {

constexpr std::int64_t kMsPerSecond = 1'000;
constexpr std::int64_t kSecondsPerDay = 86'400;
constexpr std::int64_t kDayMax = 2'932'896;  // the last one of year 9999
constexpr std::size_t kDateLength = std::string_view("2026-11-21").size();

std::int64_t to_signed(std::uint64_t value) {
  return static_cast<std::int64_t>(
      std::min<std::uint64_t>(value, std::numeric_limits<std::int64_t>::max()));
}

/// Records are the node's words: sums of its numbers must not wrap.
void add_up(std::uint64_t& sum, std::uint64_t more) {
  sum = more > std::numeric_limits<std::uint64_t>::max() - sum
            ? std::numeric_limits<std::uint64_t>::max()
            : sum + more;
}

std::string npub(const PublicKey& node) {
  return nip19::encode(nip19::Npub{node});
}

}  // namespace

SpendingBook::SpendingBook(Journal& journal) {
  std::vector<ResponseRecord> records;
  journal.scan(JournalTable::Records, {}, [&records](ByteSpan, ByteSpan value) {
    // Our own file: what is in it was verified before it went in.
    const auto event = parse_event(as_text(value));
    if (auto record = event ? parse_record(event->event()) : failure(InferenceError{})) {
      records.push_back(*std::move(record));
    }
    return records.size() < kRecordsMax;
  });
  std::ranges::sort(records, {}, &ResponseRecord::ended_at_ms);
  for (const ResponseRecord& record : records) add(record);
}

void SpendingBook::add(const ResponseRecord& record) {
  const std::int64_t day = std::clamp<std::int64_t>(record.created_at / kSecondsPerDay, 0, kDayMax);
  const Key key{day, record.model, record.node, record.asset};
  if (rows_.size() >= kRowsMax && !rows_.contains(key)) rows_.erase(rows_.begin());
  Row& row = rows_[key];
  row.cost += record.cost.value();
  // Usage is of the whole request so far: the last record of a request says it all.
  if (record.status == RecordStatus::Partial) return;
  row.answers += 1;
  add_up(row.usage.input, record.usage.input);
  add_up(row.usage.cached, record.usage.cached);
  add_up(row.usage.output, record.usage.output);

  if (answers_.size() >= kNodesMax && !answers_.contains(record.node)) return;
  std::deque<Answer>& answers = answers_[record.node];
  const bool answered = record.first_at_ms >= record.accepted_at_ms;
  answers.push_back({record.ended_at_ms / kMsPerSecond,
                     answered ? record.first_at_ms - record.accepted_at_ms : -1,
                     record.ended_at_ms - record.accepted_at_ms, record.usage.output, record.status,
                     record.cost});
  if (answers.size() > kAnswersMax) answers.pop_front();
}

void SpendingBook::write_days(JsonWriter& w) const {
  w.begin_array();
  for (const auto& [key, row] : rows_) {
    const auto& [day, model, node, asset] = key;
    w.begin_object();
    w.key("day").string(attestation::format_iso_utc(day * kSecondsPerDay).substr(0, kDateLength));
    w.key("model").string(model).key("node").string(npub(node)).key("asset").string(asset);
    w.key("answers").integer(to_signed(row.answers)).key("cost").string(to_decimal(row.cost));
    w.key("input").integer(to_signed(row.usage.input));
    w.key("cached").integer(to_signed(row.usage.cached));
    w.key("output").integer(to_signed(row.usage.output)).end_object();
  }
  w.end_array();
}

void SpendingBook::write_answers(JsonWriter& w, const PublicKey& node) const {
  w.begin_array();
  if (const auto found = answers_.find(node); found != answers_.end()) {
    for (const Answer& answer : found->second) {
      w.begin_object().key("at").integer(answer.at_s).key("first_ms").integer(answer.first_ms);
      w.key("ms").integer(answer.ms).key("output").integer(to_signed(answer.output));
      w.key("status").string(to_string(answer.status));
      w.key("cost").string(answer.cost.to_string()).end_object();
    }
  }
  w.end_array();
}

}  // namespace nostril::client
