#include "client/gateway.h"

#include <gtest/gtest.h>

namespace nostril::client {
namespace {

struct Parts {
  std::string before;
  std::string held;
};

Parts pass(const std::vector<std::string>& pieces) {
  DoneHolder holder;
  Parts out;
  for (const std::string& piece : pieces) out.before += holder.feed(piece);
  out.held = holder.take();
  return out;
}

TEST(DoneHolder, HoldsTheDoneLineHoweverTheStreamIsCut) {
  for (const std::string end : {"\n\n", "\r\n\r\n", "\n"}) {
    const std::string before = "data: {\"a\":1}" + end + "data: {\"b\":\"data: [DONE]\"}" + end;
    const std::string done = "data: [DONE]" + end;
    const std::string text = before + done;
    for (std::size_t a = 0; a <= text.size(); ++a) {
      for (std::size_t b = a; b <= text.size(); ++b) {
        const Parts parts = pass({text.substr(0, a), text.substr(a, b - a), text.substr(b)});
        ASSERT_EQ(parts.before, before) << a << " " << b;
        ASSERT_EQ(parts.held, done);
      }
    }
  }
}

TEST(DoneHolder, PassesAStreamWithoutDoneWhole) {
  for (const std::string text : {"data: {\"x\":\"data: [DONE]\"}\n\n", "", "\n", "data: [DONE\n\n",
                                 "data: [DONX]\n\ndata: [DON", " data: [DONE]\n"}) {
    for (std::size_t a = 0; a <= text.size(); ++a) {
      const Parts parts = pass({text.substr(0, a), text.substr(a)});
      EXPECT_EQ(parts.before + parts.held, text);
      EXPECT_LT(parts.held.size(), std::string("data: [DONE]").size());
    }
  }
}

TEST(DoneHolder, LetsEachWholeLineGoAtOnce) {
  DoneHolder holder;
  EXPECT_EQ(holder.feed("data: {\"a\":1}\n\n"), "data: {\"a\":1}\n\n");
  EXPECT_EQ(holder.feed("data: {\"b\""), "data: {\"b\"");
  EXPECT_EQ(holder.feed(":2}\n"), ":2}\n");
  EXPECT_EQ(holder.feed("data"), "") << "it may become [DONE]";
  EXPECT_EQ(holder.feed(": x"), "data: x");
}

TEST(DoneHolder, KeepsAllThatFollowsDone) {
  const Parts parts = pass({"data: [DONE]\n\n", ": more\n", "x"});
  EXPECT_EQ(parts.before, "");
  EXPECT_EQ(parts.held, "data: [DONE]\n\n: more\nx");
}

}  // namespace
}  // namespace nostril::client
