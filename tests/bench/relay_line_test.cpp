#include "bench/relay/load/relay_line.h"

#include "bench/relay/load/answers.h"
#include "bench/relay/load/drafts.h"
#include "events/messages.h"

#include <gtest/gtest.h>

namespace nostril::bench {
namespace {

Event some_event() {
  Random random(1);
  EventDraft draft{.kind = kNote};
  draft.tags.add({"id", "0000000000000000000000000000000000000000000000000000000000000000"});
  draft.content = R"({"id":"1111111111111111111111111111111111111111111111111111111111111111"})";
  return unsigned_event(std::move(draft), bench_key("test", 0).public_key());
}

TEST(RelayLine, ReadsTheIdOfTheEventAndNotOneInItsTagsOrContent) {
  const Event event = some_event();
  const std::string text = event_prefix("s7") + to_json(event) + "]";
  const RelayLine line = read_relay_line(text);
  EXPECT_EQ(line.kind, RelayLine::Kind::Event);
  EXPECT_EQ(line.subject, "s7");
  EXPECT_EQ(line.id_key(), id_key(event.id));
}

TEST(RelayLine, ToleratesSpacesAndAnyOrderOfMembers) {
  const RelayLine line =
      read_relay_line(R"([ "EVENT" , "a", {"content": "\"id\":\"x\"", "id" : "00000000000000ff)"
                      R"(000000000000000000000000000000000000000000000000", "kind": 1}])");
  EXPECT_EQ(line.id_key(), 0xffU);
}

TEST(RelayLine, ReadsAnswersToEvents) {
  const std::string id(64, 'a');
  const std::string text = ok_text(id, true, "duplicate: have it");
  const RelayLine yes = read_relay_line(text);
  EXPECT_EQ(yes.kind, RelayLine::Kind::Ok);
  EXPECT_TRUE(yes.accepted());
  EXPECT_EQ(yes.id_key(), 0xaaaaaaaaaaaaaaaaU);
  EXPECT_NE(yes.rest.find("duplicate:"), std::string_view::npos);
  const std::string no = ok_text(id, false, "true");
  EXPECT_FALSE(read_relay_line(no).accepted());
}

TEST(RelayLine, ReadsTheOtherMessages) {
  EXPECT_EQ(read_relay_line(eose_text("q")).kind, RelayLine::Kind::EndOfStored);
  EXPECT_EQ(read_relay_line(closed_text("q", "error: no")).kind, RelayLine::Kind::Closed);
  EXPECT_EQ(read_relay_line(notice_text("no")).kind, RelayLine::Kind::Notice);
  EXPECT_EQ(read_relay_line(R"(["AUTH","x"])").kind, RelayLine::Kind::Other);
  EXPECT_FALSE(read_relay_line(eose_text("q")).count());
}

TEST(RelayLine, ReadsCounts) {
  EXPECT_EQ(read_relay_line(counted_text("q", 17)).count(), 17U);
  const RelayLine line = read_relay_line(R"(["COUNT", "q", {"hll": "00", "count" : 4}])");
  EXPECT_EQ(line.kind, RelayLine::Kind::Count);
  EXPECT_EQ(line.count(), 4U);
  EXPECT_FALSE(read_relay_line(R"(["COUNT","q",{"count":"4"}])").count());
}

TEST(RelayLine, TextThatIsCutHasNoId) {
  const Event event = some_event();
  const std::string whole = event_prefix("s7") + to_json(event) + "]";
  for (std::size_t size = 0; size < whole.find("\"id\":\"") + 70; ++size) {
    EXPECT_FALSE(read_relay_line(std::string_view(whole).substr(0, size)).id_key()) << size;
  }
  EXPECT_FALSE(read_relay_line(R"(["OK","short",true,""])").id_key());
}

}  // namespace
}  // namespace nostril::bench
