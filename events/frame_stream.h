#pragma once

#include "base/bytes.h"

#include <cstddef>
#include <memory>
#include <optional>

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

/// The zstd stream of one direction of a session: one zstd frame (RFC 8878) without end, without
/// content size, checksum or dictionary, flushed after each part, so that what a part holds can be
/// read when it and all before it are there. Threads: one.
namespace nostril {

/// Of the window, as a power of two: 64 KiB. What a reader has to keep, and what it may refuse to
/// go beyond.
inline constexpr int kStreamWindowLog = 16;

/// Of the window of what we send: 8 KiB, longer than any part.
inline constexpr int kSentWindowLog = 13;

/// Memory: 83 KiB from the first part on, of which about 60 are touched.
class FrameCompressor {
 public:
  FrameCompressor();
  ~FrameCompressor();
  FrameCompressor(FrameCompressor&&) noexcept;
  FrameCompressor& operator=(FrameCompressor&&) = delete;
  FrameCompressor(const FrameCompressor&) = delete;
  FrameCompressor& operator=(const FrameCompressor&) = delete;

  /// The next part; `bytes` is not empty. It is at most 64 bytes longer than they are.
  [[nodiscard]] Bytes pack(ByteSpan bytes);

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const;
  };

  std::unique_ptr<ZSTD_CCtx_s, Free> context_;
};

/// Memory from the first part on: 160 KiB, of which a stream of short parts touches a third, and
/// for the window that its sender chose: 85 KiB more for 8 KiB, 253 KiB for 64.
class FrameDecompressor {
 public:
  FrameDecompressor();
  ~FrameDecompressor();
  FrameDecompressor(FrameDecompressor&&) noexcept;
  FrameDecompressor& operator=(FrameDecompressor&&) = delete;
  FrameDecompressor(const FrameDecompressor&) = delete;
  FrameDecompressor& operator=(const FrameDecompressor&) = delete;

  /// What the next part holds: 1 to `bytes_max` bytes. Nothing when it holds none or more, asks for
  /// a larger window, ends the stream, or is no zstd; the stream can't be read on then.
  [[nodiscard]] std::optional<Bytes> unpack(ByteSpan part, std::size_t bytes_max);

 private:
  struct Free {
    void operator()(ZSTD_DCtx_s* context) const;
  };

  std::unique_ptr<ZSTD_DCtx_s, Free> context_;
  bool broken_ = false;
};

}  // namespace nostril
