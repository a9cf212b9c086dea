// Vendors' documents as events: what is written is read, and each tag counts.
#include "events/document.h"

#include "events/kinds.h"
#include "schnorr/hash.h"
#include "tests/support/inference_fixtures.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nostril {
namespace {

DocumentEvent document() {
  DocumentEvent out;
  out.publisher = test::key_of("node").public_key();
  out.created_at = 1'800'000'000;
  out.digest = sha256(as_bytes("bytes"));
  out.name = "NV_GPU_DRIVER_GH100_550.90.07";
  out.expires_at = out.created_at + 604'800;
  out.document = "packed";
  return out;
}

Event event_of(const DocumentEvent& document) {
  test::SeededRng rng(1);
  return sign_event(build_document(document), test::key_of("node"), rng);
}

TEST(Document, ReadsWhatItWrites) {
  DocumentEvent wanted = document();
  const Event event = event_of(wanted);
  wanted.id = event.id;
  EXPECT_EQ(parse_document(event).value(), wanted);
  EXPECT_EQ(kind_class(event.kind), KindClass::Addressable);
}

TEST(Document, RefusesEachTagMissingDoubledOrWrong) {
  const Event sound = event_of(document());
  for (const Tags::View wanted : sound.tags) {
    for (const std::string_view change : {"missing", "doubled", "bare", "wrong"}) {
      Event event = sound;
      event.tags = Tags();
      for (const Tags::View tag : sound.tags) {
        const bool here = tag.name() == wanted.name();
        if (here && change == "missing") continue;
        if (here && change == "bare") {
          event.tags.add({tag[0]});
          continue;
        }
        event.tags.add({tag[0], here && change == "wrong" ? "a b" : tag[1]});
        if (here && change == "doubled") event.tags.add({tag[0], tag[1]});
      }
      EXPECT_FALSE(parse_document(event)) << wanted.name() << " " << change;
    }
  }
}

TEST(Document, RefusesContentThatIsNoneOrTooLarge) {
  Event event = event_of(document());
  event.content.assign(InferenceLimits::kEvidenceBytesMax, 'x');
  EXPECT_TRUE(parse_document(event));
  event.content += 'x';
  EXPECT_FALSE(parse_document(event));
  event.content.clear();
  EXPECT_FALSE(parse_document(event));
}

}  // namespace
}  // namespace nostril
