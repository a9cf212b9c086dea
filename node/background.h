#pragma once

#include "base/mailbox.h"
#include "net/loop.h"

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

namespace nostril::node {

/// One thread for what waits: a quote of the machine, collateral from a service, hashing weights.
/// The loop goes on serving meanwhile.
/// Threads: run() and destruction on the loop's. Destruction waits for the work that runs.
class Background {
 public:
  explicit Background(net::Loop& loop);
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  /// Runs `work` on the thread, one at a time in their order, then `done` on the loop's; not after
  /// destruction. False: more than kWaitingMax wait.
  [[nodiscard]] bool run(std::function<void()> work, std::function<void()> done);

 private:
  static constexpr std::size_t kWaitingMax = 16;

  struct Job {
    std::function<void()> work;
    std::function<void()> done;
  };

  struct Alive {};

  void work_loop();

  net::Loop& loop_;
  Mailbox<Job> jobs_;
  std::atomic<bool> closing_ = false;
  std::shared_ptr<Alive> alive_ = std::make_shared<Alive>();
  std::thread thread_;
};

}  // namespace nostril::node
