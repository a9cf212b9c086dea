#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::net {

/// Bytes waiting for one socket: copied ones, and shared ones that many sockets wait for. While
/// empty it keeps a few hundred bytes for the next message, until release_spare(). One thread.
class OutQueue {
 public:
  void append(std::string_view bytes);
  void append_shared(std::shared_ptr<const std::string> bytes);
  /// Where to append small pieces without a copy of a copy.
  std::string& tail();

  /// After writing `bytes` more bytes into tail().
  void grew(std::size_t bytes) { bytes_ += bytes; }

  [[nodiscard]] std::size_t bytes() const { return bytes_; }

  [[nodiscard]] bool empty() const { return bytes_ == 0; }

  /// The next bytes to write, at most `bytes_max`: where they lie if that is one piece, else joined
  /// in `scratch`. Nothing only when empty. Valid until the queue or `scratch` changes.
  std::string_view front(std::string& scratch, std::size_t bytes_max) const;
  void consume(std::size_t bytes);
  void clear();
  /// For a connection that has been silent.
  void release_spare();

 private:
  struct Chunk {
    std::string own;                            // first
    std::shared_ptr<const std::string> shared;  // then

    [[nodiscard]] std::size_t size() const { return own.size() + (shared ? shared->size() : 0); }
  };

  std::vector<Chunk> chunks_;
  std::size_t head_ = 0;    // index of the first unfinished chunk
  std::size_t offset_ = 0;  // bytes of it that are gone
  std::size_t bytes_ = 0;
};

}  // namespace nostril::net
