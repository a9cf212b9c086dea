#include "events/inference.h"

#include "base/hex.h"
#include "tests/support/inference_fixtures.h"

#include <gtest/gtest.h>

#include <cctype>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace nostril {
namespace {

using test::digest_of;
using test::example_offer;
using test::example_record;
using test::key_of;

using Element = std::vector<std::string>;

std::vector<Element> elements_of(const Tags& tags) {
  std::vector<Element> out;
  for (const Tags::View tag : tags) {
    Element element;
    for (std::size_t index = 0; index < tag.size(); ++index) element.emplace_back(tag[index]);
    out.push_back(element);
  }
  return out;
}

Tags tags_of(const std::vector<Element>& elements) {
  Tags tags;
  for (const Element& element : elements) {
    for (const std::string& text : element) tags.add_element(text);
    tags.finish_tag();
  }
  return tags;
}

AttestationEvent example_attestation() {
  AttestationEvent attestation;
  attestation.created_at = 1'800'000'000;
  attestation.digest = digest_of("statement");
  attestation.encryption_key = key_of("N").public_key();
  attestation.encryption_key_expires_at = 1'800'003'600;
  attestation.gpu_evidence = digest_of("gpus");
  attestation.model_manifest = digest_of("weights");
  attestation.nonce = digest_of("nonce");
  attestation.tee = "simulated";
  attestation.expires_at = 1'800'003'600;
  attestation.evidence = "KLUv/QQAAQAAAA==";
  return attestation;
}

ModelRequest example_request() {
  ModelRequest request;
  request.created_at = 1'800'000'000;
  request.model = "qwen3-32b";
  request.tees = {"tdx", "tdx+h200"};
  request.asset = "msat";
  request.prices_max = {{PriceUnit::Input, Amount::of(200'000)},
                        {PriceUnit::Output, Amount::of(700'000)}};
  request.level = 2;
  request.region = "u0q";
  request.nonce = digest_of("nonce");
  return request;
}

OfferReply example_reply() {
  OfferReply reply;
  reply.created_at = 1'800'000'001;
  reply.request = EventId{digest_of("rfq").bytes};
  reply.requester = key_of("throw-away").public_key();
  reply.offer = EventId{digest_of("offer").bytes};
  reply.attestation = digest_of("statement");
  reply.queue = 3;
  reply.load = LoadTag{8, 8, 3, 900};
  return reply;
}

/// One kind: its example as an event, and whether an event parses to the example again.
struct KindCase {
  std::string name;
  Event event;
  std::function<bool(const Event&)> parses;
  std::set<std::string> optional;  ///< tags that may be absent
  std::set<std::string> many;      ///< tags that may stand more than once
};

Event signed_by_node(EventDraft draft) {
  SystemRng rng;
  return sign_event(std::move(draft), key_of("node"), rng);
}

std::vector<KindCase> kind_cases() {
  const Keypair node = key_of("node");
  const Offer offer = example_offer(node, key_of("N").public_key());
  Offer loaded = offer;
  loaded.load = LoadTag{3, 8, 2, 1'500};
  std::vector<KindCase> cases;
  cases.push_back({"offer",
                   signed_by_node(build_offer(loaded)),
                   [](const Event& event) { return parse_offer(event).has_value(); },
                   {"weights", "price", "feature", "u", "load", "p"},
                   {"feature", "relay"}});
  cases.push_back({"attestation",
                   signed_by_node(build_attestation(example_attestation())),
                   [](const Event& event) { return parse_attestation(event).has_value(); },
                   {},
                   {}});
  cases.push_back({"model request",
                   signed_by_node(build_model_request(example_request())),
                   [](const Event& event) { return parse_model_request(event).has_value(); },
                   {"T", "price-max", "g"},
                   {"T"}});
  cases.push_back({"offer reply",
                   signed_by_node(build_offer_reply(example_reply())),
                   [](const Event& event) { return parse_offer_reply(event).has_value(); },
                   {"load"},
                   {}});
  cases.push_back({"record",
                   signed_by_node(build_record(example_record(offer))),
                   [](const Event& event) { return parse_record(event).has_value(); },
                   {"weights", "sampling"},
                   {}});
  return cases;
}

TEST(InferenceKinds, EachReadsWhatItWrites) {
  const Keypair node = key_of("node");
  Offer offer = example_offer(node, key_of("N").public_key());
  offer.load = LoadTag{3, 8, 2, 1'500};
  Event event = signed_by_node(build_offer(offer));
  offer.id = event.id;
  EXPECT_EQ(parse_offer(event).value(), offer);

  AttestationEvent attestation = example_attestation();
  event = signed_by_node(build_attestation(attestation));
  attestation.id = event.id;
  attestation.node = node.public_key();
  EXPECT_EQ(parse_attestation(event).value(), attestation);

  ModelRequest request = example_request();
  event = signed_by_node(build_model_request(request));
  request.id = event.id;
  request.requester = node.public_key();
  EXPECT_EQ(parse_model_request(event).value(), request);

  OfferReply reply = example_reply();
  event = signed_by_node(build_offer_reply(reply));
  reply.id = event.id;
  reply.node = node.public_key();
  EXPECT_EQ(parse_offer_reply(event).value(), reply);

  ResponseRecord record = example_record(offer);
  event = signed_by_node(build_record(record));
  record.id = event.id;
  EXPECT_EQ(parse_record(event).value(), record);
}

TEST(InferenceKinds, AFreeOfferWithoutExtrasIsAnOffer) {
  Offer offer = example_offer(key_of("node"), key_of("N").public_key());
  offer.weights.reset();
  offer.prices.clear();
  offer.credit = Amount{};
  offer.features.clear();
  offer.url.reset();
  offer.operator_key.reset();
  const Event event = signed_by_node(build_offer(offer));
  offer.id = event.id;
  EXPECT_EQ(parse_offer(event).value(), offer);
}

TEST(InferenceKinds, ALoadBeyondItsBoundsIsNone) {
  const Offer offer = example_offer(key_of("node"), key_of("N").public_key());
  const auto parses = [&](std::initializer_list<std::string_view> tag) {
    EventDraft draft = build_offer(offer);
    draft.tags.add(tag);
    return parse_offer(signed_by_node(std::move(draft))).has_value();
  };
  EXPECT_TRUE(parses({"load", "1000000", "1000000", "1000000", "3600000"}));
  EXPECT_TRUE(parses({"load", "0", "1", "0", "0"}));
  EXPECT_FALSE(parses({"load", "1000001", "1", "0", "0"}));
  EXPECT_FALSE(parses({"load", "0", "1000001", "0", "0"}));
  EXPECT_FALSE(parses({"load", "0", "1", "1000001", "0"}));
  EXPECT_FALSE(parses({"load", "0", "1", "0", "3600001"}));
  EXPECT_FALSE(parses({"load", "0", "0", "0", "0"})) << "no place at all";
  EXPECT_FALSE(parses({"load", "0", "1", "0"}));
  EXPECT_FALSE(parses({"load", "0", "1", "0", "0", "0"}));
  EXPECT_FALSE(parses({"load", "-1", "1", "0", "0"}));
}

TEST(LoadRank, GrowsWithTheLoadAndCoarsely) {
  const auto rank = [](std::uint64_t running, std::uint64_t waiting, std::uint64_t wait_ms) {
    return load_rank(LoadTag{running, 8, waiting, wait_ms});
  };
  EXPECT_EQ(rank(0, 0, 0), 0U);
  EXPECT_EQ(rank(1, 0, 0), 0U);
  EXPECT_EQ(rank(7, 0, 0), 3U);
  EXPECT_EQ(load_rank(std::nullopt), rank(4, 0, 0));
  EXPECT_EQ(rank(8, 0, 0), 4U);
  EXPECT_EQ(rank(8, 3, 499), 4U);
  EXPECT_EQ(rank(8, 3, 500), 5U);
  EXPECT_EQ(rank(8, 3, 1'000), 6U);
  EXPECT_GT(rank(8, 3, 60'000), rank(8, 3, 20'000));
}

TEST(InferenceKinds, RefuseEachRequiredTagMissing) {
  for (const KindCase& kind : kind_cases()) {
    const auto elements = elements_of(kind.event.tags);
    std::set<std::string> once;
    for (const Element& element : elements) once.insert(element[0]);
    for (const std::string& name : once) {
      std::vector<Element> rest;
      for (const Element& element : elements) {
        if (element[0] != name) rest.push_back(element);
      }
      Event event = kind.event;
      event.tags = tags_of(rest);
      EXPECT_EQ(kind.parses(event), kind.optional.contains(name))
          << kind.name << " without " << name;
    }
  }
}

TEST(InferenceKinds, RefuseEachTagDoubled) {
  for (const KindCase& kind : kind_cases()) {
    const auto elements = elements_of(kind.event.tags);
    for (const Element& element : elements) {
      auto doubled = elements;
      doubled.push_back(element);
      Event event = kind.event;
      event.tags = tags_of(doubled);
      EXPECT_EQ(kind.parses(event), kind.many.contains(element[0]))
          << kind.name << " " << element[0];
    }
  }
}

TEST(InferenceKinds, RefuseEachElementEmptiedCutOrAdded) {
  for (const KindCase& kind : kind_cases()) {
    const auto elements = elements_of(kind.event.tags);
    for (std::size_t at = 0; at < elements.size(); ++at) {
      // The operator's relay hint and the finish reason may be empty.
      for (std::size_t index = 1; index < elements[at].size(); ++index) {
        if (elements[at][0] == "p" && kind.name == "offer" && index == 2) continue;
        if (elements[at][0] == "status" && index == 2) continue;
        auto changed = elements;
        changed[at][index].clear();
        Event event = kind.event;
        event.tags = tags_of(changed);
        EXPECT_FALSE(kind.parses(event))
            << kind.name << " " << elements[at][0] << "[" << index << "]";
      }
      auto cut = elements;
      cut[at].pop_back();
      Event event = kind.event;
      event.tags = tags_of(cut);
      EXPECT_FALSE(kind.parses(event) && cut[at].size() > 1)
          << kind.name << " cut " << elements[at][0];
    }
  }
}

TEST(InferenceKinds, RefuseAnotherKindOrVersionAndIgnoreUnknownTags) {
  for (const KindCase& kind : kind_cases()) {
    Event event = kind.event;
    event.kind = 1;
    EXPECT_FALSE(kind.parses(event)) << kind.name;

    event = kind.event;
    auto elements = elements_of(event.tags);
    elements.push_back({"later-invention", "1", "2"});
    event.tags = tags_of(elements);
    EXPECT_TRUE(kind.parses(event)) << kind.name;

    for (Element& element : elements) {
      if (element[0] == "v") element[1] = "2";
    }
    event.tags = tags_of(elements);
    EXPECT_FALSE(kind.parses(event)) << kind.name;
  }
}

TEST(InferenceKinds, RefuseUppercaseHexAndOddNumbers) {
  for (const KindCase& kind : kind_cases()) {
    const auto elements = elements_of(kind.event.tags);
    for (std::size_t at = 0; at < elements.size(); ++at) {
      for (std::size_t index = 1; index < elements[at].size(); ++index) {
        const std::string& text = elements[at][index];
        if (text.size() >= 32 && text.find_first_of("abcdef") != std::string::npos &&
            text.find_first_not_of("0123456789abcdef") == std::string::npos) {
          auto changed = elements;
          for (char& c : changed[at][index]) c = static_cast<char>(std::toupper(c));
          Event event = kind.event;
          event.tags = tags_of(changed);
          EXPECT_FALSE(kind.parses(event)) << kind.name << " " << elements[at][0];
        }
        const bool is_number = !text.empty() && elements[at][0] != "v" &&
                               text.find_first_not_of("0123456789") == std::string::npos;
        if (!is_number) continue;
        for (const std::string& odd :
             {"0" + text, "+" + text, text + ".0", "-" + text, text + " "}) {
          auto changed = elements;
          changed[at][index] = odd;
          Event event = kind.event;
          event.tags = tags_of(changed);
          EXPECT_FALSE(kind.parses(event)) << kind.name << " " << elements[at][0] << " " << odd;
        }
      }
    }
  }
}

Event with_tag(const Event& source, const std::string& name, const Element& element) {
  Event event = source;
  auto elements = elements_of(event.tags);
  for (Element& known : elements) {
    if (known[0] == name) known = element;
  }
  event.tags = tags_of(elements);
  return event;
}

TEST(ParseOffer, RefusesPricesThatTwoReadersCouldReadDifferently) {
  const Event offer =
      signed_by_node(build_offer(example_offer(key_of("node"), key_of("N").public_key())));
  auto with_price = [&](const Element& price) {
    Event event = offer;
    auto elements = elements_of(event.tags);
    std::erase_if(elements, [](const Element& element) { return element[0] == "price"; });
    elements.push_back(price);
    event.tags = tags_of(elements);
    return parse_offer(event).has_value();
  };
  EXPECT_TRUE(with_price({"price", "input", "5", "1000000", "msat"}));
  EXPECT_TRUE(with_price({"price", "second", "5", "1", "msat"}));
  EXPECT_FALSE(with_price({"price", "input", "5", "1000", "msat"}));
  EXPECT_FALSE(with_price({"price", "second", "5", "1000000", "msat"}));
  EXPECT_FALSE(with_price({"price", "input", "5", "1000000", "sat"}));
  EXPECT_FALSE(with_price({"price", "input", "0.5", "1000000", "msat"}));
  EXPECT_FALSE(with_price({"price", "reasoning", "5", "1000000", "msat"}));
  EXPECT_FALSE(with_price({"price", "input", "5", "1000000"}));
  EXPECT_FALSE(with_price({"price", "input", "5", "1000000", "msat", "x"}));
}

TEST(ParseOffer, ReadsTheRailThatItKnowsAndNoneTwice) {
  Offer offer = example_offer(key_of("node"), key_of("N").public_key());
  offer.rail = EvmRail{{{7}}, {{4}}};
  EventDraft draft = build_offer(offer);
  const auto parsed = [&] {
    Event event;
    event.pubkey = offer.node;
    event.created_at = draft.created_at;
    event.kind = draft.kind;
    event.tags = draft.tags;
    return parse_offer(event);
  };
  ASSERT_TRUE(parsed());
  EXPECT_EQ(parsed()->rail, offer.rail);
  draft.tags.add({"rail", "cashu", "https://mint.example"});
  EXPECT_EQ(parsed()->rail, offer.rail);
  draft.tags.add({"rail", "evm", "0x" + std::string(40, '1'), "0x" + std::string(40, '2')});
  EXPECT_FALSE(parsed());
}

TEST(ParseOffer, RefusesARailWithoutAnAddress) {
  for (const std::string& bad :
       {std::string(42, '1'), "0x" + std::string(40, '0'), "0x" + std::string(40, 'A')}) {
    EventDraft draft = build_offer(example_offer(key_of("node"), key_of("N").public_key()));
    draft.tags.add({"rail", "evm", "0x" + std::string(40, '1'), bad});
    Event event;
    event.pubkey = key_of("node").public_key();
    event.created_at = draft.created_at;
    event.kind = draft.kind;
    event.tags = draft.tags;
    EXPECT_FALSE(parse_offer(event)) << bad;
  }
}

/// An offer in `asset` with these tags beside its own.
Result<Offer, InferenceError> offer_with(const std::string& asset,
                                         const std::vector<std::vector<std::string>>& tags) {
  Offer offer = example_offer(key_of("node"), key_of("N").public_key());
  offer.asset = asset;
  EventDraft draft = build_offer(offer);
  for (const auto& tag : tags) {
    for (const std::string& element : tag) draft.tags.add_element(element);
    draft.tags.finish_tag();
  }
  Event event;
  event.pubkey = offer.node;
  event.created_at = draft.created_at;
  event.kind = draft.kind;
  event.tags = draft.tags;
  return parse_offer(event);
}

TEST(ParseOffer, ReadsTheLightningRailInMillisatoshiOnly) {
  const std::vector<std::string> good = {"rail", "ln", "bcrt", "0", "5000000"};
  const auto read = offer_with("msat", {good});
  ASSERT_TRUE(read);
  EXPECT_EQ(read->lightning, (LightningRail{"bcrt", Amount(), Amount::of(5'000'000)}));
  for (const char* network : {"bc", "tb", "tbs"}) {
    EXPECT_TRUE(offer_with("msat", {{"rail", "ln", network, "1", "2"}}));
  }
  EXPECT_FALSE(offer_with("sat", {good}));
  EXPECT_FALSE(offer_with("eip155:1/slip44:60", {good}));
  EXPECT_FALSE(offer_with("msat", {good, good})) << "twice";
  EXPECT_FALSE(offer_with("msat", {good, {"rail", "ln", "bc", "0", "5000000"}})) << "twice";
  EXPECT_FALSE(offer_with(
      "msat", {good, {"rail", "evm", "0x" + std::string(40, '1'), "0x" + std::string(40, '2')}}))
      << "paid in two ways";
  EXPECT_TRUE(offer_with("msat", {good, {"rail", "cashu", "https://mint.example"}}));
}

TEST(ParseOffer, RefusesALightningRailOfAnotherForm) {
  for (const std::vector<std::string>& bad : std::vector<std::vector<std::string>>{
           {"rail", "ln"},
           {"rail", "ln", "bc", "0"},
           {"rail", "ln", "bc", "0", "1", "2"},
           {"rail", "ln", "", "0", "1"},
           {"rail", "ln", "BC", "0", "1"},
           {"rail", "ln", "simnet", "0", "1"},
           {"rail", "ln", "bc", "", "1"},
           {"rail", "ln", "bc", "-1", "1"},
           {"rail", "ln", "bc", "01", "1"},
           {"rail", "ln", "bc", "1.0", "1"},
           {"rail", "ln", "bc", "0", "0"},
           {"rail", "ln", "bc", "0", "00"},
           {"rail", "ln", "bc", "0", "1e3"},
           {"rail", "ln", "bc", "0", "79228162514264337593543950336"}}) {
    EXPECT_FALSE(offer_with("msat", {bad})) << bad.size() << " " << bad.back();
  }
}

TEST(ParseOffer, RefusesAnAddressOfAnotherNodeOrStatement) {
  const Event offer =
      signed_by_node(build_offer(example_offer(key_of("node"), key_of("N").public_key())));
  Event other = offer;
  other.pubkey = key_of("thief").public_key();
  EXPECT_FALSE(parse_offer(other));
  EXPECT_FALSE(parse_offer(
      with_tag(offer, "attestation", {"attestation", encode_hex(digest_of("another"))})));
  EXPECT_FALSE(parse_offer(with_tag(offer, "d", {"d", "other-model@default"})));
  EXPECT_FALSE(parse_offer(with_tag(offer, "relay", {"relay", "http://relay"})));
  EXPECT_FALSE(parse_offer(with_tag(offer, "u", {"u", "http://plain"})));
}

TEST(ParseRecord, RefusesMoneyThatContradictsItself) {
  const Offer offer = example_offer(key_of("node"), key_of("N").public_key());
  const Event record = signed_by_node(build_record(example_record(offer)));
  const std::string channel = encode_hex(example_record(offer).channel);
  EXPECT_FALSE(parse_record(with_tag(record, "usage", {"usage", "10", "11", "5", "1"})));
  EXPECT_FALSE(parse_record(with_tag(record, "cost", {"cost", "101", "msat"})));
  EXPECT_FALSE(parse_record(with_tag(record, "spent", {"spent", "100", "1000000"})));
  EXPECT_FALSE(parse_record(with_tag(record, "channel", {"channel", channel, "0"})));
  EXPECT_FALSE(parse_record(with_tag(record, "channel", {"channel", channel, "1"})));
  EXPECT_FALSE(parse_record(with_tag(record, "status", {"status", "fine", ""})));
  EXPECT_TRUE(parse_record(with_tag(record, "status", {"status", "cancelled", ""})));
}

TEST(ParseReceipt, HasExactlyOneForm) {
  SystemRng rng;
  BalanceReceipt receipt{.id = {},
                         .signer = key_of("payer").public_key(),
                         .created_at = 1'800'000'000,
                         .channel = {digest_of("channel").bytes},
                         .amount = Amount::of(123),
                         .running_hash = digest_of("H")};
  const Event event = sign_event(build_receipt(receipt), key_of("payer"), rng);
  receipt.id = event.id;
  ASSERT_EQ(parse_receipt(event).value(), receipt);
  const auto elements = elements_of(event.tags);
  auto refused = [&](std::vector<Element> tags) {
    Event other = event;
    other.tags = tags_of(tags);
    return !parse_receipt(other).has_value();
  };
  EXPECT_TRUE(refused({elements[1], elements[0], elements[2]}));
  EXPECT_TRUE(refused({elements[0], elements[1]}));
  EXPECT_TRUE(refused({elements[0], elements[1], elements[2], {"p", "x"}}));
  EXPECT_TRUE(refused({elements[0], elements[1], {elements[2][0], elements[2][1], ""}}));
  EXPECT_TRUE(refused({elements[0], {"amount", "0"}, elements[2]}));
  EXPECT_TRUE(refused({elements[0], {"amount", "0123"}, elements[2]}));
  EXPECT_TRUE(refused({elements[0], {"amount", "79228162514264337593543950336"}, elements[2]}));
  EXPECT_TRUE(refused({{"d", std::string(64, 'A')}, elements[1], elements[2]}));
  Event other = event;
  other.content = " ";
  EXPECT_FALSE(parse_receipt(other));
  other = event;
  other.created_at = 999'999'999;
  EXPECT_FALSE(parse_receipt(other));
  other.created_at = std::int64_t{1} << 32;
  EXPECT_FALSE(parse_receipt(other));
}

}  // namespace
}  // namespace nostril
