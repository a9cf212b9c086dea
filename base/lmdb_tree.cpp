#include "base/lmdb_tree.h"

#include "base/check.h"

#include <lmdb.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace nostril::lmdb {

namespace {

//   a page:  0 number 8, 8 -, 10 flags 2, 12 end of the offsets 2, 14 -, 16 an offset 2 for each
//   node a node:  0 low 2, 2 high 2, 4 flags 2, 6 bytes of the key 2, 8 the key, then (leaf) the
//   value.
//            Of a leaf low and high are the value's size, of a branch with the flags a page's
//            number
//   a value elsewhere: the number 8 of the page behind whose head it begins
//   a table: 0 -, 4 flags 2, 6 depth 2, 8 -, 40 root 8
constexpr std::size_t kPageFlagsAt = 10;
constexpr std::size_t kOffsetsEndAt = 12;
constexpr std::size_t kPageHeadBytes = 16;
constexpr std::uint16_t kBranch = 0x01;
constexpr std::uint16_t kLeaf = 0x02;
constexpr std::uint16_t kPageKinds = 0x6f;  // what a page is; the others may change
constexpr std::size_t kNodeFlagsAt = 4;
constexpr std::size_t kKeyBytesAt = 6;
constexpr std::size_t kNodeHeadBytes = 8;
constexpr std::uint16_t kValueElsewhere = 0x01;
constexpr std::size_t kTableBytes = 48;
constexpr std::size_t kTableDepthAt = 6;
constexpr std::size_t kTableRootAt = 40;
constexpr std::size_t kDepthMax = 32;
constexpr unsigned kTableOfTables = 1;
constexpr std::size_t kLineBytes = 64;
constexpr std::size_t kLinesAhead = 3;

template <typename T>
T load(const std::uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

std::size_t node_count(const std::uint8_t* page) {
  return (load<std::uint16_t>(page + kOffsetsEndAt) - kPageHeadBytes) / 2;
}

const std::uint8_t* node_at(const std::uint8_t* page, std::size_t index) {
  return page + load<std::uint16_t>(page + kPageHeadBytes + 2 * index);
}

ByteSpan key_of(const std::uint8_t* node) {
  return {node + kNodeHeadBytes, load<std::uint16_t>(node + kKeyBytesAt)};
}

// The first eight bytes as a number, zeros behind a shorter key. A node's head stands before its
// key, so there are always eight bytes up to its end.
std::uint64_t head_of_node(const std::uint8_t* node) {
  const std::size_t bytes = load<std::uint16_t>(node + kKeyBytesAt);
  if (bytes >= 8) return __builtin_bswap64(load<std::uint64_t>(node + kNodeHeadBytes));
  if (bytes == 0) return 0;
  return __builtin_bswap64(load<std::uint64_t>(node + bytes)) << (8 * (8 - bytes));
}

std::uint64_t head_of(ByteSpan key) {
  std::uint64_t head = 0;
  std::memcpy(&head, key.data(), std::min<std::size_t>(key.size(), sizeof head));
  return __builtin_bswap64(head);
}

// As liblmdb compares: bytes, then the shorter one first.
bool is_less(const std::uint8_t* node, ByteSpan key, std::uint64_t head) {
  const std::uint64_t own = head_of_node(node);
  if (own != head) return own < head;
  const ByteSpan bytes = key_of(node);
  return std::lexicographical_compare(bytes.begin(), bytes.end(), key.begin(), key.end());
}

void prefetch(const std::uint8_t* at, std::size_t lines = 1) {
  for (std::size_t i = 0; i < lines; ++i) __builtin_prefetch(at + i * kLineBytes);
}

// A key on its way down.
struct Walk {
  const std::uint8_t* page = nullptr;
  ByteSpan key;
  std::uint64_t head = 0;
  std::size_t low = 0;   // nodes before it are less than the key
  std::size_t high = 0;  // it and those behind are not

  [[nodiscard]] bool is(std::uint16_t kind) const {
    return page != nullptr && (load<std::uint16_t>(page + kPageFlagsAt) & kPageKinds) == kind;
  }

  // After search: whether its page has the key itself.
  [[nodiscard]] bool is_at_key() const {
    return low < node_count(page) && std::ranges::equal(key_of(node_at(page, low)), key);
  }

  // Whether it stands between the first and the last key of its page: then in no other page of that
  // height. The first key of a branch counts as below all, so its second one is taken.
  [[nodiscard]] bool is_within() const {
    if (page == nullptr) return false;
    const std::size_t first = is(kBranch) ? 1 : 0;
    const std::size_t count = node_count(page);
    return first < count && !is_less(node_at(page, count - 1), key, head) &&
           (is_less(node_at(page, first), key, head) ||
            std::ranges::equal(key_of(node_at(page, first)), key));
  }

  [[nodiscard]] const std::uint8_t* probe() const { return node_at(page, (low + high) / 2); }
};

// Of each page the first node that is not less than the key: all halve their pages together.
void search_pages(std::span<Walk> walks) {
  bool is_any_open = false;
  for (Walk& walk : walks) {
    walk.low = 0;
    walk.high = walk.page == nullptr ? 0 : node_count(walk.page);
    if (walk.low == walk.high) continue;
    prefetch(walk.probe());
    is_any_open = true;
  }
  while (is_any_open) {
    is_any_open = false;
    for (Walk& walk : walks) {
      if (walk.low == walk.high) continue;
      const std::size_t middle = (walk.low + walk.high) / 2;
      const bool less = is_less(node_at(walk.page, middle), walk.key, walk.head);
      walk.low = less ? middle + 1 : walk.low;
      walk.high = less ? walk.high : middle;
      if (walk.low == walk.high) continue;
      prefetch(walk.probe());
      is_any_open = true;
    }
  }
}

// From a branch page: that of the child whose first key is the last one not above the key. The
// first child's counts as below all.
std::uint64_t child_number(const Walk& walk) {
  std::size_t child = walk.low;
  if (!walk.is_at_key() && child > 0) --child;
  return load<std::uint64_t>(node_at(walk.page, child)) & 0xffff'ffff'ffff;
}

void keep_those_in(std::uint16_t kind, std::span<Walk> walks) {
  for (Walk& walk : walks) {
    if (!walk.is(kind)) walk.page = nullptr;
  }
}

// Of one page.
void search_page(Walk& walk) {
  walk.low = 0;
  walk.high = node_count(walk.page);
  while (walk.low != walk.high) {
    const std::size_t middle = (walk.low + walk.high) / 2;
    const bool less = is_less(node_at(walk.page, middle), walk.key, walk.head);
    walk.low = less ? middle + 1 : walk.low;
    walk.high = less ? walk.high : middle;
  }
}

// All keys side by side from the root's page. Where a walk ends without a page, the tree is none
// that is known here.
template <typename PageOf>
std::span<Walk> walk_to_leaves(std::span<const ByteSpan> keys, std::span<Walk> room,
                               const std::uint8_t* root, std::size_t depth, PageOf page_of) {
  const auto walks = room.first(keys.size());
  for (std::size_t i = 0; i < walks.size(); ++i) {
    walks[i] = {root, keys[i], head_of(keys[i]), 0, 0};
  }
  for (std::size_t level = 1; level < depth; ++level) {
    keep_those_in(kBranch, walks);
    search_pages(walks);
    for (Walk& walk : walks) {
      if (walk.page == nullptr) continue;
      walk.page = page_of(child_number(walk));
      if (walk.page != nullptr) prefetch(walk.page);
    }
  }
  keep_those_in(kLeaf, walks);
  search_pages(walks);
  return walks;
}

}  // namespace

TreeReader::TreeReader(ReadTxn& txn, const char* table) {
  static_assert(std::endian::native == std::endian::little);
  int major = 0;
  int minor = 0;
  (void)mdb_version(&major, &minor, nullptr);
  if (major != 0 || minor != 9) return;
  const ByteSpan name(reinterpret_cast<const std::uint8_t*>(table), std::strlen(table));
  const auto entry = txn.get(Dbi{kTableOfTables}, name);
  if (!entry || entry->size() != kTableBytes) return;
  depth_ = load<std::uint16_t>(entry->data() + kTableDepthAt);
  root_ = load<std::uint64_t>(entry->data() + kTableRootAt);
  if (depth_ == 0 || depth_ > kDepthMax) return;
  page_bytes_ = txn.page_bytes();
  page_count_ = txn.pages();
  if (page_bytes_ == 0) return;
  // The entry lies in a page, which knows its number.
  const std::uint8_t* own_page =
      entry->data() - reinterpret_cast<std::uintptr_t>(entry->data()) % page_bytes_;
  map_ = own_page - load<std::uint64_t>(own_page) * page_bytes_;
}

const std::uint8_t* TreeReader::page(std::uint64_t number) const {
  return number < page_count_ ? map_ + number * page_bytes_ : nullptr;
}

void TreeReader::search(std::span<const ByteSpan> keys, std::span<Entry> out,
                        bool are_prefixes) const {
  CHECK(keys.size() <= kTogether && keys.size() == out.size());
  std::array<Walk, kTogether> all;
  const auto walks =
      walk_to_leaves(keys, all, page(root_), depth_, [this](auto n) { return page(n); });
  for (std::size_t i = 0; i < walks.size(); ++i) {
    const Walk& walk = walks[i];
    out[i] = walk.page == nullptr ? Entry{} : at_leaf(walk.page, walk.key, walk.low, are_prefixes);
  }
}

void TreeReader::find_last(std::span<const ByteSpan> keys, std::span<Place> out) const {
  CHECK(keys.size() <= kTogether && keys.size() == out.size());
  std::array<Walk, kTogether> all;
  const auto walks =
      walk_to_leaves(keys, all, page(root_), depth_, [this](auto n) { return page(n); });
  for (std::size_t i = 0; i < walks.size(); ++i) {
    const Walk& walk = walks[i];
    out[i] = {};
    if (walk.page == nullptr) continue;
    const bool is_here = walk.is_at_key();
    if (!is_here && walk.low == 0) continue;  // in the page before, or nowhere
    out[i].page_ = walk.page;
    out[i].index_ = is_here ? walk.low : walk.low - 1;
  }
}

ByteSpan TreeReader::Place::key() const {
  return key_of(node_at(page_, index_));
}

TreeReader::Entry TreeReader::find_near(ByteSpan key) {
  Walk walk{leaf_, key, head_of(key), 0, 0};
  if (!walk.is_within()) {
    walk.page = branch_;
    std::size_t level = depth_ - 1;
    if (!walk.is_within()) {
      walk.page = page(root_);
      level = 1;
    }
    branch_ = nullptr;
    for (; level < depth_; ++level) {
      if (!walk.is(kBranch)) return {};
      branch_ = walk.page;
      search_page(walk);
      walk.page = page(child_number(walk));
    }
  }
  leaf_ = walk.is(kLeaf) ? walk.page : nullptr;
  if (leaf_ == nullptr) return {};
  search_page(walk);
  return at_leaf(leaf_, key, walk.low, false);
}

// `index`: of the first key of the page that is not less.
TreeReader::Entry TreeReader::at_leaf(const std::uint8_t* page, ByteSpan wanted, std::size_t index,
                                      bool is_prefix) const {
  const auto begins_so = [&](std::size_t at) {
    const ByteSpan key = key_of(node_at(page, at));
    return key.size() >= wanted.size() && std::ranges::equal(key.first(wanted.size()), wanted);
  };
  const std::size_t count = node_count(page);
  const Entry absent{Answer::Absent, {}, {}};
  if (index == count) return is_prefix ? Entry{} : absent;  // the next page may begin so
  const std::uint8_t* node = node_at(page, index);
  const ByteSpan key = key_of(node);
  if (!begins_so(index) || (!is_prefix && key.size() != wanted.size())) return absent;
  if (is_prefix && (index + 1 == count || begins_so(index + 1))) return {};
  const std::size_t size = load<std::uint32_t>(node);
  const std::uint8_t* value = node + kNodeHeadBytes + key.size();
  if ((load<std::uint16_t>(node + kNodeFlagsAt) & kValueElsewhere) != 0) {
    const std::uint8_t* far = this->page(load<std::uint64_t>(value));
    if (far == nullptr) return {};
    value = far + kPageHeadBytes;
  }
  prefetch(value, std::min(kLinesAhead, size / kLineBytes + 1));
  return {Answer::Found, key, {value, size}};
}

}  // namespace nostril::lmdb
