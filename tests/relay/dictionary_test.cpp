#include "relay/store/dictionary.h"

#include "relay/store/compact.h"
#include "relay/store/import_export.h"
#include "relay/store/train.h"
#include "tests/relay/store_support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <sstream>

namespace nostril::relay {

namespace {

using test::make_event;
using test::wordy_text;

// Not trained: zstd takes any text as a dictionary.
std::unique_ptr<const Dictionary> plain_dictionary(unsigned id, std::uint64_t number = 0) {
  return Dictionary::make(DictionaryId{static_cast<std::uint8_t>(id)},
                          as_bytes(wordy_text(number, 4000)));
}

Event wordy_event(std::int64_t number, std::size_t bytes = 300) {
  return make_event(1, number, 1, {{"t", "x"}},
                    wordy_text(static_cast<std::uint64_t>(number), bytes));
}

Bytes packed(const Event& event, const Dictionary& dictionary) {
  Bytes record;
  encode_record(record, event, &dictionary);
  EXPECT_TRUE(RecordView::packed_with(record).has_value());
  return record;
}

TEST(Dictionary, GivesBackWhatItPacked) {
  const auto dictionary = plain_dictionary(1);
  for (const std::size_t size : {64U, 300U, 5000U, 100000U, 1048576U}) {
    const std::string text = wordy_text(size, size).substr(0, size);
    const auto frame = dictionary->pack(as_bytes(text));
    ASSERT_TRUE(frame.has_value()) << size;
    EXPECT_LT(frame->size(), text.size() * 7 / 8);
    EXPECT_EQ(dictionary->unpack(*frame, text.size()), text);
    EXPECT_EQ(dictionary->unpack(*frame, text.size() - 1), std::nullopt);
    EXPECT_EQ(dictionary->unpack(frame->first(frame->size() - 1), text.size()), std::nullopt);
  }
}

TEST(Dictionary, LeavesAloneWhatDoesNotPay) {
  const auto dictionary = plain_dictionary(1);
  EXPECT_EQ(dictionary->pack(as_bytes(wordy_text(1, 4000)).first(63)), std::nullopt);
  EXPECT_EQ(dictionary->pack(as_bytes(wordy_text(1, 1048577))), std::nullopt);
  std::mt19937_64 random(1);
  std::string noise(500, ' ');
  for (char& c : noise) c = static_cast<char>(random());
  EXPECT_EQ(dictionary->pack(as_bytes(noise)), std::nullopt);
  EXPECT_EQ(dictionary->pack({}), std::nullopt);
}

TEST(Dictionary, RefusesWhatOnlyLooksTrained) {
  const Bytes magic_and_nothing = {0x37, 0xa4, 0x30, 0xec, 1, 0, 0, 0, 0xff, 0xff};
  EXPECT_EQ(Dictionary::make(DictionaryId{1}, magic_and_nothing), nullptr);
}

TEST(PackedRecord, IsTheSameEvent) {
  Dictionaries known;
  const Dictionary* dictionary = known.add(plain_dictionary(7));
  const Event event = wordy_event(5);
  const Bytes record = packed(event, *dictionary);
  Bytes as_text;
  encode_record(as_text, event);
  EXPECT_LT(record.size() + 100, as_text.size());

  const auto view = RecordView::parse(record, &known);
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->content().value(), event.content);
  EXPECT_EQ(view->content_bytes(), event.content.size());
  EXPECT_EQ(to_json(*view->to_event()), to_json(event));
  TextBuffer json;
  json.append("before ");
  ASSERT_TRUE(append_json(json, *view));
  EXPECT_EQ(json.text(), "before " + to_json(event));
  Bytes unpacked;
  ASSERT_TRUE(repack_record(unpacked, *view, nullptr).has_value());
  EXPECT_EQ(unpacked, as_text);
  ASSERT_TRUE(repack_record(unpacked, *RecordView::parse(as_text), dictionary).has_value());
  EXPECT_EQ(unpacked, record);
}

TEST(PackedRecord, IsRefusedWithoutItsDictionary) {
  Dictionaries known;
  known.add(plain_dictionary(7));
  const Bytes record = packed(wordy_event(5), *plain_dictionary(8));
  EXPECT_EQ(RecordView::packed_with(record), DictionaryId{8});
  EXPECT_EQ(RecordView::parse(record).error(), RecordError::UnknownDictionary);
  EXPECT_EQ(RecordView::parse(record, &known).error(), RecordError::UnknownDictionary);
}

TEST(PackedRecord, IsRefusedWhenItsHeadIsWrong) {
  Dictionaries known;
  const Dictionary* dictionary = known.add(plain_dictionary(1));
  Event event = wordy_event(5);
  event.tags = {};
  const Bytes record = packed(event, *dictionary);
  constexpr std::size_t kHeadAt = 139;  // after the count of tags
  ASSERT_EQ(record[kHeadAt], 1);
  const auto with_head = [&](std::initializer_list<std::uint8_t> head) {
    Bytes changed(record.begin(), record.begin() + kHeadAt);
    changed.insert(changed.end(), head);
    return RecordView::parse(changed, &known);
  };
  EXPECT_EQ(with_head({}).error(), RecordError::Truncated);
  EXPECT_EQ(with_head({1}).error(), RecordError::Truncated);
  EXPECT_EQ(with_head({0, 5}).error(), RecordError::BadContent);                 // no dictionary 0
  EXPECT_EQ(with_head({1, 0}).error(), RecordError::BadContent);                 // no content
  EXPECT_EQ(with_head({1, 0x81, 0x80, 0x40}).error(), RecordError::BadContent);  // 2^20 + 1
  EXPECT_EQ(with_head({1, 0x80, 0x00}).error(), RecordError::BadVarint);
  const auto empty_frame = with_head({1, 0x80, 0x80, 0x40});  // 2^20, and no frame
  ASSERT_TRUE(empty_frame.has_value());
  EXPECT_EQ(empty_frame->content().error(), RecordError::BadContent);
}

TEST(PackedRecord, NeverShowsHalfOfADamagedContent) {
  const std::uint64_t seed = test::random_seed();
  SCOPED_TRACE("NOSTRIL_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  Dictionaries known;
  const Dictionary* dictionary = known.add(plain_dictionary(1));
  const Event event = wordy_event(5, 2000);
  const Bytes record = packed(event, *dictionary);
  std::size_t refused = 0;
  for (int i = 0; i < 3000; ++i) {
    Bytes changed = record;
    changed[139 + random() % (changed.size() - 139)] ^=
        static_cast<std::uint8_t>(1 + random() % 255);
    const auto view = RecordView::parse(changed, &known);
    if (!view) continue;
    TextBuffer json;
    json.append("before");
    const bool is_whole = append_json(json, *view);
    if (is_whole) {
      EXPECT_EQ(view->content()->size(), view->content_bytes());
    } else {
      EXPECT_EQ(json.text(), "before");
      EXPECT_FALSE(view->to_event().has_value());
      ++refused;
    }
  }
  EXPECT_GT(refused, 100U);
}

class DictionaryStoreTest : public testing::Test {
 protected:
  void fill(std::int64_t first, std::int64_t count) {
    std::vector<Event> events;
    for (std::int64_t i = first; i < first + count; ++i) events.push_back(wordy_event(i));
    for (const PutResult result : test::put_all(*store_, events)) {
      ASSERT_EQ(result, PutResult::Stored);
    }
  }

  void reopen(const StoreOptions& options = test::test_options()) {
    store_.reset();
    store_ = test::open_store(dir_.path(), options);
  }

  static std::string exported(Store& store) {
    std::ostringstream out;
    const auto count = export_jsonl(store, out, 0);
    return count ? out.str() : count.error().text;
  }

  static std::string exported_of(std::int64_t count) {
    std::string lines;
    for (std::int64_t i = 0; i < count; ++i) lines += to_json(wordy_event(i)) + "\n";
    return lines;
  }

  // Records by dictionary, 0 first.
  static std::vector<std::pair<unsigned, std::uint64_t>> records_by_dictionary(Store& store) {
    std::vector<std::pair<unsigned, std::uint64_t>> counts;
    const auto all = store.content_stats();
    for (const auto& stats : all.value()) {
      counts.emplace_back(static_cast<unsigned>(stats.id), stats.records);
    }
    return counts;
  }

  using Counts = std::vector<std::pair<unsigned, std::uint64_t>>;

  test::TempDir dir_;
  std::unique_ptr<Store> store_ = test::open_store(dir_.path());
};

TEST_F(DictionaryStoreTest, OldRecordsStayAndNewOnesUseTheNewest) {
  fill(0, 300);
  EXPECT_TRUE(store_->dictionaries()->empty());
  const auto first = train_dictionary(*store_, {}, 1000);
  ASSERT_TRUE(first.has_value()) << first.error().text;
  EXPECT_EQ(first->id, DictionaryId{1});
  EXPECT_EQ(first->samples, 300U);
  EXPECT_LT(first->test_stored_bytes * 2, first->test_content_bytes);
  fill(300, 200);
  ASSERT_TRUE(train_dictionary(*store_, {}, 2000).has_value());
  fill(500, 100);
  EXPECT_EQ(records_by_dictionary(*store_), (Counts{{0, 300}, {1, 200}, {2, 100}}));
  EXPECT_EQ(exported(*store_), exported_of(600));
  test::expect_consistent(*store_);

  reopen();
  EXPECT_EQ(exported(*store_), exported_of(600));
  const auto listed = store_->dictionaries().value();
  ASSERT_EQ(listed.size(), 2U);
  EXPECT_EQ(listed[0].trained_at_s, 1000);
  EXPECT_EQ(listed[1].trained_at_s, 2000);
  EXPECT_EQ(listed[1].sha256.size(), 64U);
  // Also removed and replaced like the others.
  EXPECT_EQ(store_->erase(std::vector{wordy_event(550).id, wordy_event(5).id}).value(), 2U);
  test::expect_consistent(*store_);
}

TEST_F(DictionaryStoreTest, AnotherProcessTrainsWhileTheStoreIsOpen) {
  fill(0, 300);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto own = Store::open(dir_.path(), test::test_options());
    _exit(own && train_dictionary(**own, {}, 1000) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  fill(300, 50);
  EXPECT_EQ(records_by_dictionary(*store_), (Counts{{0, 300}, {1, 50}}));
  EXPECT_EQ(exported(*store_), exported_of(350));
}

TEST_F(DictionaryStoreTest, RefusesToTrainOnWhatTeachesNothing) {
  EXPECT_THAT(train_dictionary(*store_, {}, 1).error().text, testing::HasSubstr("too few"));
  std::mt19937_64 random(1);
  std::vector<Event> events;
  for (int i = 0; i < 200; ++i) {
    std::string noise(200, ' ');
    for (char& c : noise) c = static_cast<char>('!' + random() % 90);
    events.push_back(make_event(1, i, 1, {}, noise));
  }
  test::put_all(*store_, events);
  EXPECT_THAT(train_dictionary(*store_, {}, 1).error().text,
              testing::HasSubstr("less than a tenth"));
  EXPECT_TRUE(store_->dictionaries()->empty());
  EXPECT_FALSE(store_->add_dictionary({}, 1).has_value());
  EXPECT_FALSE(store_->add_dictionary(Bytes(kDictionaryBytesMax + 1, 'x'), 1).has_value());
}

TEST_F(DictionaryStoreTest, TakesNoMoreThanItCanNumber) {
  const std::string text = wordy_text(1, 2000);
  for (std::size_t i = 1; i <= kDictionariesMax; ++i) {
    ASSERT_EQ(store_->add_dictionary(as_bytes(text), 1).value(),
              DictionaryId{static_cast<std::uint8_t>(i)});
  }
  EXPECT_THAT(store_->add_dictionary(as_bytes(text), 1).error().text,
              testing::HasSubstr("dictionaries are taken"));
  fill(0, 3);
  EXPECT_EQ(records_by_dictionary(*store_), (Counts{{255, 3}}));
}

// Writes below the store's feet.
void replace_dictionary(const std::filesystem::path& path, ByteSpan value) {
  auto env = lmdb::Env::open(path, {});
  ASSERT_TRUE(env.has_value());
  const auto table = (*env)->open_table("dictionaries", false);
  ASSERT_TRUE(table.has_value());
  lmdb::WriteTxn txn(**env);
  const std::array<std::uint8_t, 1> key = {1};
  if (value.empty()) {
    EXPECT_TRUE(txn.erase(*table, key));
  } else {
    txn.put(*table, key, value);
  }
  ASSERT_TRUE(txn.commit().has_value());
}

TEST_F(DictionaryStoreTest, ALostOrDamagedDictionaryIsNamedAndNothingIsInvented) {
  fill(0, 100);
  ASSERT_TRUE(train_dictionary(*store_, {}, 1000).has_value());
  fill(100, 5);
  Bytes value;
  {
    ReadTxn txn = store_->read();
    const auto stored = txn.get(*store_->tables().dictionaries, Key().add_integer(1, 1).span());
    value.assign(stored->begin(), stored->end());
  }
  value[500] ^= 1U;
  for (const Bytes& damaged : {value, Bytes()}) {
    store_.reset();
    replace_dictionary(dir_.path(), damaged);
    reopen();
    const CheckReport report = store_->check(true);
    EXPECT_EQ(report.problem_count, damaged.empty() ? 5U : 6U);
    EXPECT_THAT(report.problems.back(), testing::HasSubstr("dictionary that the file lacks"));
    EXPECT_FALSE(store_->has_id(wordy_event(102).id));
    EXPECT_TRUE(store_->has_id(wordy_event(2).id));
    EXPECT_GT(store_->damaged_reads(), 0U);
    EXPECT_THAT(exported(*store_), testing::HasSubstr("run check"));
    EXPECT_THAT(store_->content_stats().error().text, testing::HasSubstr("run check"));
    test::TempDir target;
    CompactOptions options;
    options.recompress = true;
    EXPECT_FALSE(compact(*store_, target.path() / "copy", options).has_value());
    StoreOptions read_only = test::test_options();
    read_only.read_only = true;
    EXPECT_FALSE(Store::open(target.path() / "copy", read_only).has_value());  // unfinished
  }
  // With a damaged newest dictionary nothing is written either.
  store_.reset();
  replace_dictionary(dir_.path(), value);
  reopen();
  EXPECT_FALSE(store_->put_unverified(std::vector{test::unverified(wordy_event(900))}, 0));
  EXPECT_FALSE(store_->is_writable());
}

TEST_F(DictionaryStoreTest, CompactsWithAndWithoutPackingAnew) {
  fill(0, 300);
  ASSERT_TRUE(train_dictionary(*store_, {}, 1000).has_value());
  fill(300, 300);
  ASSERT_TRUE(train_dictionary(*store_, {}, 2000).has_value());
  fill(600, 300);
  test::put(*store_, make_event(2, 5, 5, {{"e", encode_hex(wordy_event(3).id)}}, "no effect"));
  const std::string before = exported(*store_);
  test::TempDir target;
  const auto copied = [&](const char* name, bool recompress) {
    std::vector<std::string> told;
    CompactOptions options;
    options.recompress = recompress;
    options.progress = [&told](std::string_view what, std::uint64_t) { told.emplace_back(what); };
    const auto report = compact(*store_, target.path() / name, options);
    EXPECT_TRUE(report.has_value()) << report.error().text;
    EXPECT_EQ(report->events, 901U);
    EXPECT_LT(report->bytes_after, report->bytes_before);
    EXPECT_THAT(told, testing::Contains("records"));
    auto copy = test::open_store(target.path() / name);
    test::expect_consistent(*copy);
    EXPECT_EQ(exported(*copy), before);
    return copy;
  };
  EXPECT_EQ(records_by_dictionary(*copied("same", false)), (Counts{{0, 301}, {1, 300}, {2, 300}}));
  const auto anew = copied("anew", true);
  EXPECT_EQ(records_by_dictionary(*anew), (Counts{{0, 1}, {2, 900}}));
  ASSERT_EQ(anew->dictionaries()->size(), 1U);
  // The copy goes on like any store.
  ASSERT_EQ(test::put(*anew, wordy_event(5000)), PutResult::Stored);
  EXPECT_EQ(records_by_dictionary(*anew), (Counts{{0, 1}, {2, 901}}));
  test::expect_consistent(*anew);

  EXPECT_THAT(compact(*store_, target.path() / "same").error().text,
              testing::HasSubstr("not empty"));
}

TEST_F(DictionaryStoreTest, CompactsWhileAWriterGoesOn) {
  fill(0, 500);
  const std::string before = exported(*store_);
  test::TempDir target;
  CompactOptions options;
  std::int64_t next = 500;
  options.progress = [&](std::string_view what, std::uint64_t) {
    if (what != "records") return;
    // Of another process, as beside a relay: this one holds a transaction.
    const pid_t child = fork();
    if (child == 0) {
      const auto own = Store::open(dir_.path(), test::test_options());
      const std::vector events = {test::unverified(wordy_event(next))};
      _exit(own && (*own)->put_unverified(events, 0) ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    ++next;
  };
  ASSERT_TRUE(compact(*store_, target.path() / "copy", options).has_value());
  EXPECT_GT(next, 500);
  const auto copy = test::open_store(target.path() / "copy");
  EXPECT_EQ(exported(*copy), before);
  test::expect_consistent(*copy);
  EXPECT_EQ(store_->count(), static_cast<std::uint64_t>(next));
}

// --- Format 1: the same tables without dictionaries.

void copy_as_format_1(const std::filesystem::path& from, const std::filesystem::path& to) {
  lmdb::EnvOptions options;
  auto source = lmdb::Env::open(from, options);
  auto target = lmdb::Env::open(to, options);
  ASSERT_TRUE(source.has_value() && target.has_value());
  for (const auto& named : named_tables()) {
    if (named.since > 1) continue;
    const auto in = (*source)->open_table(named.name, false);
    const auto out = (*target)->open_table(named.name, true);
    ASSERT_TRUE(in.has_value() && out.has_value());
    ReadTxn read(**source);
    lmdb::WriteTxn write(**target);
    lmdb::Cursor cursor(read, *in);
    for (bool more = cursor.first(); more; more = cursor.next()) {
      const Key one = Key().add_integer(1, 4);
      const bool is_format = as_text(cursor.key()) == kFormatKey;
      write.put(*out, cursor.key(), is_format ? one.span() : cursor.value());
    }
    ASSERT_TRUE(write.commit().has_value());
  }
}

std::uint64_t format_of(const std::filesystem::path& path) {
  auto env = lmdb::Env::open(path, {});
  const auto meta = (*env)->open_table("meta", false);
  ReadTxn txn(**env);
  return read_integer(*txn.get(*meta, as_bytes(kFormatKey)));
}

TEST_F(DictionaryStoreTest, ReadsFormat1AsItIsAndUpgradesItForWriting) {
  fill(0, 300);
  store_.reset();
  test::TempDir old;
  copy_as_format_1(dir_.path(), old.path());
  ASSERT_EQ(format_of(old.path()), 1U);

  StoreOptions read_only = test::test_options();
  read_only.read_only = true;
  {
    const auto store = test::open_store(old.path(), read_only);
    EXPECT_EQ(exported(*store), exported_of(300));
    test::expect_consistent(*store);
    EXPECT_TRUE(store->dictionaries()->empty());
    EXPECT_EQ(records_by_dictionary(*store), (Counts{{0, 300}}));
    test::TempDir target;
    ASSERT_TRUE(compact(*store, target.path() / "copy").has_value());
    EXPECT_EQ(exported(*test::open_store(target.path() / "copy")), exported_of(300));
  }
  EXPECT_EQ(format_of(old.path()), 1U);

  store_ = test::open_store(old.path());
  EXPECT_EQ(exported(*store_), exported_of(300));
  ASSERT_TRUE(train_dictionary(*store_, {}, 1000).has_value());
  fill(300, 20);
  EXPECT_EQ(exported(*store_), exported_of(320));
  test::expect_consistent(*store_);
  store_.reset();
  EXPECT_EQ(format_of(old.path()), kStoreFormat);
}

TEST_F(DictionaryStoreTest, AppliesTheRequestsToVanishOfAnOlderFormat) {
  const Event note = make_event(1, 100, 1);
  const Event later = make_event(1, 300, 1);
  const Event of_other = make_event(2, 100, 1);
  const Event request = make_event(1, 200, 62, {{"relay", "wss://here.example/"}});
  const Event elsewhere = make_event(2, 200, 62, {{"relay", "wss://elsewhere.example"}});
  StoreOptions options = test::test_options();
  options.address.reset();  // so nothing is applied, as by a program that knew nothing of them
  store_ = test::open_store(dir_.path() / "nameless", options);
  test::put_all(*store_, {note, later, of_other, request, elsewhere});
  ASSERT_TRUE(store_->has_id(note.id));
  store_.reset();
  test::TempDir old;
  copy_as_format_1(dir_.path() / "nameless", old.path());

  // A copy of it, made without an upgrade, leaves them to be applied.
  test::TempDir target;
  StoreOptions read_only = options;
  read_only.read_only = true;
  ASSERT_TRUE(
      compact(*test::open_store(old.path(), read_only), target.path() / "copy").has_value());
  EXPECT_EQ(format_of(target.path() / "copy"), 3U);

  options.address = RelayAddress::of("wss://here.example");
  for (const auto& path : {old.path(), target.path() / "copy"}) {
    store_ = test::open_store(path, options);
    EXPECT_EQ(store_->known(note), PutResult::Vanished) << "it goes by and by";
    EXPECT_EQ(store_->known(later), PutResult::Duplicate);
    EXPECT_EQ(store_->known(request), PutResult::Duplicate);
    EXPECT_EQ(test::put(*store_, note), PutResult::Vanished);
    while (store_->sweep(0, 100).value().is_behind) {
    }
    EXPECT_FALSE(store_->has_id(note.id));
    for (const Event& left : {later, of_other, request, elsewhere}) {
      EXPECT_TRUE(store_->has_id(left.id));
    }
    test::expect_consistent(*store_);
    store_.reset();
    EXPECT_EQ(format_of(path), kStoreFormat);
  }
}

}  // namespace

}  // namespace nostril::relay
