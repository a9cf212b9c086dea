#include "events/frame_stream.h"

#include "events/frames.h"
#include "tests/support/inference_fixtures.h"

#include <gtest/gtest.h>

#include <zstd.h>

#include <string>
#include <vector>

namespace nostril {
namespace {

using test::SeededRng;

Bytes bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

TEST(FrameStream, EachPartIsReadableAtOnceAndWholeInOrder) {
  SeededRng rng(7);
  FrameCompressor compressor;
  FrameDecompressor decompressor;
  for (int round = 0; round < 500; ++round) {
    Bytes piece(1 + rng.below(kFrameDataBytesMax));
    const bool text = rng.below(2) == 0;
    for (std::uint8_t& byte : piece) {
      byte = static_cast<std::uint8_t>(text ? 'a' + rng.below(3) : rng.below(256));
    }
    const Bytes part = compressor.pack(piece);
    ASSERT_LE(part.size(), kFrameZstdBytesMax);
    const auto read = decompressor.unpack(part, kFrameDataBytesMax);
    ASSERT_TRUE(read);
    ASSERT_EQ(*read, piece);
  }
}

TEST(FrameStream, StreamedTokensShrinkToAFewBytes) {
  FrameCompressor compressor;
  std::size_t before = 0;
  std::size_t after = 0;
  for (int token = 0; token < 400; ++token) {
    const std::string chunk =
        "data: "
        "{\"id\":\"chatcmpl-5f1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":"
        "0,\"delta\":{\"content\":\" word" +
        std::to_string(token) + "\"}}]}\n\n";
    before += chunk.size();
    after += compressor.pack(bytes_of(chunk)).size();
  }
  EXPECT_LT(after * 5, before);
}

TEST(FrameStream, AFloodInOnePartIsRefused) {
  const Bytes zeros(std::size_t{1} << 24, 0);
  Bytes flood(ZSTD_compressBound(zeros.size()));
  flood.resize(ZSTD_compress(flood.data(), flood.size(), zeros.data(), zeros.size(), 1));
  ASSERT_LT(flood.size(), 7000U);
  FrameDecompressor decompressor;
  EXPECT_FALSE(decompressor.unpack(flood, kFrameDataBytesMax));
}

TEST(FrameStream, OneByteOverTheBoundIsRefusedAndTheBoundIsNot) {
  for (const std::size_t size : {std::size_t{100}, std::size_t{101}}) {
    FrameCompressor compressor;
    FrameDecompressor decompressor;
    EXPECT_EQ(decompressor.unpack(compressor.pack(Bytes(size, 'x')), 100).has_value(), size == 100);
  }
}

TEST(FrameStream, AWiderWindowIsRefused) {
  const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> wide(ZSTD_createCCtx(),
                                                                  &ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(wide.get(), ZSTD_c_windowLog, kStreamWindowLog + 1);
  const Bytes text = bytes_of("a window of 128 KiB");
  Bytes part(200);
  ZSTD_inBuffer input{text.data(), text.size(), 0};
  ZSTD_outBuffer output{part.data(), part.size(), 0};
  ASSERT_EQ(ZSTD_compressStream2(wide.get(), &output, &input, ZSTD_e_flush), 0U);
  part.resize(output.pos);
  FrameDecompressor decompressor;
  EXPECT_FALSE(decompressor.unpack(part, kFrameDataBytesMax));
}

TEST(FrameStream, WhatIsNoPartBreaksTheStreamForGood) {
  FrameCompressor compressor;
  const Bytes good = compressor.pack(bytes_of("hello"));
  const std::vector<Bytes> bad = {
      bytes_of("not zstd at all"), {}, Bytes(good.begin(), good.begin() + 4)};
  for (const Bytes& part : bad) {
    FrameDecompressor decompressor;
    EXPECT_FALSE(decompressor.unpack(part, kFrameDataBytesMax));
    EXPECT_FALSE(decompressor.unpack(good, kFrameDataBytesMax));
  }
}

TEST(FrameStream, AnEndedStreamIsRefused) {
  const Bytes text = bytes_of("the end");
  Bytes whole(200);
  whole.resize(ZSTD_compress(whole.data(), whole.size(), text.data(), text.size(), 1));
  FrameDecompressor decompressor;
  EXPECT_FALSE(decompressor.unpack(whole, kFrameDataBytesMax));
}

}  // namespace
}  // namespace nostril
