#pragma once

#include "base/mailbox.h"
#include "events/event.h"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace nostril::relay {

/// What any relay of the cluster may have been told to take: what one has acknowledged no other may
/// refuse.
inline constexpr EventLimits kStreamLimits = {.json_bytes_max = 8U << 20,
                                              .tags_max = 100'000,
                                              .tag_elements_max = 8U << 20,
                                              .tag_element_bytes_max = 8U << 20,
                                              .content_bytes_max = 8U << 20};

/// Checks the signatures of the stream's events ahead of their turn, where the stream is not
/// trusted (ClusterOptions::trusts_stream): on threads of its own, while those before them are
/// applied. What comes out is asked for in the order of the stream.
///
/// Threads: all members from one. Bounds: kWaitingMax messages, of those that the bus has not been
/// told to be done with (BusOptions::unread_bytes_max): a copy and the event of each.
class StreamVerifier {
 public:
  static constexpr std::size_t kWaitingMax = 1'024;
  static constexpr std::size_t kBatchMax = 16;

  explicit StreamVerifier(unsigned threads);
  ~StreamVerifier();
  StreamVerifier(const StreamVerifier&) = delete;
  StreamVerifier& operator=(const StreamVerifier&) = delete;
  StreamVerifier(StreamVerifier&&) = delete;
  StreamVerifier& operator=(StreamVerifier&&) = delete;

  [[nodiscard]] bool has_room() const { return waiting_.size() < kWaitingMax; }

  /// While there is room. `number`: larger than all before.
  void begin(std::uint64_t number, std::string_view body);

  /// Its event, or nothing when it is none or its signature is wrong. Waits until that is known.
  /// Nothing at all: this message was not begun with. Each is asked about once, in their order;
  /// what was begun before it and not asked about is forgotten.
  [[nodiscard]] std::optional<std::optional<VerifiedEvent>> take(std::uint64_t number,
                                                                 std::string_view body);

 private:
  struct Job {
    Job(std::uint64_t its_number, std::string_view text) : number(its_number), body(text) {}

    const std::uint64_t number;
    const std::string body;
    // Guarded by mutex_, until it is done.
    bool is_done = false;
    std::optional<VerifiedEvent> event;
  };

  void run();

  Mailbox<std::shared_ptr<Job>> jobs_{2 * kWaitingMax};  // some of them forgotten
  std::deque<std::shared_ptr<Job>> waiting_;             // the caller's: by number
  std::mutex mutex_;
  std::condition_variable done_;
  std::vector<std::thread> threads_;  // last
};

}  // namespace nostril::relay
