#include "client/gateway/repeats.h"

#include "schnorr/hash.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace nostril::client {
namespace {

const Digest kFirst = sha256("first");
constexpr net::ConnectionId kThere{7};

std::shared_ptr<Exchange> exchange_of(const Digest& fingerprint, std::string key = {}) {
  auto out = std::make_shared<Exchange>();
  out->fingerprint = fingerprint;
  out->idempotency_key = std::move(key);
  out->connection = kThere;
  return out;
}

TEST(Repeats, TwoEqualRequestsAreTwo) {
  Repeats repeats;
  repeats.add(exchange_of(kFirst));
  EXPECT_EQ(repeats.find(kFirst, {}, 0), nullptr);
}

TEST(Repeats, WhoSaysSoOrLostTheFirstRepeatsIt) {
  Repeats repeats;
  const auto first = exchange_of(kFirst);
  repeats.add(first);
  EXPECT_EQ(repeats.find(kFirst, {.is_retry = true}, 0), first);
  EXPECT_EQ(repeats.find(sha256("other"), {.is_retry = true}, 0), nullptr);
  first->connection = net::ConnectionId::None;
  EXPECT_EQ(repeats.find(kFirst, {}, 0), first);
  first->cancelled = true;
  EXPECT_EQ(repeats.find(kFirst, {}, 0), nullptr);
}

TEST(Repeats, WhatIsNotKeptWholeIsNoAnswerAgain) {
  Repeats repeats;
  const auto first = exchange_of(kFirst);
  repeats.add(first);
  first->replayable = false;
  EXPECT_EQ(repeats.find(kFirst, {.is_retry = true}, 0), nullptr);
}

TEST(Repeats, AnIdempotencyKeyDecidesAlone) {
  Repeats repeats;
  const auto first = exchange_of(kFirst, "k");
  repeats.add(first);
  EXPECT_EQ(repeats.find(kFirst, {.idempotency_key = "k"}, 0), first);
  EXPECT_EQ(repeats.find(kFirst, {.idempotency_key = "l", .is_retry = true}, 0), nullptr);
  EXPECT_TRUE(repeats.names_another({}, sha256("other"), "k"));
  EXPECT_FALSE(repeats.names_another({}, kFirst, "k"));
  EXPECT_FALSE(repeats.names_another({.id = sha256("somebody else")}, sha256("other"), "k"));
}

TEST(Repeats, EndedOnesAreKeptForAWhileAndNotTooMany) {
  Repeats repeats;
  const auto first = exchange_of(kFirst);
  repeats.add(first);
  first->ended = true;
  repeats.end(first, true, 100);
  EXPECT_EQ(repeats.find(kFirst, {.is_retry = true}, 100 + Repeats::kKeptMs - 1), first);
  EXPECT_EQ(repeats.find(kFirst, {.is_retry = true}, 100 + Repeats::kKeptMs), nullptr);
  EXPECT_EQ(repeats.size(), 0U);
  for (std::size_t i = 0; i < Repeats::kKeptMax + 10; ++i) {
    const auto one = exchange_of(sha256(std::to_string(i)));
    repeats.add(one);
    one->ended = true;
    repeats.end(one, true, 1'000 + i);
  }
  EXPECT_EQ(repeats.size(), Repeats::kKeptMax);
  EXPECT_EQ(repeats.find(sha256("0"), {.is_retry = true}, 2'000), nullptr);
  const auto forgotten = exchange_of(kFirst);
  repeats.add(forgotten);
  forgotten->ended = true;
  repeats.end(forgotten, false, 2'000);
  EXPECT_EQ(repeats.find(kFirst, {.is_retry = true}, 2'000), nullptr);
}

}  // namespace
}  // namespace nostril::client
