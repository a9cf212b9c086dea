#include "relay/store/import_export.h"

#include "tests/relay/store_support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

namespace nostril::relay {

namespace {

constexpr std::int64_t kNow = 1800000000;  // later than the corpus

class ImportTest : public testing::Test {
 protected:
  ImportReport import(const std::string& text, const ImportOptions& options = {}) {
    std::istringstream in(text);
    const auto report = import_jsonl(*store_, in, clock_, options);
    if (!report) ADD_FAILURE() << report.error().text;
    return report.value_or(ImportReport());
  }

  std::vector<std::string> exported() {
    std::ostringstream out;
    const auto count = export_jsonl(*store_, out, kNow);
    if (!count) ADD_FAILURE() << count.error().text;
    std::vector<std::string> lines;
    std::istringstream in(out.str());
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    EXPECT_EQ(lines.size(), count.value_or(0));
    return lines;
  }

  test::TempDir dir_;
  std::unique_ptr<Store> store_ = test::open_store(dir_.path());
  const FakeClock clock_{kNow};
};

std::string signed_line(std::int64_t created_at, const std::string& content = "") {
  SystemRng rng;
  static const Keypair kAuthor = Keypair::generate(rng);
  EventDraft draft;
  draft.created_at = created_at;
  draft.kind = 1;
  draft.content = content;
  return to_json(sign_event(draft, kAuthor, rng));
}

TEST_F(ImportTest, RealEventsComeOutAsTheSlowModelKeepsThem) {
  REQUIRE_SHARED("corpus/real-events.jsonl.zst");
  std::string text;
  test::ModelStore model;
  std::uint64_t ephemeral = 0;
  const auto lines = test::real_event_lines();
  for (const std::string& line : lines) {
    text += line + "\n";
    const auto event = parse_event(line);
    ASSERT_TRUE(event.has_value());
    const PutResult result = model.put(event->event(), kNow);
    ephemeral += result == PutResult::Ephemeral ? 1U : 0U;
  }
  ImportOptions options;
  options.batch_events = 300;
  options.transaction_events = 700;
  const ImportReport report = import(text, options);
  EXPECT_EQ(report.lines, lines.size());
  EXPECT_EQ(report.bad_signatures, 0U);
  EXPECT_EQ(report.count(PutResult::Ephemeral), ephemeral);
  EXPECT_GT(ephemeral, 0U);
  test::expect_consistent(*store_);

  const auto out = exported();
  std::set<std::string> expected;
  for (const Event& event : model.events()) expected.insert(to_json(event));
  EXPECT_EQ(std::set<std::string>(out.begin(), out.end()), expected);
  EXPECT_EQ(out.size(), expected.size());
  EXPECT_GT(out.size(), 3000U);
  std::int64_t last = 0;
  for (const std::string& line : out) {
    const std::int64_t created_at = parse_event(line)->event().created_at;
    EXPECT_LE(last, created_at);
    last = created_at;
  }
  // What was exported is what another store takes, all of it.
  test::TempDir second_dir;
  store_ = test::open_store(second_dir.path());
  std::string again;
  for (const std::string& line : out) again += line + "\n";
  ImportOptions trusting;
  trusting.verify = false;
  EXPECT_EQ(import(again, trusting).count(PutResult::Stored), out.size());
  EXPECT_EQ(exported(), out);
}

TEST_F(ImportTest, NamesTheFirstBadLinesOnly) {
  std::string text;
  for (int i = 0; i < 50; ++i) text += signed_line(i) + "\n{rubbish\n";
  ImportOptions options;
  options.batch_events = 3;
  const ImportReport report = import(text, options);
  ASSERT_EQ(report.first_bad.size(), ImportReport::kFirstBadMax);
  for (std::size_t i = 0; i < report.first_bad.size(); ++i) {
    EXPECT_EQ(report.first_bad[i].number, 2 * (i + 1));
  }
  EXPECT_EQ(report.parse_errors[static_cast<std::size_t>(ParseError::NotJson)], 50U);
}

TEST_F(ImportTest, CountsBadLinesByReasonAndGoesOn) {
  std::string wrong_signature = signed_line(5);
  const std::size_t sig = wrong_signature.rfind("\"sig\":\"") + 7;
  wrong_signature[sig] = wrong_signature[sig] == '0' ? '1' : '0';
  std::string wrong_id = signed_line(6);
  wrong_id.replace(wrong_id.find("\"kind\":1"), 8, "\"kind\":2");
  const std::string good = signed_line(7);
  std::ostringstream progress;
  ImportOptions options;
  options.progress = &progress;
  options.batch_events = 2;
  options.limits.json_bytes_max = 2000;
  const ImportReport report =
      import("not json\n\n" + wrong_signature + "\r\n" + wrong_id + "\n" +
                 signed_line(8, std::string(3000, 'x')) + "\n" + good + "\n" + good,
             options);
  EXPECT_EQ(report.lines, 6U);
  EXPECT_EQ(report.count(PutResult::Stored), 1U);
  EXPECT_EQ(report.count(PutResult::Duplicate), 1U);
  EXPECT_EQ(report.bad_signatures, 1U);
  EXPECT_EQ(report.lines_too_long, 1U);
  EXPECT_EQ(report.parse_errors[static_cast<std::size_t>(ParseError::WrongId)], 1U);
  EXPECT_THAT(progress.str(), testing::HasSubstr("1 left out: bad signature\n"));
  // Which they were, the empty second line counted.
  for (const char* line :
       {"line 1: not an object\n", "line 3: bad signature\n",
        "line 4: the id is not the hash of the event\n", "line 5: line too long\n"}) {
    EXPECT_THAT(progress.str(), testing::HasSubstr(std::string("import: ") + line));
  }
  ASSERT_EQ(report.first_bad.size(), 4U);
  EXPECT_EQ(report.first_bad[3].number, 5U);
  EXPECT_THAT(progress.str(), testing::HasSubstr("1 left out: line too long\n"));
  EXPECT_THAT(progress.str(), testing::HasSubstr("6 lines, 1 stored, 1 duplicate"));
}

TEST_F(ImportTest, TakesVeryOldEventsAndEmptyInput) {
  EXPECT_EQ(import("").lines, 0U);
  EXPECT_EQ(import("\n\n").lines, 0U);
  EXPECT_EQ(import(signed_line(0)).count(PutResult::Stored), 1U);
}

TEST_F(ImportTest, SkipsALineLongerThanAnyBuffer) {
  const std::string good = signed_line(1);
  const ImportReport report =
      import(std::string(5 << 20, 'x') + "\n" + good + "\n" + std::string(2 << 20, 'y'));
  EXPECT_EQ(report.lines_too_long, 2U);
  EXPECT_EQ(report.count(PutResult::Stored), 1U);
}

TEST_F(ImportTest, WithoutVerificationStillChecksIds) {
  std::string wrong_signature = signed_line(5);
  const std::size_t sig = wrong_signature.rfind("\"sig\":\"") + 7;
  wrong_signature[sig] = wrong_signature[sig] == '0' ? '1' : '0';
  std::string wrong_id = signed_line(6);
  wrong_id.replace(wrong_id.find("\"kind\":1"), 8, "\"kind\":2");
  ImportOptions options;
  options.verify = false;
  const ImportReport report = import(wrong_signature + "\n" + wrong_id, options);
  EXPECT_EQ(report.count(PutResult::Stored), 1U);
  EXPECT_EQ(report.parse_errors[static_cast<std::size_t>(ParseError::WrongId)], 1U);
}

TEST_F(ImportTest, EndsWhenTheStoreFails) {
  StoreOptions options = test::test_options();
  options.map_bytes_max = options.map_bytes_initial;
  test::TempDir small_dir;
  store_ = test::open_store(small_dir.path(), options);
  std::string text;
  for (int i = 0; i < 30; ++i) text += signed_line(i, std::string(60000, 'x')) + "\n";
  std::istringstream in(text);
  ImportOptions small_batches;
  small_batches.batch_events = 4;
  small_batches.transaction_bytes = 200000;
  EXPECT_FALSE(import_jsonl(*store_, in, clock_, small_batches).has_value());
  EXPECT_GT(store_->count(), 0U);
}

TEST_F(ImportTest, ExportsNothingThatHasExpiredAndReportsABadOutput) {
  test::put(*store_, test::make_event(1, 100, 1, {{"expiration", std::to_string(kNow)}}));
  const Event kept = test::make_event(1, 101, 1, {{"expiration", std::to_string(kNow + 1)}});
  test::put(*store_, kept);
  EXPECT_EQ(exported(), std::vector{to_json(kept)});
  std::ostringstream broken;
  broken.setstate(std::ios::badbit);
  EXPECT_FALSE(export_jsonl(*store_, broken, kNow).has_value());
}

}  // namespace

}  // namespace nostril::relay
