#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace nostril {

/// Text written piece by piece through pointers, into memory that is neither zeroed nor given back
/// between texts. For those who write much: a std::string asks and clears again for each piece.
class TextBuffer {
 public:
  /// Where the next `bytes` bytes go; valid until the next call. Then end_at() tells how many came.
  [[nodiscard]] char* room(std::size_t bytes) {
    if (capacity_ - size_ < bytes) grow(bytes);
    return bytes_.get() + size_;
  }

  void end_at(const char* end) { size_ = static_cast<std::size_t>(end - bytes_.get()); }

  void append(std::string_view text) {
    char* at = room(text.size());
    std::copy(text.begin(), text.end(), at);
    size_ += text.size();
  }

  /// Drops what is behind the first `size` bytes.
  void cut(std::size_t size) { size_ = std::min(size_, size); }

  void clear() { size_ = 0; }

  [[nodiscard]] std::size_t size() const { return size_; }

  [[nodiscard]] std::string_view text() const { return {bytes_.get(), size_}; }

 private:
  void grow(std::size_t bytes) {
    const std::size_t capacity = std::max({size_ + bytes, capacity_ * 2, kCapacityMin});
    std::unique_ptr<char[]> larger(new char[capacity]);  // NOLINT: make_unique would zero it
    if (size_ > 0) std::memcpy(larger.get(), bytes_.get(), size_);
    bytes_ = std::move(larger);
    capacity_ = capacity;
  }

  static constexpr std::size_t kCapacityMin = 4096;

  std::unique_ptr<char[]> bytes_;  // NOLINT(modernize-avoid-c-arrays)
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
};

}  // namespace nostril
