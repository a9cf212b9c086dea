#include "relay/cluster/decision_log.h"

#include "base/hex.h"
#include "relay/store/keys.h"
#include "schnorr/hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::size_t kIdBytes = 16;
constexpr std::size_t kNumberBytes = 8;
// Address space for kKept of the longest.
constexpr std::size_t kMapBytes = std::size_t{1} << 30;

Key key_of(std::uint64_t number) {
  return Key().add_integer(number, kNumberBytes);
}

void drop_decided_since(ModerationMessage& decision, std::span<const ModerationMessage> later) {
  std::set<std::pair<ModerationList, std::string>> since;
  for (const ModerationMessage& message : later) {
    if (message.id == decision.id) continue;  // that is this one
    for (const ModerationChange& change : message.changes) since.emplace(change.list, change.item);
  }
  std::erase_if(decision.changes, [&since](const ModerationChange& change) {
    return since.contains({change.list, change.item});
  });
}

}  // namespace

Result<std::unique_ptr<DecisionLog>, std::string> DecisionLog::open(
    const std::filesystem::path& folder) {
  auto env = lmdb::Env::open(folder, {.map_bytes_initial = kMapBytes, .tables_max = 1});
  if (!env) return failure(std::move(env.error()));
  const auto table = (*env)->open_table("decisions", true);
  if (!table) return failure(fmt::format("{}: {}", folder.string(), table.error().text()));
  std::unique_ptr<DecisionLog> out(  // NOLINT: the constructor is private
      new DecisionLog(std::move(*env), *table));
  if (auto loaded = out->load(); !loaded) {
    return failure(fmt::format("{}: {}", folder.string(), loaded.error()));
  }
  return out;
}

Result<void, std::string> DecisionLog::load() {
  lmdb::ReadTxn txn(*env_);
  lmdb::Cursor at(txn, table_);
  for (bool more = at.first(); more; more = at.next()) {
    if (at.key().size() != kNumberBytes || at.value().size() <= kIdBytes) {
      return failure(std::string("a row of it is damaged"));
    }
    last_ = read_integer(at.key());
    numbers_.emplace(encode_hex(at.value().first(kIdBytes)), last_);
  }
  if (!txn.ok()) return failure(txn.error().text());
  return {};
}

Result<void, std::string> DecisionLog::put(const ModerationMessage& message) {
  const std::lock_guard lock(mutex_);
  if (numbers_.contains(message.id)) return {};
  auto row = decode_hex(message.id);
  if (!row || row->size() != kIdBytes) return failure(std::string("a message id that is none"));
  const std::string body = to_json(message);
  row->insert(row->end(), body.begin(), body.end());
  const std::uint64_t number = last_ + 1;
  lmdb::WriteTxn txn(*env_);
  txn.put(table_, key_of(number).span(), *row);
  const auto oldest =
      std::ranges::min_element(numbers_, {}, [](const auto& one) { return one.second; });
  const bool is_full = numbers_.size() >= kKept;
  if (is_full) (void)txn.erase(table_, key_of(oldest->second).span());
  if (auto done = txn.commit(); !done) return failure(done.error().text());
  if (is_full) numbers_.erase(oldest);
  numbers_.emplace(message.id, number);
  last_ = number;
  return {};
}

bool DecisionLog::has(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  return numbers_.contains(id);
}

// In the order in which they were applied. With mutex_ held.
Result<std::vector<ModerationMessage>, std::string> DecisionLog::from(std::uint64_t number) const {
  std::vector<ModerationMessage> out;
  lmdb::ReadTxn txn(*env_);
  lmdb::Cursor at(txn, table_);
  for (bool more = at.seek(key_of(number).span()); more; more = at.next()) {
    auto message = parse_moderation(as_text(at.value().subspan(kIdBytes)));
    if (!message)
      return failure("a decision of the log: " + std::string(to_string(message.error())));
    out.push_back(std::move(*message));
  }
  if (!txn.ok()) return failure(txn.error().text());
  return out;
}

std::optional<ModerationMessage> DecisionLog::again(std::string_view id) {
  const std::lock_guard lock(mutex_);
  const auto found = numbers_.find(id);
  if (found == numbers_.end()) return std::nullopt;
  const auto messages = from(found->second);
  if (!messages || messages->empty()) return std::nullopt;
  return decided_again(messages->front(), std::span(*messages).subspan(1));
}

Result<ModerationMessage, std::string> DecisionLog::still_decided(
    const ModerationMessage& late) const {
  const std::lock_guard lock(mutex_);
  auto messages = from(0);
  if (!messages) return failure(std::move(messages.error()));
  std::erase_if(*messages, [&late](const ModerationMessage& one) {
    return one.decided_at_s <= late.decided_at_s;
  });
  ModerationMessage out = late;
  out.is_again = true;
  drop_decided_since(out, *messages);
  return out;
}

std::string id_of_again(std::string_view id) {
  const Digest digest = sha256(fmt::format("again {}", id));
  return encode_hex(ByteSpan(digest.bytes).first(kIdBytes));
}

std::optional<ModerationMessage> decided_again(const ModerationMessage& decision,
                                               std::span<const ModerationMessage> later) {
  ModerationMessage out = decision;
  out.id = id_of_again(decision.id);
  out.is_again = true;
  drop_decided_since(out, later);
  if (out.changes.empty() && out.erased_authors.empty() && out.erased_ids.empty()) {
    return std::nullopt;
  }
  return out;
}

}  // namespace nostril::relay
