#include "net/ws_deflate.h"

#include "base/check.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <limits>
#include <new>

namespace nostril::net {

namespace {

constexpr std::string_view kTail("\x00\x00\xff\xff", 4);
// Hash table of 64 KiB; zlib's own default. Smaller ones are slower: they are shared by all.
constexpr int kMemoryLevel = 8;
constexpr std::size_t kBufferBytesKept = 64 << 10;
// Of one step. The dearest input is blocks of eleven bytes that hold nothing but the tables of
// their codes, 0.5 us each; the dearest output is one byte over and over, 2.4 us a KiB.
constexpr std::size_t kStepBytesIn = 2 << 10;
constexpr std::size_t kStepBytesOut = 64 << 10;
// z_stream's data_type after inflate(): at the border of a block, no bit left over (zlib.h).
constexpr int kAtBlockBorder = 128;

// zlib's interface takes no const input (it never writes to it).
Bytef* input_of(std::string_view bytes) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
}

void check_result(int result) {
  if (result == Z_MEM_ERROR) throw std::bad_alloc();
  CHECK(result == Z_OK);
}

}  // namespace

WsDeflater::WsDeflater(const WsDeflateOptions& options, int window_bits, bool context_takeover)
    : level_(options.level), window_bits_(window_bits), context_takeover_(context_takeover) {
  CHECK(level_ >= 1 && level_ <= 9);
  CHECK(window_bits_ >= 9 && window_bits_ <= 15);  // 8: not in zlib's raw format
}

WsDeflater::~WsDeflater() {
  if (stream_) deflateEnd(stream_.get());
}

void WsDeflater::append_message(std::string& out, std::string_view text, std::string_view more) {
  if (!stream_) {
    auto stream = std::make_unique<z_stream>();
    check_result(deflateInit2(stream.get(), level_, Z_DEFLATED, -window_bits_, kMemoryLevel,
                              Z_DEFAULT_STRATEGY));
    stream_ = std::move(stream);
  } else if (!context_takeover_) {
    check_result(deflateReset(stream_.get()));
  }
  if (text.empty() && more.empty()) {  // zlib makes no second empty block in a row
    out.push_back('\0');
    return;
  }
  if (!more.empty()) append(out, text, Z_NO_FLUSH);
  append(out, more.empty() ? text : more, Z_SYNC_FLUSH);
  CHECK(std::string_view(out).ends_with(kTail));
  out.resize(out.size() - kTail.size());
}

void WsDeflater::append(std::string& out, std::string_view text, int flush) {
  CHECK(text.size() <= std::numeric_limits<uInt>::max());
  z_stream& stream = *stream_;
  stream.next_in = input_of(text);
  stream.avail_in = static_cast<uInt>(text.size());
  std::size_t size = out.size();
  do {
    const std::size_t room = 64 + text.size() / 2;
    out.resize(size + room);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + size);
    stream.avail_out = static_cast<uInt>(room);
    const int result = ::deflate(&stream, flush);
    CHECK(result == Z_OK || result == Z_BUF_ERROR);  // the latter: nothing was left to do
    size += room - stream.avail_out;
  } while (stream.avail_out == 0);
  CHECK(stream.avail_in == 0);
  out.resize(size);
}

void append_stored_block(std::string& out, std::string_view bytes) {
  CHECK(!bytes.empty() && bytes.size() <= kStoredBlockBytesMax);
  const std::size_t size = bytes.size();
  const std::array<char, kStoredBlockHeaderBytes> header{
      0, static_cast<char>(size & 0xFFU), static_cast<char>(size >> 8U),
      static_cast<char>(~size & 0xFFU), static_cast<char>(~size >> 8U & 0xFFU)};
  out.append(header.data(), header.size()).append(bytes);
}

WsInflater::WsInflater(bool context_takeover) : context_takeover_(context_takeover) {}

WsInflater::~WsInflater() {
  if (stream_) inflateEnd(stream_.get());
}

void WsInflater::begin(std::size_t payload_bytes, std::size_t bytes_max) {
  if (!stream_) {
    auto stream = std::make_unique<z_stream>();
    check_result(inflateInit2(stream.get(), -15));
    stream_ = std::move(stream);
  } else if (!context_takeover_) {
    check_result(inflateReset(stream_.get()));
  }
  const std::size_t by_ratio =
      payload_bytes <= bytes_max / kInflateRatioMax ? payload_bytes * kInflateRatioMax : bytes_max;
  allowed_ = std::min(bytes_max, std::max(kInflateFreeBytes, by_ratio));
  if (buffer_.size() > kBufferBytesKept) std::string().swap(buffer_);
  size_ = 0;
}

Result<bool, WsInflateError> WsInflater::step(std::string_view& payload) {
  const std::string_view piece = payload.substr(0, kStepBytesIn);
  std::string_view left = piece;
  const Result<bool, WsInflateError> used_up = feed(left, kStepBytesOut);
  if (!used_up) return failure(used_up.error());
  payload.remove_prefix(piece.size() - left.size());
  if (!*used_up || !payload.empty()) return false;

  std::string_view tail = kTail;
  const Result<bool, WsInflateError> ended = feed(tail, allowed_ + 1);
  if (!ended) return failure(ended.error());
  if (stream_->data_type != kAtBlockBorder) return failure(WsInflateError::BadData);
  return true;
}

// True: the input is used up, and all that it makes is in the buffer. False: `bytes_max` came of it
// before.
Result<bool, WsInflateError> WsInflater::feed(std::string_view& input, std::size_t bytes_max) {
  z_stream& stream = *stream_;
  stream.next_in = input_of(input);
  stream.avail_in = static_cast<uInt>(input.size());
  const std::size_t end = size_ + bytes_max;
  for (;;) {
    // One byte more than allowed: then it is known to be too much.
    if (size_ == buffer_.size())
      buffer_.resize(std::min(allowed_ + 1, std::max<std::size_t>(4'096, size_ * 2)));
    const std::size_t room = std::min({buffer_.size(), allowed_ + 1, end}) - size_;
    stream.next_out = reinterpret_cast<Bytef*>(buffer_.data() + size_);
    stream.avail_out = static_cast<uInt>(room);
    const int result = ::inflate(&stream, Z_SYNC_FLUSH);
    size_ += room - stream.avail_out;
    input.remove_prefix(input.size() - stream.avail_in);
    if (size_ > allowed_) return failure(WsInflateError::TooBig);
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    if (result == Z_STREAM_END) {
      // A block marked as the last (RFC 7692 7.2.3.4): blocks go on behind it, over the same
      // history.
      check_result(inflateResetKeep(&stream));
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      return failure(WsInflateError::BadData);
    } else if (stream.avail_out > 0) {
      return true;
    }
    if (size_ == end) return false;
  }
}

Result<std::string_view, WsInflateError> WsInflater::inflate(std::string_view payload,
                                                             std::size_t bytes_max) {
  begin(payload.size(), bytes_max);
  for (;;) {
    const Result<bool, WsInflateError> is_whole = step(payload);
    if (!is_whole) return failure(is_whole.error());
    if (*is_whole) return text();
  }
}

std::unique_ptr<WsInflater> WsInflaters::take() {
  return spare_ ? std::move(spare_) : std::make_unique<WsInflater>(context_takeover_);
}

WsSharedForms::WsSharedForms(const WsDeflateOptions& options)
    : deflater_(options, options.window_bits, false) {}

std::shared_ptr<const std::string> WsSharedForms::form_of(
    const std::shared_ptr<const std::string>& text, std::string_view suffix) {
  // Newest first: a text goes to all its readers before the next one comes.
  for (std::size_t i = forms_.size(); i > 0; --i) {
    const Form& form = forms_[(next_ + i - 1) % forms_.size()];
    if (form.text == text && form.suffix == suffix) return form.payload;
  }
  scratch_.clear();
  deflater_.append_message(scratch_, *text, suffix);
  ++made_count_;
  Form form{text, std::string(suffix), nullptr};
  if (scratch_.size() + kStoredBlockHeaderBytes < text->size() + suffix.size())
    form.payload = std::make_shared<const std::string>(scratch_);
  if (scratch_.capacity() > kBufferBytesKept) std::string().swap(scratch_);
  if (forms_.size() < kFormsMax) return forms_.emplace_back(std::move(form)).payload;
  Form& oldest = forms_[next_];
  next_ = (next_ + 1) % kFormsMax;
  oldest = std::move(form);
  return oldest.payload;
}

void WsSharedForms::clear() {
  forms_.clear();
  next_ = 0;
}

}  // namespace nostril::net
