#include "relay/store/train.h"

#include "base/check.h"

#include <zdict.h>

#include <algorithm>
#include <string>
#include <vector>

namespace nostril::relay {

namespace {

constexpr std::size_t kSampleBytesMax = 4096;  // later text of a long content teaches little
constexpr std::size_t kSamplesMin = 50;
constexpr std::size_t kSeeksInTransaction = 1000;

struct Samples {
  std::string text;  // all, one after the other
  std::vector<std::size_t> sizes;

  void add(std::string_view content) {
    content = content.substr(0, kSampleBytesMax);
    text += content;
    sizes.push_back(content.size());
  }
};

struct Split {
  Samples training;
  std::vector<std::string> test;  // every fifth
  std::size_t count = 0;

  void add(std::string_view content) {
    if (++count % 5 == 0) {
      test.emplace_back(content.substr(0, kSampleBytesMax));
    } else {
      training.add(content);
    }
  }
};

// Contents of records spread evenly over the order of arrival.
Result<Split, StoreError> collect(Store& store, std::size_t samples) {
  Split split;
  for (std::size_t i = 0; i < samples;) {
    ReadTxn txn = store.read();
    lmdb::Cursor cursor(txn, store.tables().records);
    if (!cursor.first()) break;
    const std::uint64_t first = read_integer(cursor.key());
    (void)cursor.last();
    const std::uint64_t count = read_integer(cursor.key()) - first + 1;
    if (count < samples) samples = static_cast<std::size_t>(count);
    for (const std::size_t end = std::min(samples, i + kSeeksInTransaction); i < end; ++i) {
      const Sequence at{first + i * count / samples};
      if (!cursor.seek(sequence_key(at).span())) continue;
      const auto record = store.known_dictionaries().parse(txn, cursor.value());
      const auto content = record ? record->content() : failure(record.error());
      if (!content) return failure(StoreError{"a record is damaged: run check"});
      if (content->size() >= Dictionary::kPackBytesMin) split.add(*content);
    }
    if (!txn.ok()) return failure(StoreError{"the store can't be read: " + txn.error().text()});
  }
  return split;
}

}  // namespace

Result<TrainReport, StoreError> train_dictionary(Store& store, const TrainOptions& options,
                                                 std::int64_t now_s) {
  CHECK(options.dictionary_bytes <= kDictionaryBytesMax);
  const auto split = collect(store, options.samples);
  if (!split) return failure(split.error());
  TrainReport report;
  report.samples = split->count;
  if (split->count < kSamplesMin) {
    return failure(StoreError{"too few contents of " + std::to_string(Dictionary::kPackBytesMin) +
                              " bytes or more: " + std::to_string(split->count) + ", not " +
                              std::to_string(kSamplesMin)});
  }
  Bytes bytes(options.dictionary_bytes);
  const std::size_t size = ZDICT_trainFromBuffer(
      bytes.data(), bytes.size(), split->training.text.data(), split->training.sizes.data(),
      static_cast<unsigned>(split->training.sizes.size()));
  if (ZDICT_isError(size) != 0) {
    return failure(StoreError{std::string("no dictionary could be made of these contents: ") +
                              ZDICT_getErrorName(size)});
  }
  bytes.resize(size);
  report.dictionary_bytes = size;

  const auto dictionary = Dictionary::make(DictionaryId{1}, bytes);
  if (!dictionary) return failure(StoreError{"zstd refuses its own dictionary"});
  for (const std::string& content : split->test) {
    const auto frame = dictionary->pack(as_bytes(content));
    report.test_content_bytes += content.size();
    report.test_stored_bytes += frame ? frame->size() : content.size();
  }
  if (report.test_stored_bytes * 10 > report.test_content_bytes * 9) {
    return failure(
        StoreError{"it would save less than a tenth: " + std::to_string(report.test_content_bytes) +
                   " bytes of content to " + std::to_string(report.test_stored_bytes)});
  }
  const auto id = store.add_dictionary(bytes, now_s);
  if (!id) return failure(id.error());
  report.id = *id;
  return report;
}

}  // namespace nostril::relay
