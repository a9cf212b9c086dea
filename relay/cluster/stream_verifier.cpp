#include "relay/cluster/stream_verifier.h"

#include "base/check.h"
#include "base/thread_name.h"

#include <algorithm>
#include <utility>

namespace nostril::relay {

StreamVerifier::StreamVerifier(unsigned threads) {
  for (unsigned i = 0; i < std::max(threads, 1U); ++i) {
    threads_.emplace_back([this] {
      name_this_thread("stream verifier");
      run();
    });
  }
}

StreamVerifier::~StreamVerifier() {
  jobs_.close();
  (void)jobs_.take_all();  // nobody will ask about them
  for (auto& thread : threads_) thread.join();
}

void StreamVerifier::begin(std::uint64_t number, std::string_view body) {
  CHECK(waiting_.empty() || waiting_.back()->number < number);
  auto job = std::make_shared<Job>(number, body);
  if (jobs_.push(std::shared_ptr<Job>(job))) waiting_.push_back(std::move(job));
}

std::optional<std::optional<VerifiedEvent>> StreamVerifier::take(std::uint64_t number,
                                                                 std::string_view body) {
  while (!waiting_.empty() && waiting_.front()->number < number) waiting_.pop_front();
  if (waiting_.empty() || waiting_.front()->number != number) return std::nullopt;
  const std::shared_ptr<Job> job = std::move(waiting_.front());
  waiting_.pop_front();
  CHECK(job->body == body);
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return job->is_done; });
  return std::optional(std::move(job->event));
}

void StreamVerifier::run() {
  Verifier verifier;
  while (auto jobs = jobs_.wait_all(kBatchMax)) {
    std::vector<UnverifiedEvent> events;
    std::vector<std::size_t> of;  // which job's each is
    for (std::size_t i = 0; i < jobs->size(); ++i) {
      auto event = parse_event((*jobs)[i]->body, kStreamLimits);
      if (!event) continue;
      events.push_back(std::move(*event));
      of.push_back(i);
    }
    auto verified = VerifiedEvent::verify_all(events, verifier);
    CHECK(verified.size() == of.size());
    {
      const std::lock_guard lock(mutex_);
      for (std::size_t i = 0; i < of.size(); ++i) (*jobs)[of[i]]->event = std::move(verified[i]);
      for (const auto& job : *jobs) job->is_done = true;
    }
    done_.notify_one();
  }
}

}  // namespace nostril::relay
