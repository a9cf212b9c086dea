#include "net/out_queue.h"

#include "base/check.h"

#include <algorithm>
#include <utility>

namespace nostril::net {

namespace {
constexpr std::size_t kChunkBytesMax =
    64 << 10;  // then a new chunk: a growing string is copied each time it moves
constexpr std::size_t kChunksKept = 64;
// What an empty queue may keep for the next message: before, in and behind one shared text.
constexpr std::size_t kSpareChunks = 2;
constexpr std::size_t kSpareBytes = 256;
}  // namespace

std::string& OutQueue::tail() {
  if (chunks_.empty() || chunks_.back().shared || chunks_.back().own.size() >= kChunkBytesMax)
    chunks_.push_back({});
  return chunks_.back().own;
}

void OutQueue::append(std::string_view bytes) {
  if (bytes.empty()) return;
  tail().append(bytes);
  bytes_ += bytes.size();
}

void OutQueue::append_shared(std::shared_ptr<const std::string> bytes) {
  if (!bytes || bytes->empty()) return;
  bytes_ += bytes->size();
  if (chunks_.empty() || chunks_.back().shared) chunks_.push_back({});
  chunks_.back().shared = std::move(bytes);
}

std::string_view OutQueue::front(std::string& scratch, std::size_t bytes_max) const {
  std::string_view first;
  scratch.clear();
  std::size_t skip = offset_;
  for (std::size_t i = head_; i < chunks_.size(); ++i) {
    const Chunk& chunk = chunks_[i];
    const std::string_view parts[] = {
        chunk.own, chunk.shared ? std::string_view(*chunk.shared) : std::string_view{}};
    for (std::string_view part : parts) {
      const std::size_t skipped = std::min(skip, part.size());
      part.remove_prefix(skipped);
      skip -= skipped;
      if (part.empty()) continue;
      const std::size_t room = bytes_max - (first.empty() ? scratch.size() : first.size());
      part = part.substr(0, room);
      if (first.empty() && scratch.empty()) {
        first = part;
      } else {
        if (!first.empty()) scratch.assign(std::exchange(first, {}));
        scratch.append(part);
      }
      if (part.size() == room) return first.empty() ? std::string_view(scratch) : first;
    }
  }
  return first.empty() ? std::string_view(scratch) : first;
}

void OutQueue::consume(std::size_t bytes) {
  CHECK(bytes <= bytes_);
  bytes_ -= bytes;
  if (bytes_ == 0) {
    clear();
    return;
  }
  offset_ += bytes;
  while (offset_ >= chunks_[head_].size()) {
    offset_ -= chunks_[head_].size();
    chunks_[head_] = Chunk{};
    ++head_;
  }
  if (head_ > kChunksKept && head_ * 2 > chunks_.size()) {
    chunks_.erase(chunks_.begin(), chunks_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
}

void OutQueue::clear() {
  if (chunks_.empty() || chunks_.capacity() > kSpareChunks ||
      chunks_[0].own.capacity() > kSpareBytes) {
    std::vector<Chunk>().swap(chunks_);
  } else {
    chunks_.erase(chunks_.begin() + 1, chunks_.end());
    chunks_[0].own.clear();
    chunks_[0].shared.reset();
  }
  head_ = 0;
  offset_ = 0;
  bytes_ = 0;
}

void OutQueue::release_spare() {
  if (empty()) std::vector<Chunk>().swap(chunks_);
}

}  // namespace nostril::net
