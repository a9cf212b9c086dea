#include "relay/cluster/codec.h"
#include "relay/management.h"
#include "tests/relay/event_support.h"

#include <gtest/gtest.h>

namespace nostril::relay {
namespace {

const std::string kId(32, 'a');
const std::string kKeyHex(64, '7');

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  const auto at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return at == std::string::npos ? text : text.replace(at, what.size(), with);
}

RelayStatus status() {
  RelayStatus out;
  out.relay = "relay-1";
  out.version = "0.1.0";
  out.state = RelayState::CatchingUp;
  out.note = "one line, \"quoted\"";
  out.stream = {"main", 1'700'000'000'123'456'789};
  out.position = 41;
  out.stream_last = 100;
  out.events = 7;
  out.outbox_events = 3;
  out.connections = 12;
  out.rules = "00ff";
  out.started_at_ms = 1'700'000'000'000;
  return out;
}

SnapshotHeader header() {
  SnapshotHeader out;
  out.id = kId;
  out.relay = "relay-1";
  out.stream = {"main", 5};
  out.position = 9;
  out.events = 4;
  out.made_at_s = 1'700'000'000;
  out.bytes = {kChunkBytes + 1, 8'192};
  out.hashes_sha256.bytes.fill(9);
  return out;
}

ModerationMessage moderation() {
  ModerationMessage out;
  out.id = kId;
  out.relay = "relay-1";
  out.decided_at_s = 1'700'000'000;
  PublicKey key;
  key.bytes.fill(0x77);
  EventId id;
  id.bytes.fill(0x55);
  using L = ModerationList;
  out.changes = {{L::BannedKeys, item_of(key), "spam \xc3\xa4 \"\n"},
                 {L::AllowedKeys, item_of(key), std::nullopt},
                 {L::BannedEvents, item_of(id), ""},
                 {L::AllowedEvents, item_of(id), std::nullopt},
                 {L::AllowedKinds, item_of(7), ""},
                 {L::DisallowedKinds, item_of(65'535), ""},
                 {L::BlockedAddresses, item_of(*AddressBlock::parse("192.0.2.0/24")), "x"},
                 {L::Texts, "name", "A relay"},
                 {L::Methods, item_of(key, name_of(ManagementMethod::BanEvent)), ""},
                 {L::Roles, "king", MemberRole{"King", "", 37, {}}.to_text()},
                 {L::MemberRoles, item_of(key, "king"), ""}};
  out.erased_authors = {key};
  out.erased_ids = {id};
  return out;
}

TEST(ClusterCodec, ReadsWhatItWrites) {
  for (const auto action :
       {ControlAction::Status, ControlAction::Drain, ControlAction::Resnapshot}) {
    EXPECT_EQ(parse_control_request(to_json(ControlRequest{action})), ControlRequest{action});
  }
  const ControlReply good{"relay-1", status()};
  EXPECT_EQ(parse_control_reply(to_json(good)), good);
  const ControlReply bad{"relay-1", failure(std::string("it is busy"))};
  EXPECT_EQ(parse_control_reply(to_json(bad)), bad);
  EXPECT_EQ(parse_moderation(to_json(moderation())), moderation());
  for (const SnapshotRequest& request :
       {SnapshotRequest(SnapshotWho{"c", {"a", "b"}}), SnapshotRequest(SnapshotWho{"c", {}}),
        SnapshotRequest(SnapshotOpen{"c"}),
        SnapshotRequest(SnapshotPiece{kId, SnapshotPiece::Of::Hashes, 0}),
        SnapshotRequest(SnapshotPiece{kId, SnapshotPiece::Of::Chunks, 12'345})}) {
    EXPECT_EQ(parse_snapshot_request(to_json(request)), request);
  }
  const SnapshotOffer offer{"a", {"main", 5}, 77, 8};
  EXPECT_EQ(parse_snapshot_offer(to_json(offer)), offer);
  for (const SnapshotOpened& opened : {SnapshotOpened(SnapshotMaking{3}), SnapshotOpened(header()),
                                       SnapshotOpened(SnapshotRefused{"no room"})}) {
    EXPECT_EQ(parse_snapshot_opened(to_json(opened)), opened);
  }
}

TEST(ClusterCodec, ALagIsNeverNegative) {
  RelayStatus ahead = status();
  ahead.stream_last = 40;
  EXPECT_EQ(ahead.lag(), 0U);
  EXPECT_EQ(status().lag(), 59U);
}

TEST(ClusterCodec, CountsTheChunksOfEachFile) {
  SnapshotHeader one = header();
  EXPECT_EQ(one.chunks_of(SnapshotFile::Events), 2U);
  EXPECT_EQ(one.chunks_of(SnapshotFile::Moderation), 1U);
  EXPECT_EQ(one.chunks(), 3U);
  one.bytes = {kChunkBytes, 1};
  EXPECT_EQ(one.chunks(), 2U);
}

TEST(ClusterCodec, RefusesRequestsWithWhatItDoesNotKnow) {
  for (const char* text :
       {"", "{}", "[]", "null", R"({"do":"status")", R"({"do":"Status"})", R"({"do":1})",
        R"({"do":"status","do":"drain"})", R"({"do":"drain","after_s":5})", R"(["status"])"}) {
    EXPECT_FALSE(parse_control_request(text)) << text;
  }
  EXPECT_EQ(parse_control_request(R"({"do":")" + std::string(kControlBytesMax, 'x') + R"("})"),
            tl::make_unexpected(CodecError::OutOfRange));
  for (const char* text :
       {R"({"do":"who","relay":"a b","but":[]})", R"({"do":"who","relay":"a"})",
        R"({"do":"who","relay":"a","but":["x.y"]})", R"({"do":"who","relay":"a","but":[7]})",
        R"({"do":"open"})", R"({"do":"open","relay":""})", R"({"do":"open","relay":"a","id":""})",
        R"({"do":"chunk","id":"aa","number":0})"}) {
    EXPECT_FALSE(parse_snapshot_request(text)) << text;
  }
  const std::string piece = to_json(SnapshotPiece{kId, SnapshotPiece::Of::Chunks, 12'345});
  EXPECT_FALSE(parse_snapshot_request(replaced(piece, "12345", "-1")));
  EXPECT_FALSE(parse_snapshot_request(replaced(piece, "12345", "1.0")));
  EXPECT_FALSE(parse_snapshot_request(replaced(piece, "12345", "99999999999")));
  EXPECT_FALSE(parse_snapshot_request(replaced(piece, "aaaa", "AAAA")));
}

// A newer relay may say more of itself; what it must say is checked.
TEST(ClusterCodec, ReportsMayHaveMembersOfALaterVersion) {
  const ControlReply reply{"relay-1", status()};
  const std::string text = to_json(reply);
  EXPECT_EQ(
      parse_control_reply(replaced(text, R"("started_at_ms")", R"("new":[1],"started_at_ms")")),
      reply);
  for (const char* member :
       {"relay", "version", "state", "note", "stream", "created_ns", "position", "stream_last",
        "events", "outbox_events", "connections", "rules", "started_at_ms"}) {
    const std::string name = '"' + std::string(member) + '"';
    const auto at = text.rfind(name + ":");  // of the status
    std::string without = text;
    without.replace(at, name.size(), "\"gone\"");
    EXPECT_FALSE(parse_control_reply(without)) << member;
  }
  EXPECT_FALSE(parse_control_reply(replaced(text, "catching_up", "asleep")));
  EXPECT_FALSE(parse_control_reply(replaced(text, R"({"relay":"relay-1")", R"({"relay":"other")")));
  EXPECT_FALSE(parse_control_reply(replaced(text, "one line", "two\\nlines")));
}

TEST(ClusterCodec, CutsTextsForPeopleAndKeepsThemOnOneLine) {
  const std::string umlauts = [] {
    std::string out = "x";
    while (out.size() < 2 * kNoteBytesMax) out += "\xc3\xa4";
    return out + "\n";
  }();
  const auto reply = parse_control_reply(to_json(ControlReply{"a", failure(umlauts)}));
  ASSERT_TRUE(reply);
  ASSERT_FALSE(reply->outcome);
  EXPECT_EQ(reply->outcome.error(), umlauts.substr(0, kNoteBytesMax - 1));
}

TEST(ClusterCodec, TakesOnlyWhatBelongsIntoAModeratorsList) {
  const std::string text = to_json(moderation());
  const std::string key = R"("item":")" + kKeyHex + '"';
  EXPECT_FALSE(parse_moderation(replaced(text, key, R"("item":"77")")));
  EXPECT_FALSE(parse_moderation(replaced(text, key, R"("item":"7g")")));
  EXPECT_FALSE(parse_moderation(replaced(text, "banned_keys", "banned_cats")));
  EXPECT_FALSE(parse_moderation(replaced(text, "banned_keys", "allowed_kinds")));
  EXPECT_FALSE(parse_moderation(replaced(text, "banned_keys", "texts")));
  EXPECT_FALSE(parse_moderation(replaced(text, "banned_keys", "methods")));
  EXPECT_FALSE(parse_moderation(replaced(text, "banned_keys", "blocked_addresses")));
  EXPECT_FALSE(parse_moderation(replaced(text, R"("decided_at")", R"("at")")));
  EXPECT_FALSE(parse_moderation(replaced(text, R"("erase_ids":[)", R"("erase_ids":["",)")));
  EXPECT_FALSE(parse_moderation(replaced(text, R"("changes")", R"("new":1,"changes")")));
  EXPECT_FALSE(parse_moderation(replaced(text, R"("text":null)", R"("text":0)")));
  ModerationMessage long_text = moderation();
  long_text.changes[0].text = std::string(kModerationTextBytesMax, 'x');
  EXPECT_TRUE(parse_moderation(to_json(long_text)));
  *long_text.changes[0].text += 'x';
  EXPECT_FALSE(parse_moderation(to_json(long_text)));
  ModerationMessage many = moderation();
  many.changes.assign(kModerationChangesMax, moderation().changes[0]);
  EXPECT_TRUE(parse_moderation(to_json(many)));
  many.changes.push_back(many.changes[0]);
  EXPECT_EQ(parse_moderation(to_json(many)), tl::make_unexpected(CodecError::OutOfRange));
}

TEST(ClusterCodec, RefusesHeadersThatSayTooMuch) {
  const std::string text = to_json(SnapshotOpened(header()));
  EXPECT_FALSE(parse_snapshot_opened(
      replaced(text, R"("events_bytes":524289)", R"("events_bytes":4398046511105)")));
  EXPECT_TRUE(parse_snapshot_opened(
      replaced(text, R"("events_bytes":524289)", R"("events_bytes":4398046511104)")));
  EXPECT_FALSE(
      parse_snapshot_opened(replaced(text, R"("events_bytes":524289)", R"("events_bytes":0)")));
  EXPECT_FALSE(parse_snapshot_opened(replaced(text, "ready", "Ready")));
  EXPECT_FALSE(parse_snapshot_opened(replaced(text, "0909", "09")));
}

TEST(ClusterCodec, APieceIsDataOrAReason) {
  const Bytes data = {1, 2, 3};
  const Bytes reply = piece_reply(data);
  const auto piece = parse_piece_reply(reply);
  ASSERT_TRUE(piece);
  EXPECT_EQ(Bytes(piece->begin(), piece->end()), data);
  EXPECT_EQ(parse_piece_reply(piece_refusal("no such\nsnapshot")).error(), "no such?snapshot");
  EXPECT_FALSE(parse_piece_reply({}));
  EXPECT_FALSE(parse_piece_reply(Bytes{2, 1}));
  EXPECT_TRUE(parse_piece_reply(piece_reply(Bytes(kChunkBytes))));
  EXPECT_FALSE(parse_piece_reply(piece_reply(Bytes(kChunkBytes + 1))));
}

}  // namespace
}  // namespace nostril::relay
