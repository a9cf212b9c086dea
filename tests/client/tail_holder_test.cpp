#include "client/gateway/tail_holder.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nostril::client {
namespace {

Tail judge(std::string_view line) {
  if (line == "data: [DONE]") return Tail::End;
  return line == "usage" ? Tail::Maybe : Tail::No;
}

struct Parts {
  std::string before;
  std::string held;
};

Parts pass(const std::vector<std::string>& pieces) {
  TailHolder holder(judge);
  Parts out;
  for (const std::string& piece : pieces) out.before += holder.feed(piece);
  out.held = holder.take();
  return out;
}

/// However the text is cut into three.
void expect_cut(const std::string& before, const std::string& held) {
  const std::string text = before + held;
  for (std::size_t a = 0; a <= text.size(); ++a) {
    for (std::size_t b = a; b <= text.size(); ++b) {
      const Parts parts = pass({text.substr(0, a), text.substr(a, b - a), text.substr(b)});
      ASSERT_EQ(parts.before, before) << a << " " << b;
      ASSERT_EQ(parts.held, held) << a << " " << b;
    }
  }
}

TEST(TailHolder, HoldsTheEndHoweverTheStreamIsCut) {
  for (const std::string end : {"\n\n", "\r\n\r\n", "\n"}) {
    expect_cut("data: {\"a\":1}" + end + "data: {\"b\":\"data: [DONE]\"}" + end,
               "data: [DONE]" + end);
  }
}

TEST(TailHolder, HoldsFromTheLastUsageOn) {
  expect_cut("a\n\n", "usage\n\n: a comment\n\ndata: [DONE]\n\n");
  expect_cut("a\n\nusage\n\nb\n\n", "usage\n\ndata: [DONE]\n\n");
  expect_cut("usage\n\nb\n\n", "");
  expect_cut("usage\n", "usage\n");
}

TEST(TailHolder, PassesWholeLinesOfAStreamWithoutAnEnd) {
  expect_cut("data: {\"x\":\"data: [DONE]\"}\n\n", "");
  expect_cut("data: [DONX]\n\n", "data: [DON");
  expect_cut(" data: [DONE]\n", "");
}

TEST(TailHolder, WhatFollowsTheEndIsHeldToo) {
  expect_cut("", "data: [DONE]\n\ndata: more\n");
}

TEST(TailHolder, ALineWithoutEndIsNotKept) {
  TailHolder holder(judge);
  const std::string part(1U << 20, 'x');
  std::size_t out = 0;
  for (int i = 0; i < 8; ++i) out += holder.feed(part).size();
  EXPECT_GT(out, TailHolder::kLineBytesMax);
  out += holder.feed("\n").size();
  EXPECT_EQ(out, 8 * part.size() + 1);
  EXPECT_EQ(holder.feed("data: [DONE]\n"), "");
}

}  // namespace
}  // namespace nostril::client
