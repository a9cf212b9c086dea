#include "events/frame_stream.h"

#include "base/check.h"

#include <zstd.h>

#include <array>
#include <utility>

namespace nostril {

namespace {

/// Small tables: thousands of sessions have one each, and the chunks of an answer repeat the one
/// before. A window of 64 KiB and a table of 16,384 entries take 6 times the memory and save 0.7
/// bytes a token (of 17; of 9 with four tokens a frame), which NIP-44's padding mostly eats; a
/// table of 4,096 in place of 1,024 takes 12 KiB and saves 0.02.
constexpr std::array<std::pair<ZSTD_cParameter, int>, 6> kParameters = {{
    {ZSTD_c_compressionLevel, 1},
    {ZSTD_c_windowLog, kSentWindowLog},
    {ZSTD_c_hashLog, 10},
    {ZSTD_c_strategy, ZSTD_fast},
    {ZSTD_c_contentSizeFlag, 0},
    {ZSTD_c_checksumFlag, 0},
}};
constexpr std::size_t kPartOverheadMax = 64;

}  // namespace

void FrameCompressor::Free::operator()(ZSTD_CCtx_s* context) const {
  ZSTD_freeCCtx(context);
}

FrameCompressor::FrameCompressor() : context_(ZSTD_createCCtx()) {
  CHECK(context_ != nullptr);
  static_assert(kSentWindowLog <= kStreamWindowLog);
  for (const auto& [parameter, value] : kParameters) {
    CHECK(ZSTD_isError(ZSTD_CCtx_setParameter(context_.get(), parameter, value)) == 0);
  }
}

FrameCompressor::~FrameCompressor() = default;
FrameCompressor::FrameCompressor(FrameCompressor&&) noexcept = default;

Bytes FrameCompressor::pack(ByteSpan bytes) {
  CHECK(!bytes.empty());
  Bytes out(bytes.size() + kPartOverheadMax);
  ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
  ZSTD_outBuffer output{out.data(), out.size(), 0};
  const std::size_t left = ZSTD_compressStream2(context_.get(), &output, &input, ZSTD_e_flush);
  CHECK(left == 0 && input.pos == input.size);
  out.resize(output.pos);
  return out;
}

void FrameDecompressor::Free::operator()(ZSTD_DCtx_s* context) const {
  ZSTD_freeDCtx(context);
}

FrameDecompressor::FrameDecompressor() : context_(ZSTD_createDCtx()) {
  CHECK(context_ != nullptr);
  CHECK(ZSTD_isError(
            ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kStreamWindowLog)) == 0);
}

FrameDecompressor::~FrameDecompressor() = default;
FrameDecompressor::FrameDecompressor(FrameDecompressor&&) noexcept = default;

std::optional<Bytes> FrameDecompressor::unpack(ByteSpan part, std::size_t bytes_max) {
  if (std::exchange(broken_, true)) return std::nullopt;
  Bytes out(bytes_max + 1);  // one more than allowed shows that there is more
  ZSTD_inBuffer input{part.data(), part.size(), 0};
  ZSTD_outBuffer output{out.data(), out.size(), 0};
  while (input.pos < input.size && output.pos < output.size) {
    const std::size_t before = input.pos + output.pos;
    const std::size_t left = ZSTD_decompressStream(context_.get(), &output, &input);
    if (ZSTD_isError(left) != 0 || left == 0) return std::nullopt;
    if (input.pos + output.pos == before) return std::nullopt;
  }
  if (output.pos == 0 || output.pos > bytes_max) return std::nullopt;
  out.resize(output.pos);
  broken_ = false;
  return out;
}

}  // namespace nostril
