// Vectors that lie outside the repository: NIP-01 texts and ids made by nostr-tools, real events,
// JSONTestSuite, UTF-8, NIP-19.
#include "base/hex.h"
#include "base/json.h"
#include "events/event.h"
#include "events/messages.h"
#include "events/nip19.h"
#include "events/text.h"
#include "schnorr/hash.h"
#include "tests/events/make_event.h"
#include "tests/support/shared_data.h"

#include <gtest/gtest.h>

#include <zstd.h>

#include <map>
#include <sstream>

namespace nostril {
namespace {

constexpr const char* kNip01 = "vectors/nostr/nip01_serialization.json";
constexpr const char* kNip19 = "vectors/nostr/nip19_bech32.json";
constexpr const char* kRealEvents = "corpus/real-events.jsonl.zst";
constexpr const char* kInvalidEvents = "corpus/invalid-events.jsonl.zst";
constexpr const char* kJsonSuite = "vectors/json/test_parsing";
constexpr const char* kUtf8 = "vectors/utf8/utf8_cases.json";

Json load_json(const std::string& path) {
  auto json = Json::parse(test::read_file(test::shared_path(path)));
  EXPECT_TRUE(json) << path;
  return json ? std::move(*json) : Json();
}

std::vector<std::string> load_zstd_lines(const std::string& path) {
  const std::string packed = test::read_file(test::shared_path(path));
  std::string text(64U << 20, '\0');
  const std::size_t size = ZSTD_decompress(text.data(), text.size(), packed.data(), packed.size());
  EXPECT_EQ(ZSTD_isError(size), 0U) << path;
  if (ZSTD_isError(size) != 0) return {};
  text.resize(size);
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string string_at(const Json& object, std::string_view key) {
  return std::string(object.find_string(key).value_or(""));
}

bool verifies(std::string_view json, const EventLimits& limits = {}) {
  auto parsed = parse_event(json, limits);
  if (!parsed) return false;
  Verifier verifier;
  return VerifiedEvent::verify(std::move(*parsed), verifier).has_value();
}

/// The vector's event with the id and signature that JSON.stringify gives.
std::string with_stringify_id(const Json& vector) {
  const Json& event = *vector.find("event");
  std::string json = event.dump();
  json = test::replaced(json, string_at(event, "id"), string_at(vector, "json_stringify_id"));
  return test::replaced(json, string_at(event, "sig"), string_at(vector, "json_stringify_sig"));
}

TEST(Nip01Vectors, CanonicalBytesIdsAndSignatures) {
  REQUIRE_SHARED(kNip01);
  const Json file = load_json(kNip01);
  const auto cases = file.find("cases")->items();
  ASSERT_GE(cases.size(), 31U);
  for (const Json& vector : cases) {
    SCOPED_TRACE(string_at(vector, "name"));
    if (vector.find_boolean("divergent").value_or(false)) continue;
    const std::string json = vector.find("event")->dump();
    const auto parsed = parse_event(json);
    ASSERT_TRUE(parsed) << to_string(parsed.error());
    std::string canonical;
    append_canonical(canonical, parsed->event());
    EXPECT_EQ(encode_hex(as_bytes(canonical)), string_at(vector, "serialized_hex"));
    EXPECT_EQ(encode_hex(parsed->event().id), string_at(vector, "id"));
    EXPECT_EQ(to_json(parsed->event()), json);
    EXPECT_TRUE(verifies(json));
  }
}

// Where the NIP's text and JSON.stringify differ, ours is JSON.stringify's; U+0000 is refused.
TEST(Nip01Vectors, DivergentCasesFollowJsonStringify) {
  REQUIRE_SHARED(kNip01);
  const Json file = load_json(kNip01);
  int seen = 0;
  for (const Json& vector : file.find("cases")->items()) {
    if (!vector.find_boolean("divergent").value_or(false)) continue;
    const std::string name = string_at(vector, "name");
    SCOPED_TRACE(name);
    ++seen;
    const std::string theirs = with_stringify_id(vector);
    const std::string literal = vector.find("event")->dump();
    if (name.find("U+0000") != std::string::npos) {
      EXPECT_EQ(parse_event(theirs).error(), ParseError::BadText);
      EXPECT_EQ(parse_event(literal).error(), ParseError::BadText);
      continue;
    }
    EXPECT_TRUE(verifies(theirs));
    EXPECT_EQ(parse_event(literal).error(), ParseError::WrongId);
  }
  EXPECT_EQ(seen, 5);
}

TEST(Nip01Vectors, OneEventInOtherTexts) {
  REQUIRE_SHARED(kNip01);
  const Json file = load_json(kNip01);
  const Json& same = *file.find("same_event_other_json");
  for (const Json& form : same.find("forms")->items()) {
    const std::string name = string_at(form, "name");
    SCOPED_TRACE(name);
    const auto parsed = parse_event(string_at(form, "json"));
    if (name.find("extra field") != std::string::npos) {
      // Our choice: what is not signed is refused (spec/01-events.md).
      EXPECT_EQ(parsed.error(), ParseError::UnknownField);
      continue;
    }
    ASSERT_TRUE(parsed) << to_string(parsed.error());
    EXPECT_EQ(encode_hex(parsed->event().id), string_at(same, "id"));
  }
}

TEST(Nip01Vectors, RefusesWithTheRightReason) {
  REQUIRE_SHARED(kNip01);
  const std::map<std::string, ParseError> reasons = {
      {"content changed, id kept", ParseError::WrongId},
      {"id of another event", ParseError::WrongId},
      {"pubkey of another key", ParseError::WrongId},
      {"upper-case id", ParseError::BadHex},
      {"upper-case pubkey", ParseError::BadHex},
      {"upper-case sig", ParseError::BadHex},
      {"id 63 chars", ParseError::BadHex},
      {"sig 126 chars", ParseError::BadHex},
      {"non-hex id", ParseError::BadHex},
      {"kind negative", ParseError::BadNumber},
      {"kind 65536", ParseError::BadNumber},
      {"kind float", ParseError::BadNumber},
      {"kind 1.0 (number form)", ParseError::BadNumber},
      {"kind string", ParseError::BadType},
      {"created_at negative", ParseError::BadNumber},
      {"created_at float", ParseError::BadNumber},
      {"created_at exponent", ParseError::BadNumber},
      {"tags not array", ParseError::BadType},
      {"tag not array", ParseError::BadTag},
      {"tag element number", ParseError::BadTag},
      {"tag element null", ParseError::BadTag},
      {"content number", ParseError::BadType},
      {"content null", ParseError::BadType},
      {"missing sig", ParseError::MissingField},
      {"missing tags", ParseError::MissingField},
      {"duplicate key content (last differs)", ParseError::DoubleField},
      {"duplicate key id", ParseError::DoubleField},
      {"lone surrogate in content", ParseError::NotJson},
      {"invalid escape", ParseError::NotJson},
      {"raw newline in string", ParseError::NotJson},
      {"trailing garbage", ParseError::NotJson},
      {"truncated", ParseError::NotJson},
      {"array instead of object", ParseError::NotAnObject},
  };
  const Json file = load_json(kNip01);
  std::size_t explained = 0;
  for (const Json& vector : file.find("must_reject")->items()) {
    const std::string name = string_at(vector, "name");
    SCOPED_TRACE(name);
    const std::string json = string_at(vector, "json");
    EXPECT_FALSE(verifies(json));
    const auto reason = reasons.find(name);
    if (reason == reasons.end()) continue;
    ++explained;
    const auto parsed = parse_event(json);
    ASSERT_FALSE(parsed);
    EXPECT_EQ(to_string(parsed.error()), to_string(reason->second));
  }
  EXPECT_EQ(explained, reasons.size());
}

TEST(RealEvents, AreAllAcceptedAndWrittenBackTheSame) {
  REQUIRE_SHARED(kRealEvents);
  const auto lines = load_zstd_lines(kRealEvents);
  ASSERT_EQ(lines.size(), 4092U);
  std::vector<UnverifiedEvent> events;
  for (const std::string& line : lines) {
    auto parsed = parse_event(line);
    ASSERT_TRUE(parsed) << to_string(parsed.error()) << ' ' << line.substr(0, 200);
    const std::string written = to_json(parsed->event());
    const auto again = parse_event(written);
    ASSERT_TRUE(again);
    ASSERT_EQ(to_json(again->event()), written);
    events.push_back(std::move(*parsed));
  }
  Verifier verifier;
  const auto verified = VerifiedEvent::verify_all(events, verifier);
  for (std::size_t i = 0; i < verified.size(); ++i) ASSERT_TRUE(verified[i]) << lines[i];
}

TEST(RealEvents, InvalidOnesAreRefusedForTheirReason) {
  REQUIRE_SHARED(kInvalidEvents);
  const auto lines = load_zstd_lines(kInvalidEvents);
  ASSERT_EQ(lines.size(), 68U);
  for (const std::string& line : lines) {
    const auto json = Json::parse(line);
    ASSERT_TRUE(json);
    const std::string event = json->find("event")->dump();
    const auto parsed = parse_event(event);
    if (string_at(*json, "why") == "sig") {
      EXPECT_TRUE(parsed) << line;
      EXPECT_FALSE(verifies(event)) << line;
    } else {
      ASSERT_FALSE(parsed) << line;
      EXPECT_EQ(to_string(parsed.error()), to_string(ParseError::WrongId)) << line;
    }
  }
}

// A value that a COUNT reply may hold is read past: it must still be JSON.
TEST(JsonSuite, IsHeldToInWhatIsReadPast) {
  REQUIRE_SHARED(kJsonSuite);
  int accepted = 0;
  int refused = 0;
  for (const auto& entry : std::filesystem::directory_iterator(test::shared_path(kJsonSuite))) {
    const std::string name = entry.path().filename().string();
    SCOPED_TRACE(name);
    const std::string text = test::read_file(entry.path());
    const auto parsed =
        parse_relay_message("[\"COUNT\",\"s\",{\"count\":1,\"x\":" + text + "}]", {});
    if (name[0] == 'y') {
      EXPECT_TRUE(parsed) << to_string(parsed.error());
      ++accepted;
    } else if (name[0] == 'n') {
      EXPECT_FALSE(parsed);
      ++refused;
    }
  }
  EXPECT_EQ(accepted, 95);
  EXPECT_EQ(refused, 188);
}

TEST(JsonSuite, IsRefusedAsMessageEventAndTag) {
  REQUIRE_SHARED(kJsonSuite);
  const Event event = test::signed_event({.tags = {{"t"}}, .content = "x"});
  const std::string json = to_json(event);
  for (const auto& entry : std::filesystem::directory_iterator(test::shared_path(kJsonSuite))) {
    SCOPED_TRACE(entry.path().filename().string());
    const std::string text = test::read_file(entry.path());
    EXPECT_FALSE(parse_client_message(text, {}));
    EXPECT_FALSE(parse_relay_message(text, {}));
    EXPECT_FALSE(parse_event(text));
    EXPECT_FALSE(parse_event(test::replaced(json, "[[\"t\"]]", text)));
    EXPECT_FALSE(parse_event(test::replaced(json, "\"x\"", text)));
  }
}

TEST(Utf8Vectors, AreHeldToInContent) {
  REQUIRE_SHARED(kUtf8);
  const Json file = load_json(kUtf8);
  ASSERT_EQ(file.items().size(), 55U);
  for (const Json& vector : file.items()) {
    SCOPED_TRACE(string_at(vector, "name"));
    const Bytes bytes = *decode_hex(string_at(vector, "hex"));
    const std::string text(as_text(bytes));
    const bool valid = *vector.find_boolean("valid");
    const bool nul = text.find('\0') != std::string::npos;
    EXPECT_EQ(is_event_text(text), valid && !nul);
    const auto parsed = parse_event(to_json(test::signed_event({.content = text})));
    ASSERT_EQ(parsed.has_value(), valid && !nul);
    if (parsed) {
      EXPECT_EQ(parsed->event().content, text);
    }
  }
}

/// The entity as the vectors write it: "type field=value …".
std::string described(const nip19::Entity& entity) {
  struct Describe {
    std::string operator()(const nip19::Npub& e) const { return "npub " + encode_hex(e.key); }

    std::string operator()(const nip19::Nsec& e) const {
      return "nsec " + encode_hex(e.secret.expose());
    }

    std::string operator()(const nip19::Note& e) const { return "note " + encode_hex(e.id); }

    std::string operator()(const nip19::Nprofile& e) const {
      return "nprofile " + encode_hex(e.key) + relays(e.relays);
    }

    std::string operator()(const nip19::Nevent& e) const {
      return "nevent " + encode_hex(e.id) + relays(e.relays) +
             (e.author ? " author=" + encode_hex(*e.author) : "") +
             (e.kind ? " kind=" + std::to_string(*e.kind) : "");
    }

    std::string operator()(const nip19::Naddr& e) const {
      return "naddr " + e.identifier + relays(e.relays) + " author=" + encode_hex(e.author) +
             " kind=" + std::to_string(e.kind);
    }

    static std::string relays(const std::vector<std::string>& relays) {
      std::string out;
      for (const std::string& relay : relays) out += " relay=" + relay;
      return out;
    }
  };

  return std::visit(Describe{}, entity);
}

std::string expected_description(const Json& vector) {
  const std::string type = string_at(vector, "type");
  const Json* data = vector.find("data");
  if (data == nullptr) return type + " " + string_at(vector, "hex");
  if (data->is_string()) return type + " " + std::string(*data->string());
  std::string out = type + " ";
  out += type == "nprofile" ? string_at(*data, "pubkey")
         : type == "nevent" ? string_at(*data, "id")
                            : string_at(*data, "identifier");
  for (const Json& relay : data->find("relays")->items()) {
    out += " relay=" + std::string(*relay.string());
  }
  const std::string author =
      type == "naddr" ? string_at(*data, "pubkey") : string_at(*data, "author");
  if (!author.empty()) out += " author=" + author;
  if (const auto kind = data->find_integer("kind")) out += " kind=" + std::to_string(*kind);
  return out;
}

TEST(Nip19Vectors, DecodeAndComeBack) {
  REQUIRE_SHARED(kNip19);
  const Json file = load_json(kNip19);
  ASSERT_GE(file.find("valid")->items().size(), 10U);
  for (const Json& vector : file.find("valid")->items()) {
    const std::string code = string_at(vector, "bech32");
    SCOPED_TRACE(code);
    const auto entity = nip19::decode(code);
    ASSERT_TRUE(entity) << to_string(entity.error());
    EXPECT_EQ(described(*entity), expected_description(vector));
    const std::string again =
        std::visit([](const auto& value) { return nip19::encode(value); }, *entity);
    const auto twice = nip19::decode(again);  // the order of TLVs may differ
    ASSERT_TRUE(twice);
    EXPECT_EQ(described(*twice), described(*entity));
  }
}

TEST(Nip19Vectors, InvalidOnesAreRefused) {
  REQUIRE_SHARED(kNip19);
  const Json file = load_json(kNip19);
  for (const Json& code : file.find("invalid")->items()) {
    EXPECT_FALSE(nip19::decode(*code.string())) << *code.string();
  }
}

}  // namespace
}  // namespace nostril
