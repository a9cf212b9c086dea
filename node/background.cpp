#include "node/background.h"

#include <utility>

namespace nostril::node {

Background::Background(net::Loop& loop) : loop_(loop), jobs_(kWaitingMax) {
  thread_ = std::thread([this] { work_loop(); });
}

Background::~Background() {
  closing_ = true;
  jobs_.close();
  thread_.join();
}

bool Background::run(std::function<void()> work, std::function<void()> done) {
  return jobs_.push(Job{std::move(work), std::move(done)});
}

void Background::work_loop() {
  while (auto jobs = jobs_.wait_all()) {
    for (Job& job : *jobs) {
      if (!closing_) job.work();
      // What the job holds is let go on the loop's thread, where it was made.
      const auto held = std::make_shared<Job>(std::move(job));
      const auto report = [alive = std::weak_ptr<Alive>(alive_), held] {
        Job mine = std::exchange(*held, {});
        if (!alive.expired() && mine.done) mine.done();
      };
      while (!loop_.post(report) && !closing_) std::this_thread::yield();
    }
  }
}

}  // namespace nostril::node
