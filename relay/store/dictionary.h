#pragma once

#include "base/bytes.h"
#include "base/lmdb.h"
#include "base/result.h"
#include "relay/store/record.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct ZSTD_CDict_s;
struct ZSTD_DDict_s;

namespace nostril::relay {

inline constexpr std::size_t kDictionaryBytesMax = std::size_t{112} << 10;
inline constexpr std::size_t kDictionariesMax = 255;

/// A zstd dictionary, ready for use; what it packs is one zstd frame without checksum, content size
/// or dictionary id. Threads: all members from any; each thread keeps a context of zstd's (some
/// 100 KiB) and the last unpacked content.
class Dictionary {
 public:
  /// Nothing when zstd refuses the bytes.
  [[nodiscard]] static std::unique_ptr<const Dictionary> make(DictionaryId id, ByteSpan bytes);
  ~Dictionary();
  Dictionary(const Dictionary&) = delete;
  Dictionary& operator=(const Dictionary&) = delete;
  Dictionary(Dictionary&&) = delete;
  Dictionary& operator=(Dictionary&&) = delete;

  [[nodiscard]] DictionaryId id() const { return id_; }

  /// The frame, borrowed until this thread packs again; nothing when packing does not pay: content
  /// below kPackBytesMin or above kPackBytesMax, or less than kSavedBytesMin and an eighth saved.
  [[nodiscard]] std::optional<ByteSpan> pack(ByteSpan content) const;

  /// Exactly `content_bytes` (at most kPackBytesMax) of content, borrowed until this thread unpacks
  /// again; nothing when the frame is damaged or gives another size.
  [[nodiscard]] std::optional<std::string_view> unpack(ByteSpan frame,
                                                       std::size_t content_bytes) const;

  static constexpr std::size_t kPackBytesMin = 64;
  static constexpr std::size_t kPackBytesMax = std::size_t{1} << 20;
  static constexpr std::size_t kSavedBytesMin = 16;

 private:
  Dictionary(DictionaryId id, ByteSpan bytes) : id_(id), bytes_(bytes.begin(), bytes.end()) {}

  [[nodiscard]] const ZSTD_CDict_s* packer() const;

  // Constant after construction; packer_ is made by the first pack().
  DictionaryId id_;
  Bytes bytes_;
  ZSTD_DDict_s* unpacker_ = nullptr;
  mutable std::once_flag packer_once_;
  mutable ZSTD_CDict_s* packer_ = nullptr;
};

/// A row of the table `dictionaries`: key id 1, value SHA-256(bytes) 32, trained at (seconds) 6,
/// bytes.
struct DictionaryRow {
  DictionaryId id{};
  std::int64_t trained_at_s = 0;
  ByteSpan sha256;
  ByteSpan bytes;

  /// Nothing when it is too short, too long, or its bytes do not hash to its SHA-256.
  [[nodiscard]] static std::optional<DictionaryRow> parse(ByteSpan key, ByteSpan value);
};

[[nodiscard]] Bytes dictionary_value(ByteSpan dictionary, std::int64_t trained_at_s);

/// The dictionaries of one file, as far as they were needed. They stay once loaded, so that records
/// may point at them. Threads: all members from any, set_table() before the others.
class Dictionaries {
 public:
  /// Without it (a file of format 1) there are none.
  void set_table(lmdb::Dbi table) { table_ = table; }

  /// RecordView::parse, loading the record's dictionary from the file when it is not here yet.
  [[nodiscard]] Result<RecordView, RecordError> parse(lmdb::Txn& txn, ByteSpan record);

  /// The one new records are packed with: null when the file has none. An error is a damaged row.
  [[nodiscard]] Result<const Dictionary*, RecordError> newest(lmdb::Txn& txn);

  /// Null when it was not loaded.
  [[nodiscard]] const Dictionary* find(DictionaryId id) const {
    return known_[static_cast<std::size_t>(id)].load(std::memory_order_acquire);
  }

  /// The one that stays: another thread may have added this id before.
  const Dictionary* add(std::unique_ptr<const Dictionary> dictionary);

 private:
  // Null when the file has none of this id, or a damaged one.
  const Dictionary* load(lmdb::Txn& txn, DictionaryId id);

  std::optional<lmdb::Dbi> table_;
  std::array<std::atomic<const Dictionary*>, kDictionariesMax + 1> known_{};
  std::mutex mutex_;
  std::vector<std::unique_ptr<const Dictionary>> owned_;  // guarded by mutex_
};

}  // namespace nostril::relay
