#include "net/sse.h"

#include <gtest/gtest.h>

#include <random>

namespace nostril::net {
namespace {

std::vector<std::string> read(std::string_view text, std::size_t piece = 1'000'000,
                              SseLimits limits = {}) {
  SseParser parser(limits);
  std::vector<SseEvent> events;
  bool good = true;
  while (!text.empty() && good) {
    good = parser.feed(text.substr(0, piece), events);
    text.remove_prefix(std::min(piece, text.size()));
  }
  std::vector<std::string> out;
  for (const SseEvent& event : events)
    out.push_back(event.event + "|" + event.data + "|" + event.id);
  if (!good) out.emplace_back("failed");
  return out;
}

using Events = std::vector<std::string>;

TEST(SseParser, ReadsEventsWithAnyLineEndCutAnywhere) {
  const Events expected{"|one|", "named|two\nthree|7", "||7"};
  for (const std::string& end : {std::string("\n"), std::string("\r\n"), std::string("\r")}) {
    std::string text =
        "\xEF\xBB\xBF: comment@data: one@@event: named@id: 7@data:two@data: three@retry: "
        "5@@data@@event: lost@@";
    for (std::size_t at = 0; (at = text.find('@', at)) != std::string::npos; at += end.size())
      text.replace(at, 1, end);
    for (const std::size_t piece : {1U, 2U, 3U, 1'000U})
      EXPECT_EQ(read(text, piece), expected) << piece;
  }
}

TEST(SseParser, ReadsWhatEnginesSend) {
  EXPECT_EQ(read("data: {\"choices\":[{\"delta\":{\"content\":\"a: b\"}}]}\n\ndata: [DONE]\n\n"),
            (Events{"|{\"choices\":[{\"delta\":{\"content\":\"a: b\"}}]}|", "|[DONE]|"}));
  EXPECT_EQ(read("data:  two spaces\n\n"), Events{"| two spaces|"});
  EXPECT_EQ(read("data: unfinished\n"), Events{});
  EXPECT_EQ(read("unknown: x\n: c\n\nx\n\n"), Events{});
}

TEST(SseParser, HoldsItsLimits) {
  const SseLimits limits{20, 50};
  EXPECT_EQ(read("data: 12345678901234\n\n", 3, limits), Events{"|12345678901234|"});
  EXPECT_EQ(read("data: 123456789012345\n\n", 3, limits), Events{"failed"});
  std::string many;
  for (int i = 0; i < 10; ++i) many += "data: 1234567890\n";
  EXPECT_EQ(read(many + "\n", 7, limits), Events{"failed"});
  SseParser parser(limits);
  std::vector<SseEvent> events;
  EXPECT_FALSE(parser.feed(std::string(21, 'x'), events));
  EXPECT_FALSE(parser.feed("\n\ndata: x\n\n", events));
  EXPECT_TRUE(events.empty());
}

TEST(SseEncode, IsReadBackByTheParser) {
  EXPECT_EQ(sse_encode("", "x"), "data: x\n\n");
  EXPECT_EQ(sse_encode("e", "a\nb"), "event: e\ndata: a\ndata: b\n\n");
  EXPECT_EQ(read(sse_encode("e", "a\r\nb\rc\n") + sse_encode("", "")),
            (Events{"e|a\nb\nc\n|", "||"}));
}

TEST(SseSplitter, CutsBehindEachEmptyLineAndChangesNothing) {
  const std::vector<std::string> events{"data: a\n\n", "data: b\r\n\r\n",
                                        ": ping\n\n",  "data: c\r\r",
                                        "\n",          "event: d\ndata: d\n\r\n"};
  std::string text;
  for (const std::string& event : events) text += event;
  SseSplitter whole;
  whole.add(text + "data: cut");
  std::vector<std::string> cut;
  while (auto piece = whole.next()) cut.push_back(*piece);
  // The LF behind CR CR ends no line of its own.
  EXPECT_EQ(
      cut, (std::vector<std::string>{events[0], events[1], events[2], "data: c\r\r\n", events[5]}));
  EXPECT_EQ(whole.take_rest(), "data: cut");
  EXPECT_EQ(whole.take_rest(), "");
}

TEST(SseSplitter, APieceHoldsAtMostOneEventHoweverTheStreamWasCut) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::vector<std::string> words{"data: x", "event: y", ":", "\n", "\r", "\r\n", "\n\n", "z"};
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (std::size_t i = random() % 40; i > 0; --i) text += words[random() % words.size()];
    SseSplitter splitter;
    SseParser parser;
    std::string joined;
    std::vector<SseEvent> all;
    const auto take = [&](const std::string& piece) {
      joined += piece;
      std::vector<SseEvent> events;
      ASSERT_TRUE(parser.feed(piece, events));
      EXPECT_LE(events.size(), 1U) << text;
      std::ranges::move(events, std::back_inserter(all));
    };
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t count = 1 + random() % 9;
      splitter.add(std::string_view(text).substr(at, count));
      at += count;
      while (const auto piece = splitter.next()) take(*piece);
    }
    take(splitter.take_rest());
    EXPECT_EQ(joined, text);
    SseParser whole;
    std::vector<SseEvent> expected;
    ASSERT_TRUE(whole.feed(text, expected));
    ASSERT_EQ(all.size(), expected.size()) << text;
  }
}

TEST(SseSplitter, AnEventBeyondTheBoundComesInParts) {
  SseSplitter splitter(10);
  splitter.add("data: 1234");
  EXPECT_FALSE(splitter.next());
  splitter.add("5");
  EXPECT_EQ(splitter.next(), "data: 12345");
  splitter.add("6\n\n");
  EXPECT_EQ(splitter.next(), "6\n\n");
}

}  // namespace
}  // namespace nostril::net
