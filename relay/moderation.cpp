#include "relay/moderation.h"

#include "net/address_range.h"

#include <fmt/format.h>

#include <algorithm>

namespace nostril::relay {

namespace {

constexpr unsigned kBits = 128;
constexpr unsigned kMappedBits = 96;  // before an IPv4 address
constexpr std::size_t kTimeBytes = 8;

std::string big_endian(std::uint64_t value, std::size_t bytes) {
  std::string out(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) {
    out[bytes - 1 - i] = static_cast<char>((value >> (8 * i)) & 0xffU);
  }
  return out;
}

template <typename Id>
std::optional<Id> id_of(std::string_view item) {
  Id out;
  if (item.size() != out.bytes.size()) return std::nullopt;
  std::copy(item.begin(), item.end(), out.bytes.begin());
  return out;
}

std::optional<std::uint32_t> kind_of(std::string_view item) {
  if (item.size() != 4) return std::nullopt;
  std::uint32_t out = 0;
  for (const char c : item) out = out << 8U | static_cast<unsigned char>(c);
  return out;
}

std::optional<AddressBlock> block_of(std::string_view item) {
  AddressBlock out;
  if (item.size() != out.first.ip.size() + 1) return std::nullopt;
  std::copy(item.begin(), item.end() - 1, out.first.ip.begin());
  out.bits = static_cast<unsigned char>(item.back());
  if (out.bits > kBits) return std::nullopt;
  return out;
}

// A list that others may hold is copied before it changes.
template <typename T>
T& own(std::shared_ptr<const T>& list) {
  auto copy = std::make_shared<T>(*list);
  T& out = *copy;
  list = std::move(copy);
  return out;
}

template <typename Map, typename Key>
void put(Map& map, const Key& key, const std::optional<std::string>& text) {
  if (text) {
    map.insert_or_assign(key, *text);
  } else {
    map.erase(key);
  }
}

using Rows = std::span<const ModerationChange>;

template <typename Id>
bool set_ids(std::shared_ptr<const ModerationLists::Reasons<Id>>& list, Rows rows) {
  auto& mine = own(list);
  for (const auto& row : rows) {
    const auto id = id_of<Id>(row.item);
    if (!id) return false;
    put(mine, *id, row.text);
  }
  return true;
}

bool set_kinds(std::shared_ptr<const std::set<std::uint32_t>>& list, Rows rows) {
  auto& mine = own(list);
  for (const auto& row : rows) {
    const auto kind = kind_of(row.item);
    if (!kind) return false;
    row.text ? (void)mine.insert(*kind) : (void)mine.erase(*kind);
  }
  return true;
}

bool set_blocks(std::shared_ptr<const AddressBlocks>& list, Rows rows) {
  auto& mine = own(list);
  for (const auto& row : rows) {
    const auto block = block_of(row.item);
    if (!block) return false;
    row.text ? mine.set(*block, *row.text) : mine.erase(*block);
  }
  return true;
}

bool set_names(std::shared_ptr<const ModerationLists::NamesOfKeys>& list, Rows rows) {
  auto& mine = own(list);
  for (const auto& row : rows) {
    const std::string_view item = row.item;
    const auto key = id_of<PublicKey>(item.substr(0, 32));
    if (!key) return false;
    auto& names = mine[*key];
    const std::string name(item.substr(32));
    row.text ? (void)names.insert(name) : (void)names.erase(name);
    if (names.empty()) mine.erase(*key);
  }
  return true;
}

bool set_roles(std::shared_ptr<const std::map<std::string, MemberRole>>& list, Rows rows) {
  auto& mine = own(list);
  for (const auto& row : rows) {
    auto role = row.text ? MemberRole::parse(*row.text) : MemberRole();
    if (!role || !MemberRole::is_id(row.item)) return false;
    row.text ? (void)mine.insert_or_assign(row.item, std::move(*role)) : (void)mine.erase(row.item);
  }
  return true;
}

bool set_texts(std::shared_ptr<const std::map<std::string, std::string>>& list, Rows rows) {
  auto& mine = own(list);
  for (const auto& row : rows) put(mine, row.item, row.text);
  return true;
}

// `rows` are all of one list. False: an item is not what belongs there.
bool set_rows(ModerationLists& lists, ModerationList list, Rows rows) {
  switch (list) {
    case ModerationList::BannedKeys:
      return set_ids<PublicKey>(lists.banned_keys, rows);
    case ModerationList::AllowedKeys:
      return set_ids<PublicKey>(lists.allowed_keys, rows);
    case ModerationList::BannedEvents:
      return set_ids<EventId>(lists.banned_events, rows);
    case ModerationList::AllowedEvents:
      return set_ids<EventId>(lists.allowed_events, rows);
    case ModerationList::AllowedKinds:
      return set_kinds(lists.allowed_kinds, rows);
    case ModerationList::DisallowedKinds:
      return set_kinds(lists.disallowed_kinds, rows);
    case ModerationList::BlockedAddresses:
      return set_blocks(lists.blocked, rows);
    case ModerationList::Texts:
      return set_texts(lists.texts, rows);
    case ModerationList::Methods:
      return set_names(lists.methods, rows);
    case ModerationList::Roles:
      return set_roles(lists.roles, rows);
    case ModerationList::MemberRoles:
      return set_names(lists.member_roles, rows);
  }
  return false;
}

std::string key_of(const ModerationChange& change) {
  return static_cast<char>(change.list) + change.item;
}

}  // namespace

std::optional<AddressBlock> AddressBlock::parse(std::string_view text) {
  const auto range = net::AddressRange::parse(text);
  if (!range) return std::nullopt;
  return AddressBlock{range->first(), range->bits()};
}

std::string AddressBlock::text() const {
  // What begins before the IPv4 addresses is an IPv6 block, "::/0" included.
  const unsigned before = first.is_v4() && bits >= kMappedBits ? kMappedBits : 0;
  if (bits == kBits) return first.ip_string();
  return fmt::format("{}/{}", first.ip_string(), bits - before);
}

void AddressBlocks::set(const AddressBlock& block, std::string reason) {
  by_bits_[block.bits].insert_or_assign(block.first, std::move(reason));
}

void AddressBlocks::erase(const AddressBlock& block) {
  const auto found = by_bits_.find(block.bits);
  if (found == by_bits_.end()) return;
  found->second.erase(block.first);
  if (found->second.empty()) by_bits_.erase(found);
}

bool AddressBlocks::contain(const net::PeerAddress& peer) const {
  return std::ranges::any_of(by_bits_, [&](const auto& blocks) {
    // An IPv6 block holds no IPv4 address, "::/0" neither.
    if (peer.is_v4() && blocks.first < kMappedBits) return false;
    net::PeerAddress first = net::with_prefix(peer, blocks.first);
    first.port = 0;
    return blocks.second.contains(first);
  });
}

std::string item_of(const PublicKey& key) {
  return {key.bytes.begin(), key.bytes.end()};
}

std::string item_of(const EventId& id) {
  return {id.bytes.begin(), id.bytes.end()};
}

std::string item_of(std::uint32_t kind) {
  return big_endian(kind, 4);
}

std::string item_of(const AddressBlock& block) {
  std::string out(block.first.ip.begin(), block.first.ip.end());
  out += static_cast<char>(block.bits);
  return out;
}

std::string item_of(const PublicKey& key, std::string_view method) {
  return item_of(key).append(method);
}

Result<std::unique_ptr<Moderation>, std::string> Moderation::open(
    const std::filesystem::path& folder) {
  auto env = lmdb::Env::open(folder, {.tables_max = 1});
  if (!env) return failure(std::move(env.error()));
  const auto table = (*env)->open_table("rows", true);
  if (!table) return failure(fmt::format("{}: {}", folder.string(), table.error().text()));
  std::unique_ptr<Moderation> out(new Moderation(std::move(*env), *table));
  if (auto loaded = out->load(); !loaded) {
    return failure(fmt::format("{}: {}", folder.string(), loaded.error()));
  }
  return out;
}

Result<void, std::string> Moderation::load() {
  std::map<ModerationList, std::vector<ModerationChange>> found;
  std::size_t count = 0;
  {
    lmdb::ReadTxn txn(*env_);
    lmdb::Cursor at(txn, table_);
    for (bool more = at.first(); more; more = at.next()) {
      const std::string_view key = as_text(at.key());
      const std::string_view value = as_text(at.value());
      if (value.size() < kTimeBytes) return failure(std::string("a row is cut short"));
      const auto list = static_cast<ModerationList>(key.front());
      found[list].push_back(
          {list, std::string(key.substr(1)), std::string(value.substr(kTimeBytes))});
      ++count;
    }
    if (!txn.ok()) return failure(txn.error().text());
  }
  auto lists = std::make_shared<ModerationLists>();
  for (const auto& [list, rows] : found) {
    if (!set_rows(*lists, list, rows)) {
      return failure(std::string("a row of it is of another version, or damaged"));
    }
  }
  const std::lock_guard lock(mutex_);
  lists_ = std::move(lists);
  rows_ = count;
  return {};
}

Result<void, std::string> Moderation::apply(std::span<const ModerationChange> changes,
                                            std::int64_t now_s) {
  if (changes.empty()) return {};
  auto next = std::make_shared<ModerationLists>(*lists());
  for (const auto& change : changes) {
    if (change.text && change.text->size() > kModerationTextBytesMax) {
      return failure(fmt::format("a text may have {} bytes", kModerationTextBytesMax));
    }
  }
  // Rows that follow each other in one list cost one copy of it.
  for (std::size_t begin = 0, end = 0; begin < changes.size(); begin = end) {
    while (end < changes.size() && changes[end].list == changes[begin].list) ++end;
    if (!set_rows(*next, changes[begin].list, changes.subspan(begin, end - begin))) {
      return failure(std::string("that is no item of this list"));
    }
  }
  // A growth of the map waits for the end of all transactions.
  const auto write = [&](std::size_t& count) -> Result<void, lmdb::Error> {
    lmdb::WriteTxn txn(*env_);
    for (const auto& change : changes) {
      if (change.text) {
        txn.put(table_, as_bytes(key_of(change)),
                as_bytes(big_endian(static_cast<std::uint64_t>(now_s), kTimeBytes) + *change.text));
      } else {
        (void)txn.erase(table_, as_bytes(key_of(change)));
      }
    }
    count = txn.entries(table_);
    if (txn.ok() && count > kModerationRowsMax) return {};
    return txn.commit();
  };
  for (;;) {
    const std::size_t map_bytes = env_->map_bytes();
    std::size_t count = 0;
    const auto written = write(count);
    if (!written && written.error().is_map_full()) {
      if (auto grown = env_->grow(map_bytes); !grown) return failure(grown.error().text());
      continue;
    }
    if (!written) return failure(written.error().text());
    if (count > kModerationRowsMax) {
      return failure(fmt::format("the lists may have {} rows together", kModerationRowsMax));
    }
    const std::lock_guard lock(mutex_);
    lists_ = std::move(next);
    rows_ = count;
    return {};
  }
}

Result<void, std::string> Moderation::copy_to(const std::filesystem::path& folder) {
  auto target = lmdb::Env::open(folder, {.map_bytes_initial = env_->map_bytes(), .tables_max = 1});
  if (!target) return failure(std::move(target.error()));
  const auto refuse = [&](const lmdb::Error& error) {
    return failure(fmt::format("{}: {}", folder.string(), error.text()));
  };
  const auto table = (*target)->open_table("rows", true);
  if (!table) return refuse(table.error());
  lmdb::ReadTxn from(*env_);
  lmdb::WriteTxn to(**target);
  {
    lmdb::Cursor at(from, table_);
    lmdb::WriteCursor rows(to, *table);
    for (bool more = at.first(); more; more = at.next()) rows.append(at.key(), at.value());
  }
  if (!from.ok()) return refuse(from.error());
  if (auto done = to.commit(); !done) return refuse(done.error());
  return {};
}

}  // namespace nostril::relay
