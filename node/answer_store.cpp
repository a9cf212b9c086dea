#include "node/answer_store.h"

#include "base/hex.h"
#include "base/json.h"

#include <utility>

namespace nostril::node {

namespace {

std::optional<StoredAnswer> decode(std::string_view row) {
  const std::size_t line_end = row.find('\n');
  if (line_end == std::string_view::npos) return std::nullopt;
  const auto head = Json::parse(row.substr(0, line_end));
  if (!head) return std::nullopt;
  StoredAnswer out;
  const auto hash = head->find_string("request_hash");
  const auto expires_at = head->find_integer("expires_at");
  const auto status = head->find_integer("status");
  const auto type = head->find_string("content_type");
  const auto whole = head->find_boolean("whole");
  const Json* record = head->find("record");
  if (!hash || !expires_at || !status || !type || !whole || record == nullptr) return std::nullopt;
  const auto digest = from_hex<Digest>(*hash);
  auto event = parse_event(record->dump());
  if (!digest || !event) return std::nullopt;
  out.request_hash = *digest;
  out.expires_at = *expires_at;
  out.head = {static_cast<std::uint16_t>(*status), std::string(*type)};
  out.record = event->event();
  out.whole = *whole;
  out.body = row.substr(line_end + 1);
  return out;
}

}  // namespace

client::JournalChange put_answer(const RequestId& id, const StoredAnswer& answer) {
  JsonWriter w;
  w.begin_object();
  w.key("request_hash").string(encode_hex(answer.request_hash));
  w.key("expires_at").integer(answer.expires_at);
  w.key("status").integer(answer.head.status);
  w.key("content_type").string(answer.head.content_type);
  w.key("whole").boolean(answer.whole);
  w.key("record").raw(answer.record ? to_json(*answer.record) : "null");
  w.end_object();
  std::string row = std::move(w).take() + "\n";
  if (answer.whole) row += answer.body;
  const ByteSpan bytes = as_bytes(row);
  return {client::JournalTable::Answers, Bytes(id.bytes.begin(), id.bytes.end()),
          Bytes(bytes.begin(), bytes.end())};
}

std::optional<StoredAnswer> get_answer(client::Journal& journal, const RequestId& id,
                                       std::int64_t now_s) {
  const auto row = journal.get(client::JournalTable::Answers, id.span());
  if (!row) return std::nullopt;
  auto answer = decode(as_text(*row));
  if (!answer || answer->expires_at <= now_s) return std::nullopt;
  return answer;
}

std::vector<client::JournalChange> expired_answers(client::Journal& journal, std::int64_t now_s,
                                                   std::size_t count_max) {
  std::vector<client::JournalChange> out;
  journal.scan(client::JournalTable::Answers, {}, [&](ByteSpan key, ByteSpan value) {
    const auto answer = decode(as_text(value));
    if (!answer || answer->expires_at <= now_s) {
      out.push_back({client::JournalTable::Answers, Bytes(key.begin(), key.end()), std::nullopt});
    }
    return out.size() < count_max;
  });
  return out;
}

}  // namespace nostril::node
