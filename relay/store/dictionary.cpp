#include "relay/store/dictionary.h"

#include "base/check.h"
#include "relay/store/keys.h"
#include "schnorr/hash.h"

#include <zstd.h>

#include <algorithm>
#include <utility>

namespace nostril::relay {

namespace {

// Levels above cost 3 to 5 times as much for 2 % less (relay/store/README.md).
constexpr int kLevel = 3;
constexpr std::size_t kShaBytes = 32;

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }

  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// A thread's own: making a context costs more than packing an event.
struct PackScratch {
  std::unique_ptr<ZSTD_CCtx, FreeContext> context{ZSTD_createCCtx()};
  Bytes frame;
};

struct UnpackScratch {
  std::unique_ptr<ZSTD_DCtx, FreeContext> context{ZSTD_createDCtx()};
  std::string content;
};

PackScratch& pack_scratch() {
  thread_local PackScratch scratch;
  return scratch;
}

UnpackScratch& unpack_scratch() {
  thread_local UnpackScratch scratch;
  return scratch;
}

}  // namespace

std::unique_ptr<const Dictionary> Dictionary::make(DictionaryId id, ByteSpan bytes) {
  std::unique_ptr<Dictionary> made(new Dictionary(id, bytes));  // NOLINT: private constructor
  made->unpacker_ = ZSTD_createDDict(bytes.data(), bytes.size());
  if (made->unpacker_ == nullptr) return nullptr;
  return made;
}

Dictionary::~Dictionary() {
  ZSTD_freeDDict(unpacker_);
  ZSTD_freeCDict(packer_);
}

const ZSTD_CDict_s* Dictionary::packer() const {
  std::call_once(packer_once_,
                 [this] { packer_ = ZSTD_createCDict(bytes_.data(), bytes_.size(), kLevel); });
  return packer_;
}

std::optional<ByteSpan> Dictionary::pack(ByteSpan content) const {
  if (content.size() < kPackBytesMin || content.size() > kPackBytesMax) return std::nullopt;
  PackScratch& scratch = pack_scratch();
  const std::size_t bound = ZSTD_compressBound(content.size());  // with less room zstd may give up
  if (scratch.frame.size() < bound) scratch.frame.resize(bound);
  ZSTD_CCtx* context = scratch.context.get();
  if (ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0)) != 0 ||
      ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_dictIDFlag, 0)) != 0 ||
      ZSTD_isError(ZSTD_CCtx_refCDict(context, packer())) != 0) {
    return std::nullopt;
  }
  const std::size_t size = ZSTD_compress2(context, scratch.frame.data(), scratch.frame.size(),
                                          content.data(), content.size());
  const std::size_t saved_min = std::max(kSavedBytesMin, content.size() / 8);
  if (ZSTD_isError(size) != 0 || size + saved_min > content.size()) return std::nullopt;
  return ByteSpan(scratch.frame).first(size);
}

std::optional<std::string_view> Dictionary::unpack(ByteSpan frame,
                                                   std::size_t content_bytes) const {
  CHECK(content_bytes <= kPackBytesMax);
  UnpackScratch& scratch = unpack_scratch();
  if (scratch.content.size() < content_bytes) scratch.content.resize(content_bytes);
  const std::size_t size =
      ZSTD_decompress_usingDDict(scratch.context.get(), scratch.content.data(), content_bytes,
                                 frame.data(), frame.size(), unpacker_);
  if (ZSTD_isError(size) != 0 || size != content_bytes) return std::nullopt;
  return std::string_view(scratch.content).substr(0, content_bytes);
}

std::optional<DictionaryRow> DictionaryRow::parse(ByteSpan key, ByteSpan value) {
  constexpr std::size_t kHeadBytes = kShaBytes + kTimeBytes;
  if (key.size() != 1 || key[0] == 0 || value.size() <= kHeadBytes ||
      value.size() > kHeadBytes + kDictionaryBytesMax) {
    return std::nullopt;
  }
  const DictionaryRow row{
      DictionaryId{key[0]},
      static_cast<std::int64_t>(read_integer(value.subspan(kShaBytes, kTimeBytes))),
      value.first(kShaBytes), value.subspan(kHeadBytes)};
  if (!std::ranges::equal(nostril::sha256(row.bytes).bytes, row.sha256)) return std::nullopt;
  return row;
}

Bytes dictionary_value(ByteSpan dictionary, std::int64_t trained_at_s) {
  const Digest digest = sha256(dictionary);
  Bytes value(digest.bytes.begin(), digest.bytes.end());
  const Key time = time_key(trained_at_s);
  value.insert(value.end(), time.span().begin(), time.span().end());
  value.insert(value.end(), dictionary.begin(), dictionary.end());
  return value;
}

Result<RecordView, RecordError> Dictionaries::parse(lmdb::Txn& txn, ByteSpan record) {
  auto view = RecordView::parse(record, this);
  if (view || view.error() != RecordError::UnknownDictionary) return view;
  const auto id = RecordView::packed_with(record);
  if (!id || load(txn, *id) == nullptr) return view;
  return RecordView::parse(record, this);
}

Result<const Dictionary*, RecordError> Dictionaries::newest(lmdb::Txn& txn) {
  if (!table_) return nullptr;
  lmdb::Cursor cursor(txn, *table_);
  if (!cursor.last()) return nullptr;
  if (cursor.key().size() != 1) return failure(RecordError::UnknownDictionary);
  const DictionaryId id{cursor.key()[0]};
  const Dictionary* dictionary = find(id);
  if (dictionary == nullptr) dictionary = load(txn, id);
  if (dictionary == nullptr) return failure(RecordError::UnknownDictionary);
  return dictionary;
}

const Dictionary* Dictionaries::add(std::unique_ptr<const Dictionary> dictionary) {
  const std::lock_guard lock(mutex_);
  auto& place = known_[static_cast<std::size_t>(dictionary->id())];
  if (const Dictionary* earlier = place.load(std::memory_order_acquire)) return earlier;
  owned_.push_back(std::move(dictionary));
  place.store(owned_.back().get(), std::memory_order_release);
  return owned_.back().get();
}

const Dictionary* Dictionaries::load(lmdb::Txn& txn, DictionaryId id) {
  if (!table_) return nullptr;
  const std::array<std::uint8_t, 1> key = {static_cast<std::uint8_t>(id)};
  const auto value = txn.get(*table_, key);
  const auto row = value ? DictionaryRow::parse(key, *value) : std::nullopt;
  auto dictionary = row ? Dictionary::make(id, row->bytes) : nullptr;
  return dictionary ? add(std::move(dictionary)) : nullptr;
}

}  // namespace nostril::relay
