#include "base/log.h"

#include "base/bytes.h"
#include "base/json.h"
#include "base/log_seldom.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace nostril {

namespace {

std::string printed(std::string_view text) {
  testing::internal::CaptureStderr();
  log_line(LogLevel::Error, public_text(text));
  return testing::internal::GetCapturedStderr();
}

TEST(Log, ReplacesControlCharactersSoThatNobodyForgesLines) {
  const std::string line = printed(std::string_view("a\nb\rc\td\x1b[31m\x7f\0z", 15));
  EXPECT_NE(line.find("a?b?c?d?[31m??z"), std::string::npos) << line;
  EXPECT_EQ(line.find('\n'), line.size() - 1) << "one line only";
}

TEST(Log, ReplacesTheControlCharactersAboveAscii) {
  EXPECT_NE(printed("a\xc2\x9b\x33\x31mb").find("a??31mb"), std::string::npos);
  EXPECT_NE(printed("a\xc2\x80\xc2\x9f\xc2").find("a????"), std::string::npos);
  EXPECT_NE(printed("\xc3\x9b \xc2\xa0 \xe2\x82\xac").find("\xc3\x9b \xc2\xa0 \xe2\x82\xac"),
            std::string::npos)
      << "letters stay";
}

TEST(Log, DoesNotReadBracesInPeersText) {
  EXPECT_NE(printed("{} {0} %v").find("{} {0} %v"), std::string::npos);
}

// Whoever widens Loggable opens the logs to prompts. Calls: log_nocompile.cpp.
template <typename... Types>
inline constexpr bool kNoneLoggable = !(Loggable<Types> || ...);
static_assert(kNoneLoggable<std::string, std::string_view, const char*, char, unsigned char, Bytes,
                            ByteSpan, Json, std::vector<std::string>>);
static_assert(Loggable<LogText> && Loggable<bool> && Loggable<std::size_t>);
static_assert(!std::is_constructible_v<LogText, std::string> &&
              !std::is_convertible_v<std::string, LogText>);

TEST(Log, SaysTimeAndLevel) {
  const std::string line = printed("hello");
  EXPECT_TRUE(line.find("error hello") != std::string::npos) << line;
  EXPECT_EQ(line[10], 'T') << line;
}

TEST(Log, PrintsNothingBelowItsLevel) {
  set_log_level(LogLevel::Warning);
  testing::internal::CaptureStderr();
  log(LogLevel::Info, "not {}", public_text("this"));
  log(LogLevel::Warning, "but {}", public_text("this"));
  EXPECT_FALSE(log_enabled(LogLevel::Debug));
  EXPECT_TRUE(log_enabled(LogLevel::Error));
  set_log_level(LogLevel::Info);
  const std::string all = testing::internal::GetCapturedStderr();
  EXPECT_EQ(all.find("not this"), std::string::npos);
  EXPECT_NE(all.find("but this"), std::string::npos);
}

TEST(Log, OffIsSilentEvenForErrors) {
  set_log_level(LogLevel::Off);
  EXPECT_FALSE(log_enabled(LogLevel::Error));
  EXPECT_EQ(printed("nothing"), "");
  set_log_level(LogLevel::Info);
}

TEST(SeldomLog, SaysAnErrorOnceAMinuteAndHowOftenItCame) {
  SeldomLog seldom;
  const SeldomLog::Time start{};
  const auto at = [&](int seconds) { return start + std::chrono::seconds(seconds); };
  testing::internal::CaptureStderr();
  EXPECT_TRUE(seldom.error_at(public_text("disk full"), at(0)));
  EXPECT_FALSE(seldom.error_at(public_text("disk full"), at(1)));
  EXPECT_TRUE(seldom.error_at(public_text("another"), at(2)));
  EXPECT_FALSE(seldom.error_at(public_text("disk full"), at(59)));
  EXPECT_TRUE(seldom.error_at(public_text("disk full"), at(60)));
  EXPECT_FALSE(seldom.error_at(public_text("disk full"), at(61)));
  const std::string all = testing::internal::GetCapturedStderr();
  EXPECT_NE(all.find("disk full (3 times since it was last said)"), std::string::npos) << all;
}

TEST(SeldomLog, ForgetsRatherThanGrows) {
  SeldomLog seldom;
  const SeldomLog::Time now{};
  testing::internal::CaptureStderr();
  for (int i = 0; i < 1'000; ++i) {
    EXPECT_TRUE(seldom.error_at(public_text(std::to_string(i)), now));
  }
  (void)testing::internal::GetCapturedStderr();
}

TEST(LogLevelFrom, KnowsTheNames) {
  EXPECT_EQ(log_level_from("debug"), LogLevel::Debug);
  EXPECT_EQ(log_level_from("info"), LogLevel::Info);
  EXPECT_EQ(log_level_from("warning"), LogLevel::Warning);
  EXPECT_EQ(log_level_from("error"), LogLevel::Error);
  EXPECT_EQ(log_level_from("off"), LogLevel::Off);
  EXPECT_EQ(log_level_from("shout"), LogLevel::Info);
}

}  // namespace

}  // namespace nostril
