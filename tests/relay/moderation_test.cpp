#include "relay/moderation.h"

#include "tests/relay/event_support.h"

#include <gtest/gtest.h>

namespace nostril::relay::test {
namespace {

using L = ModerationList;

net::PeerAddress peer(std::string_view ip) {
  return net::PeerAddress::parse(ip).value_or(net::PeerAddress{});
}

TEST(AddressBlock, ReadsAddressesAndBlocksAndWritesThemAlike) {
  for (const char* text :
       {"192.0.2.7", "192.0.2.0/24", "0.0.0.0/0", "10.0.0.0/8", "2001:db8::/32", "::1", "::/0"}) {
    const auto block = AddressBlock::parse(text);
    ASSERT_TRUE(block) << text;
    EXPECT_EQ(block->text(), text);
  }
}

TEST(AddressBlock, RefusesWhatIsNone) {
  for (const char* text : {"", "/", "/24", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/-1",
                           "a.b.c.d", "192.0.2.0/", "192.0.2.0/024", "192.0.2.0/24 ", " 192.0.2.0",
                           "2001:db8::1/32", "::/129", "192.0.2", "fe80::1%eth0", "[::1]"}) {
    EXPECT_FALSE(AddressBlock::parse(text)) << text;
  }
}

TEST(AddressBlocks, ContainWhatTheirPrefixHolds) {
  AddressBlocks blocks;
  for (const char* text : {"192.0.2.0/24", "198.51.100.7", "2001:db8::/32", "::/1"}) {
    blocks.set(*AddressBlock::parse(text), "");
  }
  for (const char* in : {"192.0.2.0", "192.0.2.255", "198.51.100.7", "2001:db8:ffff::1", "::1"}) {
    EXPECT_TRUE(blocks.contain(peer(in))) << in;
  }
  // IPv4 is not IPv6: "::/1" holds none of it.
  for (const char* out : {"192.0.3.0", "198.51.100.8", "203.0.113.1", "f000::1"}) {
    EXPECT_FALSE(blocks.contain(peer(out))) << out;
  }
  auto with_port = peer("198.51.100.7");
  with_port.port = 4242;
  EXPECT_TRUE(blocks.contain(with_port));
  blocks.erase(*AddressBlock::parse("192.0.2.0/24"));
  EXPECT_FALSE(blocks.contain(peer("192.0.2.0")));
}

class ModerationTest : public testing::Test {
 protected:
  void open() {
    moderation.reset();
    auto opened = Moderation::open(dir.path() / "moderation");
    ASSERT_TRUE(opened) << opened.error();
    moderation = std::move(*opened);
  }

  void SetUp() override { open(); }

  TempDir dir;
  std::unique_ptr<Moderation> moderation;
  const Event event = make_event(1, 1, 1);
  const AddressBlock block = *AddressBlock::parse("192.0.2.0/24");
};

TEST_F(ModerationTest, WhatWasDecidedIsThereAfterARestart) {
  const std::vector<ModerationChange> changes = {
      {L::BannedKeys, item_of(event.pubkey), "spam"},
      {L::AllowedKeys, item_of(event.pubkey), ""},
      {L::BannedEvents, item_of(event.id), "bad"},
      {L::AllowedEvents, item_of(event.id), ""},
      {L::AllowedKinds, item_of(7U), ""},
      {L::DisallowedKinds, item_of(65'535U), ""},
      {L::BlockedAddresses, item_of(block), "scanners"},
      {L::Texts, "name", "Näme"},
      {L::Methods, item_of(event.pubkey, "banevent"), ""},
      {L::Methods, item_of(event.pubkey, "blockip"), ""}};
  ASSERT_TRUE(moderation->apply(changes, 5));
  for (int round = 0; round < 2; ++round) {
    const auto lists = moderation->lists();
    EXPECT_EQ(lists->banned_keys->at(event.pubkey), "spam");
    EXPECT_TRUE(lists->allowed_keys->contains(event.pubkey));
    EXPECT_EQ(lists->banned_events->at(event.id), "bad");
    EXPECT_TRUE(lists->allowed_events->contains(event.id));
    EXPECT_EQ(*lists->allowed_kinds, std::set<std::uint32_t>{7});
    EXPECT_EQ(*lists->disallowed_kinds, std::set<std::uint32_t>{65'535});
    EXPECT_TRUE(lists->blocked->contain(peer("192.0.2.9")));
    EXPECT_EQ(lists->texts->at("name"), "Näme");
    EXPECT_EQ(lists->methods->at(event.pubkey), (std::set<std::string>{"banevent", "blockip"}));
    EXPECT_TRUE(lists->bans(event));
    EXPECT_EQ(moderation->rows(), changes.size());
    open();
  }
  std::vector<ModerationChange> back = changes;
  for (auto& change : back) change.text.reset();
  ASSERT_TRUE(moderation->apply(back, 6));
  open();
  EXPECT_EQ(moderation->rows(), 0U);
  EXPECT_FALSE(moderation->lists()->bans(event));
  EXPECT_TRUE(moderation->lists()->methods->empty());
  EXPECT_TRUE(moderation->lists()->blocked->empty());
}

TEST_F(ModerationTest, AChangeIsAllOrNothingAndLeavesOldSnapshotsAlone) {
  const auto before = moderation->lists();
  EXPECT_FALSE(
      moderation->apply(std::vector<ModerationChange>{{L::BannedKeys, item_of(event.pubkey), ""},
                                                      {L::BannedKeys, "short", ""}},
                        1));
  EXPECT_FALSE(moderation->apply(
      std::vector<ModerationChange>{
          {L::BannedKeys, item_of(event.pubkey), std::string(kModerationTextBytesMax + 1, 'x')}},
      1));
  EXPECT_EQ(moderation->rows(), 0U);
  ASSERT_TRUE(moderation->apply(
      std::vector<ModerationChange>{{L::BannedKeys, item_of(event.pubkey), ""}}, 1));
  EXPECT_FALSE(before->bans(event));
  EXPECT_TRUE(moderation->lists()->bans(event));
  EXPECT_EQ(before->banned_events, moderation->lists()->banned_events);  // not copied
}

TEST_F(ModerationTest, HoldsMoreThanItsFirstMap) {
  std::vector<ModerationChange> many;
  for (std::uint32_t i = 0; i < 100'000; ++i) {
    EventId id{};
    for (std::size_t at = 0; at < 4; ++at) {
      id.bytes[28 + at] = static_cast<std::uint8_t>(i >> (8 * at));
    }
    many.push_back({L::BannedEvents, item_of(id), std::string(600, 'r')});
  }
  ASSERT_TRUE(moderation->apply(many, 1));
  open();
  EXPECT_EQ(moderation->rows(), 100'000U);
}

TEST_F(ModerationTest, ADamagedRowIsNotPassedOver) {
  moderation.reset();
  {
    auto env = lmdb::Env::open(dir.path() / "moderation", {.tables_max = 1});
    ASSERT_TRUE(env);
    const auto table = (*env)->open_table("rows", true);
    lmdb::WriteTxn txn(**env);
    txn.put(*table, as_bytes(std::string("\x01") + "short"), as_bytes(std::string(8, '\0')));
    ASSERT_TRUE(txn.commit());
  }
  EXPECT_FALSE(Moderation::open(dir.path() / "moderation"));
}

}  // namespace
}  // namespace nostril::relay::test
