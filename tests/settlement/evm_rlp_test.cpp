#include "base/hex.h"
#include "settlement/evm/rlp.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace nostril::settlement::evm {
namespace {

Bytes unhex(std::string_view text) {
  return *decode_hex(text);
}

std::string string_hex(ByteSpan bytes) {
  RlpWriter writer;
  writer.string(bytes);
  return encode_hex(writer.bytes());
}

std::string number_hex(Uint128 value) {
  RlpWriter writer;
  writer.number(value);
  return encode_hex(writer.bytes());
}

// Examples of the Yellow Paper's companion page on ethereum.org.
TEST(RlpWriter, WritesTheKnownExamples) {
  EXPECT_EQ(string_hex(as_bytes("dog")), "83646f67");
  EXPECT_EQ(string_hex({}), "80");
  EXPECT_EQ(string_hex(Bytes{0x00}), "00");
  EXPECT_EQ(string_hex(Bytes{0x0f}), "0f");
  EXPECT_EQ(string_hex(Bytes{0x7f}), "7f");
  EXPECT_EQ(string_hex(Bytes{0x80}), "8180");
  EXPECT_EQ(string_hex(unhex("0400")), "820400");
  const std::string_view lorem = "Lorem ipsum dolor sit amet, consectetur adipisicing elit";
  EXPECT_EQ(string_hex(as_bytes(lorem)), "b838" + encode_hex(as_bytes(lorem)));
  EXPECT_EQ(number_hex(0), "80");
  EXPECT_EQ(number_hex(15), "0f");
  EXPECT_EQ(number_hex(1024), "820400");
  RlpWriter animals;
  animals.string(as_bytes("cat"));
  animals.string(as_bytes("dog"));
  RlpWriter list;
  list.list(animals);
  EXPECT_EQ(encode_hex(list.bytes()), "c88363617483646f67");
  RlpWriter empty;
  empty.list(RlpWriter());
  EXPECT_EQ(encode_hex(empty.bytes()), "c0");
}

TEST(RlpReader, ReadsBackEverySizeAroundTheSteps) {
  for (const std::size_t size : {0U, 1U, 2U, 54U, 55U, 56U, 57U, 255U, 256U, 65535U, 65536U}) {
    const Bytes bytes(size, 0xab);
    RlpWriter inner;
    inner.string(bytes);
    RlpWriter outer;
    outer.list(inner);
    RlpReader reader(outer.bytes());
    auto list = reader.list();
    ASSERT_TRUE(list.has_value()) << size;
    EXPECT_TRUE(reader.empty());
    const auto string = list->string();
    ASSERT_TRUE(string.has_value()) << size;
    EXPECT_EQ(Bytes(string->begin(), string->end()), bytes);
    EXPECT_TRUE(list->empty());
  }
}

TEST(RlpReader, ReadsBackNumbers) {
  const Uint128 most = ~Uint128{0};
  for (const Uint128 value : {Uint128{0}, Uint128{1}, Uint128{127}, Uint128{128}, Uint128{255},
                              Uint128{256}, Uint128{1} << 64, most}) {
    RlpWriter writer;
    writer.number(value);
    EXPECT_TRUE(RlpReader(writer.bytes()).number(most) == value);
    if (value != 0) {
      EXPECT_EQ(RlpReader(writer.bytes()).number(value - 1).error(), RlpError::OutOfRange);
    }
  }
}

RlpError refusal(std::string_view hex) {
  const Bytes bytes = unhex(hex);
  RlpReader reader(bytes);
  const auto string = reader.string();
  EXPECT_FALSE(string.has_value()) << hex;
  return string ? RlpError{} : string.error();
}

TEST(RlpReader, RefusesOtherSpellings) {
  EXPECT_EQ(refusal("8100"), RlpError::NotCanonical);  // a byte that needs no head
  EXPECT_EQ(refusal("817f"), RlpError::NotCanonical);
  EXPECT_EQ(refusal("b800"), RlpError::NotCanonical);  // long form of a short size
  EXPECT_EQ(refusal("b837" + std::string(110, 'a')), RlpError::NotCanonical);
  EXPECT_EQ(refusal("b90038" + std::string(112, 'a')), RlpError::NotCanonical);  // zero in a size
  const Bytes zero = unhex("00");
  EXPECT_EQ(RlpReader(zero).number(9).error(), RlpError::NotCanonical);
  const Bytes led = unhex("820001");
  EXPECT_EQ(RlpReader(led).number(9).error(), RlpError::NotCanonical);
}

TEST(RlpReader, RefusesWhatEndsEarlyOrIsAnotherType) {
  EXPECT_EQ(refusal(""), RlpError::Truncated);
  EXPECT_EQ(refusal("81"), RlpError::Truncated);
  EXPECT_EQ(refusal("8361"), RlpError::Truncated);
  EXPECT_EQ(refusal("b8"), RlpError::Truncated);
  EXPECT_EQ(refusal("b838"), RlpError::Truncated);
  EXPECT_EQ(refusal("bfffffffffffffffff"), RlpError::Truncated);
  EXPECT_EQ(refusal("bfffffffffffffffff00"), RlpError::Truncated);
  EXPECT_EQ(refusal("c0"), RlpError::WrongType);
  const Bytes string = unhex("80");
  EXPECT_EQ(RlpReader(string).list().error(), RlpError::WrongType);
  const Bytes wide = unhex("91" + std::string(34, 'f'));
  EXPECT_EQ(RlpReader(wide).number(~Uint128{0}).error(), RlpError::OutOfRange);
}

}  // namespace
}  // namespace nostril::settlement::evm
