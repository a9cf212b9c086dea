#include "net/ws_deflate.h"

#include "net/ws_codec.h"
#include "tests/net/support.h"

#include <gtest/gtest.h>

#include <zlib.h>

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace nostril::net {
namespace {

constexpr std::array<std::uint8_t, 4> kMask{0x37, 0xFA, 0x21, 0x3D};
constexpr std::size_t kBytesMax = 1 << 20;

std::string bytes_of(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out.push_back(static_cast<char>(value));
  return out;
}

std::string inflated(WsInflater& inflater, std::string_view payload,
                     std::size_t bytes_max = kBytesMax) {
  const auto out = inflater.inflate(payload, bytes_max);
  if (!out) return out.error() == WsInflateError::TooBig ? "too big" : "bad data";
  return std::string(*out);
}

std::string deflated(std::string_view text) {
  WsDeflater deflater({}, 15, false);
  std::string out;
  deflater.append_message(out, text);
  return out;
}

/// Text and noise, in runs, so that matches, literals and stored blocks all come up.
std::string random_text(std::mt19937& random, std::size_t bytes) {
  std::string out;
  while (out.size() < bytes) {
    switch (random() % 3) {
      case 0:
        out.append(random() % 300, static_cast<char>('a' + random() % 4));
        break;
      case 1:
        for (std::size_t i = random() % 400; i > 0; --i) out += "0123456789abcdef"[random() % 16];
        break;
      default:
        out += out.substr(out.size() - std::min<std::size_t>(out.size(), random() % 5'000),
                          random() % 200);
        break;
    }
  }
  out.resize(bytes);
  return out;
}

TEST(WsInflater, ReadsTheExamplesOfTheRfc) {
  WsInflater inflater(false);
  // 7.2.3.1 one block; .3 a stored block; .4 a block marked as the last; .5 two blocks; .6 empty.
  const std::string one_block = bytes_of({0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00});
  EXPECT_EQ(inflated(inflater, one_block), "Hello");
  EXPECT_EQ(inflated(inflater,
                     bytes_of({0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00})),
            "Hello");
  EXPECT_EQ(inflated(inflater, bytes_of({0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00})),
            "Hello");
  EXPECT_EQ(inflated(inflater, bytes_of({0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9,
                                         0xc9, 0x07, 0x00})),
            "Hello");
  EXPECT_EQ(inflated(inflater, bytes_of({0x00})), "");
}

TEST(WsInflater, ReadsTheRfcsSecondMessageWithTheFirstOnesHistoryOnly) {
  const std::string first = bytes_of({0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00});
  const std::string second = bytes_of({0xf2, 0x00, 0x11, 0x00, 0x00});  // 7.2.3.2
  WsInflater keeping(true);
  EXPECT_EQ(inflated(keeping, first), "Hello");
  EXPECT_EQ(inflated(keeping, second), "Hello");
  WsInflater forgetting(false);
  EXPECT_EQ(inflated(forgetting, first), "Hello");
  EXPECT_EQ(inflated(forgetting, second), "bad data");
  EXPECT_EQ(inflated(forgetting, first), "Hello")
      << "an error must not stay with a shared inflater";
}

TEST(WsInflater, KeepsTheHistoryOverABlockMarkedAsTheLast) {
  const std::string last = bytes_of({0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00});
  WsInflater inflater(true);
  EXPECT_EQ(inflated(inflater, last), "Hello");
  EXPECT_EQ(inflated(inflater, bytes_of({0xf2, 0x00, 0x11, 0x00, 0x00})), "Hello");
  WsInflater within(false);
  EXPECT_EQ(inflated(within, last.substr(0, 7) + bytes_of({0xf2, 0x00, 0x11, 0x00, 0x00})),
            "HelloHello");
}

TEST(WsDeflater, MakesTheBytesOfTheRfc) {
  // The second message of 7.2.3.2 refers to the first; without takeover it is the first again.
  for (const bool takeover : {false, true}) {
    WsDeflater deflater({}, 15, takeover);
    WsInflater inflater(takeover);
    std::string first;
    std::string second;
    deflater.append_message(first, "Hello");
    deflater.append_message(second, "Hello");
    EXPECT_EQ(first, bytes_of({0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}));
    EXPECT_EQ(second == first, !takeover);
    EXPECT_EQ(inflated(inflater, first), "Hello");
    EXPECT_EQ(inflated(inflater, second), "Hello");
  }
}

TEST(WsDeflater, EmptyMessagesAreOneByteAlsoInARow) {
  WsDeflater deflater({}, 15, true);
  WsInflater inflater(true);
  for (const std::string_view text : {"", "", "x", "", ""}) {
    std::string payload;
    deflater.append_message(payload, text);
    EXPECT_EQ(payload == bytes_of({0x00}), text.empty());
    EXPECT_EQ(inflated(inflater, payload), text);
  }
}

TEST(WsDeflater, RandomMessagesComeBackAtEveryLevelAndWindow) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (const int window_bits : {9, 12, 15}) {
    for (const int level : {1, 6, 9}) {
      for (const bool takeover : {false, true}) {
        WsDeflater deflater({true, level, window_bits, 0}, window_bits, takeover);
        WsInflater inflater(takeover);
        for (int i = 0; i < 12; ++i) {
          const std::string text = random_text(random, random() % (i % 4 == 0 ? 90'000 : 900));
          const std::size_t cut = random() % (text.size() + 1);
          std::string payload;
          deflater.append_message(payload, text.substr(0, cut), text.substr(cut));
          EXPECT_LE(payload.size(), deflated_bytes_max(text.size()));
          ASSERT_EQ(inflated(inflater, payload), text);
        }
      }
    }
  }
}

TEST(WsDeflater, StaysInsideTheWindowThatWasAgreedOn) {
  // A reader with exactly that window must understand it.
  std::mt19937 random(7);
  for (const int window_bits : {9, 11}) {
    WsDeflater deflater({true, 9, 15, 0}, window_bits, true);
    z_stream reader{};
    ASSERT_EQ(inflateInit2(&reader, -window_bits), Z_OK);
    for (int i = 0; i < 20; ++i) {
      const std::string text = random_text(random, 3'000);
      std::string payload;
      deflater.append_message(payload, text);
      payload += bytes_of({0x00, 0x00, 0xff, 0xff});
      // A few bytes of room at a time: a larger buffer would serve as the window.
      std::string out;
      reader.next_in = reinterpret_cast<Bytef*>(payload.data());
      reader.avail_in = static_cast<uInt>(payload.size());
      for (;;) {
        std::array<char, 64> room{};
        reader.next_out = reinterpret_cast<Bytef*>(room.data());
        reader.avail_out = static_cast<uInt>(room.size());
        const int result = inflate(&reader, Z_SYNC_FLUSH);
        ASSERT_TRUE(result == Z_OK || result == Z_BUF_ERROR) << result;
        out.append(room.data(), room.size() - reader.avail_out);
        if (reader.avail_out > 0) break;
      }
      ASSERT_EQ(out, text);
    }
    inflateEnd(&reader);
  }
}

TEST(WsInflater, StopsAtTheBoundAndNotABytelater) {
  const std::string text(5'000, 'a');
  const std::string payload = deflated(text);
  WsInflater inflater(false);
  EXPECT_EQ(inflated(inflater, payload, 5'000), text);
  EXPECT_EQ(inflated(inflater, payload, 4'999), "too big");
  EXPECT_EQ(inflated(inflater, payload, 0), "too big");
  EXPECT_EQ(inflated(inflater, bytes_of({0x00}), 0), "");
}

TEST(WsInflater, RefusesWhatGrowsBeyondReason) {
  WsInflater inflater(false);
  const std::string bomb = deflated(std::string(600 << 10, '\0'));
  EXPECT_LT(bomb.size(), 4'000U);
  EXPECT_EQ(inflated(inflater, bomb, 64 << 20), "too big");
  // Small things may grow as they like, large ones when they really are large.
  const std::string small(kInflateFreeBytes, '\0');
  EXPECT_EQ(inflated(inflater, deflated(small), 64 << 20), small);
  std::mt19937 random(3);
  std::string large;
  while (large.size() < 300'000) large += std::to_string(random()) + std::string(90, ' ');
  EXPECT_EQ(inflated(inflater, deflated(large), 64 << 20), large);
}

TEST(WsInflater, DoesALittleAtATime) {
  WsInflater inflater(false);
  const std::string hello = bytes_of({0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00});
  const std::string dear_to_read = empty_deflate_blocks(10'000) + hello;
  const std::string much_text = deflated(std::string(500'000, '['));
  for (const std::string& payload : {dear_to_read, much_text}) {
    inflater.begin(payload.size(), kBytesMax);
    std::string_view left = payload;
    std::size_t text_before = 0;
    for (int steps = 1;; ++steps) {
      const std::size_t left_before = left.size();
      const auto is_whole = inflater.step(left);
      ASSERT_TRUE(is_whole);
      EXPECT_LE(left_before - left.size(), 2'048U);
      EXPECT_LE(inflater.text().size() - text_before, 65'536U + 8'192U);
      text_before = inflater.text().size();
      if (!*is_whole) continue;
      EXPECT_GE(steps, 7);
      break;
    }
    EXPECT_TRUE(left.empty());
    EXPECT_EQ(inflater.text(), payload == much_text ? std::string(500'000, '[') : "Hello");
  }
}

TEST(WsInflater, AMessageThatIsGivenUpLeavesNothingBehind) {
  WsInflater inflater(false);
  const std::string much_text = deflated(std::string(500'000, '['));
  inflater.begin(much_text.size(), kBytesMax);
  std::string_view left = much_text;
  ASSERT_FALSE(*inflater.step(left));
  EXPECT_EQ(inflated(inflater, deflated("another")), "another");
}

TEST(WsInflater, RefusesEveryTruncation) {
  // 0xff of a swallowed tail is no UTF-8: where the cut still inflates, the text check refuses it.
  std::mt19937 random(5);
  for (const std::size_t bytes : {5U, 200U, 4'000U}) {
    const std::string text = random_text(random, bytes);
    const std::string payload = deflated(text);
    for (std::size_t cut = 0; cut < payload.size(); ++cut) {
      WsInflaters inflaters(false);
      WsDecoder decoder(WsRole::Server, kBytesMax, &inflaters);
      std::string frame;
      append_ws_frame(frame, WsOpcode::Text, payload.substr(0, cut), kMask, WsPayload::Compressed);
      std::span<std::uint8_t> input(reinterpret_cast<std::uint8_t*>(frame.data()), frame.size());
      const auto event = decoder.next(input);
      ASSERT_FALSE(event) << cut << " of " << payload.size();
      EXPECT_EQ(close_code_of(event.error()), kWsCloseBadData);
    }
  }
}

TEST(WsInflater, RefusesWhatIsNotDeflate) {
  WsInflater inflater(false);
  EXPECT_EQ(inflated(inflater, ""), "bad data");
  EXPECT_EQ(inflated(inflater, bytes_of({0x06})), "bad data") << "block type 3";
  EXPECT_EQ(inflated(inflater, bytes_of({0x00, 0x05, 0x00, 0xfb, 0xff})), "bad data") << "NLEN";
  EXPECT_EQ(inflated(inflater, bytes_of({0xf2, 0x00, 0x11, 0x00, 0x00})), "bad data") << "distance";
  EXPECT_EQ(inflated(inflater, bytes_of({0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00})), "bad data")
      << "nothing behind the last block";
}

TEST(StoredBlock, MayStandBeforeACompressedText) {
  std::string payload;
  append_stored_block(payload, R"(["EVENT","sub",)");
  const std::string text(400, 'x');
  payload += deflated(text + "]");
  WsInflater inflater(false);
  EXPECT_EQ(inflated(inflater, payload), R"(["EVENT","sub",)" + text + "]");
  std::string largest;
  append_stored_block(largest, std::string(kStoredBlockBytesMax, 'y'));
  EXPECT_EQ(inflated(inflater, largest + bytes_of({0x00})), std::string(kStoredBlockBytesMax, 'y'));
}

TEST(WsSharedForms, CompressesATextOnceATurn) {
  WsSharedForms forms({});
  const auto text = std::make_shared<const std::string>(std::string(500, 'a'));
  const auto same_words = std::make_shared<const std::string>(*text);
  const auto form = forms.form_of(text, "]");
  ASSERT_TRUE(form);
  EXPECT_EQ(forms.form_of(text, "]"), form);
  EXPECT_EQ(forms.made_count(), 1U);
  const auto other_end = forms.form_of(text, "}");
  ASSERT_TRUE(other_end);
  EXPECT_NE(*other_end, *form);
  EXPECT_EQ(*forms.form_of(same_words, "]"), *form);
  EXPECT_EQ(forms.made_count(), 3U);
  WsInflater inflater(false);
  EXPECT_EQ(inflated(inflater, *form), *text + "]");
  forms.clear();
  EXPECT_EQ(text.use_count(), 1) << "a text must not be kept alive over the turn";
  EXPECT_EQ(*forms.form_of(text, "]"), *form);
  EXPECT_EQ(forms.made_count(), 4U);
}

TEST(WsSharedForms, ForgetsTheOldestAndNeverMixesTextsUp) {
  WsSharedForms forms({});
  WsInflater inflater(false);
  for (std::size_t round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < WsSharedForms::kFormsMax + 5; ++i) {
      const auto text =
          std::make_shared<const std::string>(std::to_string(i) + std::string(300, 'b'));
      ASSERT_EQ(inflated(inflater, *forms.form_of(text, "]")), *text + "]");
      ASSERT_EQ(inflated(inflater, *forms.form_of(text, "]")), *text + "]");
    }
  }
  EXPECT_EQ(forms.made_count(), 3 * (WsSharedForms::kFormsMax + 5));
}

TEST(WsSharedForms, SaysWhenItIsNotWorthIt) {
  WsSharedForms forms({});
  std::mt19937 random(1);
  std::string noise;
  while (noise.size() < 1'000) noise.push_back(static_cast<char>(random()));
  const auto text = std::make_shared<const std::string>(noise);
  EXPECT_FALSE(forms.form_of(text, {}));
  EXPECT_FALSE(forms.form_of(text, {}));
  EXPECT_EQ(forms.made_count(), 1U) << "nor tries again";
}

// --- Frames.

/// Everything a decoder makes of `bytes`, cut by `next_piece`.
std::vector<std::string> decode(
    std::string bytes, WsInflaters* inflaters, std::size_t bytes_max = kBytesMax,
    const std::function<std::size_t()>& next_piece = [] { return std::size_t{1} << 30; }) {
  WsDecoder decoder(WsRole::Server, bytes_max, inflaters);
  std::vector<std::string> out;
  std::span<std::uint8_t> rest(reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size());
  while (!rest.empty()) {
    std::span<std::uint8_t> piece = rest.first(std::min(rest.size(), next_piece()));
    rest = rest.subspan(piece.size());
    for (;;) {
      const auto next = decoder.next(piece);
      if (!next) {
        out.push_back(std::string(to_string(next.error())));
        return out;
      }
      if (!*next) break;
      out.push_back((*next)->kind == WsEventKind::Ping ? "ping" : std::string((*next)->payload));
    }
  }
  return out;
}

std::string frame(std::uint8_t first, std::string_view payload) {
  std::string out;
  append_ws_frame(out, WsOpcode::Text, payload, kMask);
  out[0] = static_cast<char>(first);
  return out;
}

using Events = std::vector<std::string>;

TEST(WsDecoderDeflate, ReadsTheFragmentsOfTheRfcWithControlFramesBetween) {
  WsInflaters inflaters(false);
  const std::string first = frame(0x41, bytes_of({0xf2, 0x48, 0xcd}));
  const std::string second = frame(0x80, bytes_of({0xc9, 0xc9, 0x07, 0x00}));
  EXPECT_EQ(decode(first + second, &inflaters), Events{"Hello"});
  EXPECT_EQ(decode(first + frame(0x89, "") + second, &inflaters), (Events{"ping", "Hello"}));
  EXPECT_EQ(decode(first + frame(0x00, "") + second + frame(0x81, "plain"), &inflaters),
            (Events{"Hello", "plain"}));
}

TEST(WsDecoderDeflate, TakesTheMarkOnTheFirstFrameOfAMessageOnly) {
  WsInflaters inflaters(false);
  const std::string hello = bytes_of({0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00});
  const Events refused{"reserved bits set"};
  EXPECT_EQ(decode(frame(0xc1, hello), nullptr), refused) << "not agreed on";
  EXPECT_EQ(decode(frame(0xc1, hello), &inflaters), Events{"Hello"});
  EXPECT_EQ(decode(frame(0xc2, hello), &inflaters), Events{"Hello"});
  EXPECT_EQ(decode(frame(0x41, hello) + frame(0xc0, ""), &inflaters), refused);
  EXPECT_EQ(decode(frame(0x01, hello) + frame(0xc0, ""), &inflaters), refused);
  for (const int first : {0xc8, 0xc9, 0xca, 0xe1, 0xd1, 0xa1, 0x91, 0xf1, 0xc3, 0xcb})
    EXPECT_EQ(decode(frame(static_cast<std::uint8_t>(first), ""), &inflaters), refused) << first;
}

TEST(WsDecoderDeflate, ChecksUtf8OfWhatWasInflated) {
  WsInflaters inflaters(false);
  const std::string bad = deflated("abc\xff");
  EXPECT_EQ(decode(frame(0xc1, bad), &inflaters), Events{"invalid UTF-8"});
  EXPECT_EQ(decode(frame(0xc2, bad), &inflaters), Events{"abc\xff"});
  EXPECT_EQ(decode(frame(0xc1, deflated("\xc3\xa4")), &inflaters), Events{"\xc3\xa4"});
}

TEST(WsDecoderDeflate, BoundsTheMessageBeforeAndAfterInflating) {
  WsInflaters inflaters(false);
  const std::string text(1'000, 'z');
  EXPECT_EQ(decode(frame(0xc1, deflated(text)), &inflaters, 1'000), Events{text});
  EXPECT_EQ(decode(frame(0xc1, deflated(text)), &inflaters, 999), Events{"message too big"});
  // Refused by its length alone, before a byte of it came.
  const std::string long_frame = frame(0xc1, std::string(deflated_bytes_max(1'000) + 1, 'x'));
  EXPECT_EQ(decode(long_frame.substr(0, 8), &inflaters, 1'000), Events{"message too big"});
  EXPECT_EQ(decode(frame(0xc1, "\xff\xff"), &inflaters), Events{"compressed data damaged"});
  EXPECT_EQ(close_code_of(WsError::BadDeflate), kWsCloseBadData);
  EXPECT_EQ(close_code_of(WsError::MessageTooBig), kWsCloseTooBig);
}

TEST(WsDecoderDeflate, ThoseOfAThreadMayStopInTheMiddleOfAMessage) {
  WsInflaters inflaters(false);
  const std::string texts[] = {std::string(400'000, 'a'), std::string(300'000, 'b'), "short"};
  std::vector<WsDecoder> decoders;
  std::vector<std::string> wires;
  for (const std::string& text : texts) {
    decoders.emplace_back(WsRole::Server, kBytesMax, &inflaters);
    const std::string payload = deflated(text);
    // The first in one frame, the others in two: its bytes stay where they are, theirs are joined.
    wires.push_back(wires.empty()
                        ? frame(0xc1, payload)
                        : frame(0x41, payload.substr(0, 3)) + frame(0x80, payload.substr(3)));
  }
  std::array<std::span<std::uint8_t>, 3> inputs;
  for (std::size_t i = 0; i < 3; ++i)
    inputs[i] = {reinterpret_cast<std::uint8_t*>(wires[i].data()), wires[i].size()};
  Events events;
  for (int round = 0; round < 1'000 && events.size() < 3; ++round) {
    for (std::size_t i = 0; i < 3; ++i) {
      const auto next = decoders[i].next_piece(inputs[i]);
      ASSERT_TRUE(next);
      if (*next) events.emplace_back((*next)->payload);
      EXPECT_TRUE(inputs[i].empty());
      std::ranges::fill(wires[i], '!');  // nobody looks there any more
    }
  }
  EXPECT_EQ(events, (Events{texts[2], texts[1], texts[0]}));
  for (const WsDecoder& decoder : decoders) EXPECT_FALSE(decoder.is_inflating());
}

TEST(WsDecoderDeflate, RandomMessagesCutAndFragmentedAnyhowComeBack) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 60; ++round) {
    const bool takeover = round % 2 == 0;
    WsDeflater deflater({}, 15, takeover);
    WsInflaters inflaters(takeover);
    std::string wire;
    Events expected;
    for (int i = 0; i < 6; ++i) {
      const std::string text = random_text(random, random() % 3'000);
      std::string payload = text;
      const bool compressed = random() % 4 != 0;
      if (compressed) {
        payload.clear();
        deflater.append_message(payload, text);
      }
      std::uint8_t first = compressed ? 0x41 : 0x01;
      std::string_view rest(payload);
      while (random() % 3 == 0) {
        const std::size_t take = random() % (rest.size() + 1);
        wire += frame(first, rest.substr(0, take));
        rest.remove_prefix(take);
        first = 0x00;
        if (random() % 2 == 0) {
          wire += frame(0x89, "");
          expected.push_back("ping");
        }
      }
      wire += frame(static_cast<std::uint8_t>(first | 0x80U), rest);
      expected.push_back(text);
    }
    ASSERT_EQ(decode(wire, &inflaters, kBytesMax, [&] { return 1 + random() % 700; }), expected);
  }
}

}  // namespace
}  // namespace nostril::net
