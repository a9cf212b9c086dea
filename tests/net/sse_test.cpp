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

}  // namespace
}  // namespace nostril::net
