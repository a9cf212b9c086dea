#include "face/binary_http.h"

#include "base/hex.h"
#include "tests/schnorr/vectors.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nostril::face {
namespace {

std::string bytes(const std::string& hex) {
  return std::string(as_text(nostril::test::unhex(hex)));
}

std::string text(std::string_view value) {
  std::string out;
  append_quic_number(out, value.size());
  return out.append(value);
}

/// A request for "/v1/x?y" with one field and the content "body".
std::string known() {
  return bytes("00") + text("POST") + text("https") + text("node") + text("/v1/x?y") +
         text(text("a") + text("b")) + text("body") + bytes("00");
}

std::string in_parts() {
  return bytes("02") + text("POST") + text("https") + text("node") + text("/v1/x?y") + text("a") +
         text("b") + bytes("00") + text("bo") + text("dy") + bytes("00") + bytes("00");
}

TEST(QuicNumber, TakesTheFewestBytes) {
  // RFC 9000 A.1, and the ends of each size.
  const std::vector<std::pair<std::uint64_t, std::string>> cases{
      {0, "00"},
      {37, "25"},
      {63, "3f"},
      {64, "4040"},
      {15293, "7bbd"},
      {16383, "7fff"},
      {16384, "80004000"},
      {494878333, "9d7f3e7d"},
      {1073741823, "bfffffff"},
      {1073741824, "c000000040000000"},
      {151288809941952652, "c2197c5eff14e88c"},
      {(std::uint64_t{1} << 62) - 1, "ffffffffffffffff"}};
  for (const auto& [value, hex] : cases) {
    std::string out;
    append_quic_number(out, value);
    EXPECT_EQ(encode_hex(as_bytes(out)), hex);
    for (std::size_t size = 0; size < out.size(); ++size) {
      std::string_view cut = std::string_view(out).substr(0, size);
      std::uint64_t read = 0;
      EXPECT_FALSE(take_quic_number(cut, read));
    }
    std::string_view whole = out;
    std::uint64_t read = 0;
    ASSERT_TRUE(take_quic_number(whole, read));
    EXPECT_EQ(read, value);
    EXPECT_TRUE(whole.empty());
  }
}

TEST(BinaryRequest, IsReadInBothFramings) {
  for (const std::string& message : {known(), in_parts(), known() + bytes("000000")}) {
    const auto read = parse_binary_request(message);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->method, "POST");
    EXPECT_EQ(read->scheme, "https");
    EXPECT_EQ(read->authority, "node");
    EXPECT_EQ(read->path, "/v1/x?y");
    EXPECT_EQ(read->fields, (BinaryFields{{"a", "b"}}));
    EXPECT_EQ(read->content, "body");
  }
}

/// RFC 9292 3.8: what is empty at the end may be left out, whole parts only.
TEST(BinaryRequest, MayBeCutBetweenItsParts) {
  const std::string message = known();
  std::vector<std::size_t> good;
  for (std::size_t size = 0; size <= message.size(); ++size) {
    if (parse_binary_request(std::string_view(message).substr(0, size))) good.push_back(size);
  }
  // Behind the path, the fields, the content, and all of it.
  EXPECT_EQ(good, (std::vector<std::size_t>{25, 30, 35, 36}));
  const std::string parts = in_parts();
  for (std::size_t size = 0; size < parts.size(); ++size) {
    EXPECT_FALSE(parse_binary_request(std::string_view(parts).substr(0, size))) << size;
  }
}

TEST(BinaryRequest, RefusesWhatIsNone) {
  for (const char* hex : {"", "01", "03", "04", "000347", "40", "00ffffffffffffffff"}) {
    EXPECT_FALSE(parse_binary_request(bytes(hex))) << hex;
  }
  EXPECT_FALSE(parse_binary_request(known() + "x"));
  const std::string head = bytes("00") + text("GET") + text("https") + text("n") + text("/");
  EXPECT_FALSE(parse_binary_request(head + text(text("") + text("b")))) << "a field without name";
  EXPECT_FALSE(parse_binary_request(head + text(text("a")))) << "a name without value";
  std::string fields;
  for (std::size_t i = 0; i < kBinaryFieldsMax; ++i) fields += text("a") + text("b");
  EXPECT_TRUE(parse_binary_request(head + text(fields)));
  const auto too_many = parse_binary_request(head + text(fields + text("a") + text("b")));
  ASSERT_FALSE(too_many);
  EXPECT_EQ(too_many.error(), BinaryHttpError::TooManyFields);
}

TEST(BinaryResponse, IsWrittenWholeAndInParts) {
  EXPECT_EQ(binary_response(200, {{"Content-Type", "t"}}, "body"),
            bytes("0140c8") + text(text("content-type") + text("t")) + text("body") + bytes("00"));
  std::string parts = binary_response_head(200, {{"Content-Type", "t"}});
  append_binary_content(parts, "bo");
  append_binary_content(parts, "");
  append_binary_content(parts, "dy");
  append_binary_end(parts);
  EXPECT_EQ(parts, bytes("0340c8") + text("content-type") + text("t") + bytes("00") + text("bo") +
                       text("dy") + bytes("0000"));
}

}  // namespace
}  // namespace nostril::face
