#pragma once

#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct z_stream_s;

namespace nostril::net {

// The streams of permessage-deflate (RFC 7692 7.2) over zlib. What both sides agree on beforehand:
// ws_deflate_offer.h. No socket, no clock; each object belongs to one thread.
//
// The payload of a compressed message is a raw DEFLATE stream that ends at a byte border with an
// empty stored block, of which the last four bytes (00 00 ff ff) are left out. Such streams may be
// put one behind the other. Without context takeover a message refers to nothing before it, so one
// compressed form serves all connections:
//
//   00 LEN NLEN prefix | blocks of the shared text, made once | 00
//   stored block, differs                                       the cut off empty block

struct WsDeflateOptions {
  /// Off: the extension is neither offered nor accepted, its header is not looked at.
  bool enabled = false;
  /// 1 (fast) to 9. On real events 6 leaves 59 % where 1 leaves 60, for a quarter more CPU.
  int level = 1;
  /// 9 to 15: how far back matches reach, 2^n bytes. 15: 264 KiB for each compressor.
  int window_bits = 15;
  /// Only what goes to many (Server::send_shared): a message for one reader costs a compression of
  /// its own.
  bool shared_only = false;
  /// Shorter messages are sent as they are: the codes of a block take 60 to 80 bytes.
  std::size_t message_bytes_min = 150;
};

/// Compresses messages. With context takeover it keeps the last 2^window_bits bytes and refers to
/// them: then what it has made must be sent, in that order. Memory: 2^(window_bits + 2) bytes and
/// 134 KiB, from the first use on.
class WsDeflater {
 public:
  WsDeflater(const WsDeflateOptions& options, int window_bits, bool context_takeover);
  ~WsDeflater();
  WsDeflater(const WsDeflater&) = delete;
  WsDeflater& operator=(const WsDeflater&) = delete;
  WsDeflater(WsDeflater&&) = delete;
  WsDeflater& operator=(WsDeflater&&) = delete;

  /// Appends the payload of the message `text` + `more`.
  void append_message(std::string& out, std::string_view text, std::string_view more = {});

 private:
  void append(std::string& out, std::string_view text, int flush);

  std::unique_ptr<z_stream_s> stream_;
  int level_;
  int window_bits_;
  bool context_takeover_;
};

/// Appends `bytes` (1 to 65,535) as a stored block: 00, length, its complement (both
/// little-endian), the bytes. May stand before any payload.
void append_stored_block(std::string& out, std::string_view bytes);
inline constexpr std::size_t kStoredBlockBytesMax = 65'535;
inline constexpr std::size_t kStoredBlockHeaderBytes = 5;

enum class WsInflateError : std::uint8_t {
  BadData,  ///< not DEFLATE, or not complete
  TooBig,   ///< more than bytes_max, or more than kInflateRatioMax times what came
};

/// Above this many bytes of output (a relay's largest message by default: what it says it takes, it
/// takes however well that can be compressed) …
inline constexpr std::size_t kInflateFreeBytes = 512 << 10;
/// … the output may be that many times the input. DEFLATE reaches 1,030, real events below 30.
inline constexpr std::size_t kInflateRatioMax = 128;

/// Largest payload that may inflate to `bytes` and is no nonsense: fixed codes make nine bits of
/// eight.
constexpr std::size_t deflated_bytes_max(std::size_t bytes) {
  return bytes + bytes / 8 + 64;
}

/// Inflates messages into a buffer of its own, a piece at a time: blocks that make no text, or text
/// that takes no blocks, are worth milliseconds in half a megabyte, and others wait meanwhile.
/// Memory: 40 KiB from the first use on, and what bytes_max allows while a message is looked at
/// (64 KiB stay).
class WsInflater {
 public:
  explicit WsInflater(bool context_takeover);
  ~WsInflater();
  WsInflater(const WsInflater&) = delete;
  WsInflater& operator=(const WsInflater&) = delete;
  WsInflater(WsInflater&&) = delete;
  WsInflater& operator=(WsInflater&&) = delete;

  /// A message whose compressed payload has so many bytes, all its fragments together. What is left
  /// of the one before is forgotten; without context takeover nothing of it stays.
  void begin(std::size_t payload_bytes, std::size_t bytes_max);
  /// Takes some off the front of `payload`, for 0.2 ms at most. True: it was all, and text() is the
  /// message. Stops as soon as a bound is passed. After an error with context takeover the
  /// connection must end.
  Result<bool, WsInflateError> step(std::string_view& payload);

  /// Valid until begin().
  [[nodiscard]] std::string_view text() const { return std::string_view(buffer_).substr(0, size_); }

  /// The message of a payload, in one go.
  Result<std::string_view, WsInflateError> inflate(std::string_view payload, std::size_t bytes_max);

  [[nodiscard]] std::size_t held_bytes() const { return buffer_.size(); }

 private:
  Result<bool, WsInflateError> feed(std::string_view& input, std::size_t bytes_max);

  std::unique_ptr<z_stream_s> stream_;
  std::string buffer_;  // its size is room, not content
  std::size_t size_ = 0;
  std::size_t allowed_ = 0;
  bool context_takeover_;
};

/// The inflaters of one thread. Without context takeover one serves all its connections as long as
/// no message is left half done; with it, one connection has its own WsInflaters.
class WsInflaters {
 public:
  explicit WsInflaters(bool context_takeover) : context_takeover_(context_takeover) {}

  std::unique_ptr<WsInflater> take();

  /// Its text() stays until the next take().
  void give_back(std::unique_ptr<WsInflater> inflater) { spare_ = std::move(inflater); }

 private:
  std::unique_ptr<WsInflater> spare_;
  bool context_takeover_;
};

/// Compressed forms of the texts that are sent to many at a time, each made once. Holds at most
/// kFormsMax of them, and their texts, until clear().
class WsSharedForms {
 public:
  explicit WsSharedForms(const WsDeflateOptions& options);

  /// The payload of `*text` + `suffix`; nothing if that would not be shorter.
  std::shared_ptr<const std::string> form_of(const std::shared_ptr<const std::string>& text,
                                             std::string_view suffix);
  void clear();

  [[nodiscard]] WsDeflater& deflater() { return deflater_; }

  /// How many were really compressed.
  [[nodiscard]] std::uint64_t made_count() const { return made_count_; }

  static constexpr std::size_t kFormsMax = 64;

 private:
  struct Form {
    std::shared_ptr<const std::string> text;  // held: its address stays its own
    std::string suffix;
    std::shared_ptr<const std::string> payload;
  };

  WsDeflater deflater_;
  std::vector<Form> forms_;
  std::size_t next_ = 0;  // the oldest, once there are kFormsMax
  std::uint64_t made_count_ = 0;
  std::string scratch_;
};

}  // namespace nostril::net
