#include "client/client.h"

#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "client/chat.h"
#include "client/home.h"
#include "client/offers_json.h"
#include "client/saved_answer.h"
#include "events/nip19.h"

#include <condition_variable>
#include <csignal>
#include <exception>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>

namespace nostril::client {

namespace {

constexpr std::int64_t kLookMs = 20;
constexpr const char* kClosed = "the client was closed";
constexpr const char* kStopped = "the application stopped it";

/// Signals are for the application's threads: those that are made meanwhile take none.
class NoSignals {
 public:
  NoSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }

  ~NoSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  NoSignals(const NoSignals&) = delete;
  NoSignals& operator=(const NoSignals&) = delete;

 private:
  sigset_t before_{};
};

AnsweringNode answering_node(const VerifiedOffer& offer) {
  return {nip19::encode(nip19::Npub{offer.offer().node}), offer.offer().model, offer.verdict()};
}

std::string why_not(const QueryResult& result) {
  if (result.error && !result.error->message.empty()) return result.error->message;
  if (!result.detail.empty()) return result.detail;
  if (!result.record) return std::string(to_string(result.failure));
  return "the answer ended as " + std::string(to_string(result.record->status));
}

}  // namespace

/// Of one question. What waits for it and the client share it.
struct Asking::State {
  std::weak_ptr<Client::Impl> client;
  Question question;
  AnswerCallbacks callbacks;

  // The client's thread.
  AskId id = AskId::None;
  ChatWords words;
  Answer answer;
  std::string stopped;  ///< why we did

  /// The events that prove each node that was chosen, by the offer's id.
  struct Proof {
    SubscriptionId subscription = SubscriptionId::None;
    std::string offer;
    std::string attestation;
  };

  std::map<EventId, Proof> proofs;
  EventId answering;

  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Answer> ended;  // guarded by mutex

  void end() {
    {
      const std::lock_guard lock(mutex);
      ended = std::move(answer);
    }
    changed.notify_all();
  }
};

struct Client::Impl : std::enable_shared_from_this<Client::Impl> {
  using State = std::shared_ptr<Asking::State>;

  SystemClock clock;
  SystemRng rng;
  std::thread thread;

  std::mutex mutex;
  net::Loop* loop = nullptr;  // guarded by mutex; none before the start and after the end

  // The thread's own.
  ClientHome* home = nullptr;
  std::set<State> running;

  /// False when the client is closed or its queue is full.
  bool post(net::Loop::Task task) {
    const std::lock_guard lock(mutex);
    return loop != nullptr && loop->post(std::move(task));
  }

  [[nodiscard]] bool is_own_thread() const { return std::this_thread::get_id() == thread.get_id(); }

  /// Lets `start` run on the client's thread and waits for what it promises.
  template <typename T>
  T wait_for(std::function<void(std::shared_ptr<std::promise<T>>)> start) {
    if (is_own_thread()) throw InCallback();
    auto promise = std::make_shared<std::promise<T>>();
    auto future = promise->get_future();
    if (!post([start = std::move(start), promise = std::move(promise)] { start(promise); })) {
      throw std::runtime_error(kClosed);
    }
    try {
      return future.get();
    } catch (const std::future_error&) {  // nobody is left to keep the promise
      throw std::runtime_error(kClosed);
    }
  }

  void serve(const ClientSettings& settings, std::promise<void> ready) {
    std::unique_ptr<net::Loop> own_loop;
    std::unique_ptr<ClientHome> own_home;  // goes before its loop
    try {
      own_loop = std::make_unique<net::Loop>();
      own_home = std::make_unique<ClientHome>(settings, *own_loop, clock, rng);
    } catch (...) {
      ready.set_exception(std::current_exception());
      return;
    }
    home = own_home.get();
    {
      const std::lock_guard lock(mutex);
      loop = own_loop.get();
    }
    ready.set_value();
    own_loop->run();
    {
      const std::lock_guard lock(mutex);
      loop = nullptr;
    }
    home = nullptr;
    own_home.reset();
    for (const State& state : std::exchange(running, {})) {
      state->answer.failure = QueryFailure::NoAnswer;
      state->answer.detail = kClosed;
      state->end();
    }
  }

  void start(const State& state) {
    running.insert(state);
    const Question& question = state->question;
    AskCallbacks callbacks;
    callbacks.on_offer = [this, state](const VerifiedOffer& offer) { gather(state, offer); };
    callbacks.on_answering = [this, state](const VerifiedOffer& offer) {
      state->answering = offer.offer().id;
      state->answer.node = answering_node(offer);
      state->answer.request = with_model(state->question.body, offer.offer().model);
      if (state->callbacks.on_node && !state->callbacks.on_node(*state->answer.node)) {
        stop(state, kStopped);
      }
    };
    callbacks.on_head = [state](const ResponseHead& head) {
      state->answer.http_status = head.status;
    };
    callbacks.on_data = [this, state](ByteSpan bytes) { take(state, bytes); };
    callbacks.on_end = [this, state](const QueryResult& result) { finish(state, result); };
    AskChoice choice;
    choice.sticky = question.sticky;
    choice.hedge_ms = question.hedge_ms;
    state->id = home->asker().ask(question.model, question.path, question.body,
                                  std::move(callbacks), {.quiet = question.quiet}, choice);
  }

  /// The events behind an offer, while relays still have them: a newer one takes their place.
  void gather(const State& state, const VerifiedOffer& offer) const {
    const auto [entry, is_new] = state->proofs.try_emplace(offer.offer().id);
    if (!is_new) return;
    Filter filter;
    filter.ids = {offer.offer().id, offer.attestation_event()};
    filter.normalize();
    SubscriptionCallbacks callbacks;
    callbacks.on_event = [&proof = entry->second, id = entry->first](const VerifiedEvent& event) {
      (event->id == id ? proof.offer : proof.attestation) = to_json(event.event());
    };
    entry->second.subscription = home->pool().subscribe({filter}, std::move(callbacks));
  }

  void take(const State& state, ByteSpan bytes) {
    if (!state->stopped.empty()) return;
    const std::string_view text = as_text(bytes);
    std::string& response = state->answer.response;
    if (text.size() > state->question.response_bytes_max - response.size()) {
      stop(state, "the answer is longer than was allowed for");
      return;
    }
    response += text;
    bool go_on = !state->callbacks.on_bytes || state->callbacks.on_bytes(text);
    if (go_on && state->callbacks.on_words) {
      const std::string words = state->words.feed(bytes);
      go_on = words.empty() || state->callbacks.on_words(words);
    }
    if (!go_on) stop(state, kStopped);
  }

  void stop(const State& state, std::string why) {
    if (!state->stopped.empty() || !running.contains(state)) return;
    state->stopped = std::move(why);
    // In a later turn: this one may be inside the session.
    loop->after(0, [this, state] {
      if (running.contains(state)) home->asker().cancel(state->id, state->stopped);
    });
  }

  void finish(const State& state, const QueryResult& result) {
    Answer& answer = state->answer;
    answer.failure = result.failure;
    answer.verified = result.verified() && state->stopped.empty();
    if (!answer.verified) answer.detail = state->stopped.empty() ? why_not(result) : state->stopped;
    if (result.record_event) answer.record = to_json(*result.record_event);
    if (result.receipt) answer.receipt = to_json(*result.receipt);
    for (auto& [offer, proof] : state->proofs) {
      home->pool().unsubscribe(proof.subscription);
      if (offer != state->answering) continue;
      answer.offer = std::move(proof.offer);
      answer.attestation = std::move(proof.attestation);
    }
    running.erase(state);
    state->end();
  }
};

// ---- Answer, Asking
// ------------------------------------------------------------------------------

std::optional<std::string> Answer::to_json() const {
  if (record.empty()) return std::nullopt;
  SavedAnswer out{.record = record, .request = request, .response = response};
  if (!receipt.empty()) out.receipt = receipt;
  if (!offer.empty()) out.offer = offer;
  if (!offer.empty() && !attestation.empty()) out.attestation = attestation;
  return client::to_json(out);
}

Answer Asking::wait() const {
  if (const auto client = state_->client.lock(); client && client->is_own_thread()) {
    throw InCallback();
  }
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [this] { return state_->ended.has_value(); });
  return *state_->ended;
}

std::optional<Answer> Asking::wait_for(std::chrono::milliseconds time) const {
  if (const auto client = state_->client.lock(); client && client->is_own_thread()) {
    throw InCallback();
  }
  std::unique_lock lock(state_->mutex);
  state_->changed.wait_for(lock, time, [this] { return state_->ended.has_value(); });
  return state_->ended;
}

void Asking::cancel() const {
  const auto client = state_->client.lock();
  if (!client) return;
  client->post([client = client.get(), state = state_] { client->stop(state, kStopped); });
}

// ---- Client
// --------------------------------------------------------------------------------------

Client::Client(const ClientSettings& settings) : impl_(std::make_shared<Impl>()) {
  // A library says what it has to say by its results.
  set_log_level(LogLevel::Off);
  std::promise<void> ready;
  std::future<void> is_ready = ready.get_future();
  {
    const NoSignals quiet;
    impl_->thread = std::thread(&Impl::serve, impl_.get(), settings, std::move(ready));
  }
  try {
    is_ready.get();
  } catch (...) {
    impl_->thread.join();
    throw;
  }
}

Client::~Client() {
  CHECK(!impl_->is_own_thread());
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->loop != nullptr) impl_->loop->stop();
  }
  impl_->thread.join();
}

Asking Client::ask(Question question, AnswerCallbacks callbacks) {
  const auto body = Json::parse(question.body);
  if (!body || !body->is_object()) {
    throw std::invalid_argument("the body is no JSON object of 8 MiB at most");
  }
  auto state = std::make_shared<Asking::State>();
  state->client = impl_;
  state->question = std::move(question);
  state->callbacks = std::move(callbacks);
  if (!impl_->post([impl = impl_.get(), state] { impl->start(state); })) {
    state->answer.failure = QueryFailure::NoAnswer;
    state->answer.detail = "too many questions at once";
    state->end();
  }
  return Asking(std::move(state));
}

std::string Client::offers_json(std::int64_t wait_ms_max) {
  return impl_->wait_for<std::string>([impl = impl_.get(), wait_ms_max](auto promise) {
    const std::int64_t end_ms = impl->clock.monotonic_ms() + wait_ms_max;
    auto timer = std::make_shared<net::TimerId>();
    *timer = impl->loop->every(kLookMs, [impl, promise, timer, end_ms] {
      if (!impl->home->complete() && impl->clock.monotonic_ms() < end_ms) return;
      promise->set_value(client::offers_json(impl->home->offers()));
      impl->loop->cancel(*timer);
    });
  });
}

Published Client::publish(const Event& event) {
  return impl_->wait_for<Published>([impl = impl_.get(), event](auto promise) {
    const bool queued = impl->home->pool().publish(event, [promise](const PublishResult& result) {
      promise->set_value({result.accepted, result.refusals});
    });
    if (!queued) promise->set_value({false, {"too many events at once"}});
  });
}

std::vector<VerifiedEvent> Client::stored(Filter filter, std::int64_t wait_ms_max) {
  using Events = std::vector<VerifiedEvent>;

  struct Reading {
    std::shared_ptr<std::promise<Events>> promise;
    Events events;
    std::size_t relays_done = 0;
    SubscriptionId subscription = SubscriptionId::None;
    net::TimerId timer = net::TimerId::None;
    bool over = false;
  };

  return impl_->wait_for<Events>([impl = impl_.get(), filter = std::move(filter),
                                  wait_ms_max](auto promise) {
    auto reading = std::make_shared<Reading>();
    reading->promise = std::move(promise);
    const auto end = [impl, reading] {
      if (std::exchange(reading->over, true)) return;
      impl->loop->cancel(reading->timer);
      // In a later turn: this one may be the subscription's.
      impl->loop->after(0, [impl, reading] {
        impl->home->pool().unsubscribe(reading->subscription);
        reading->promise->set_value(std::move(reading->events));
      });
    };
    const auto relay_done = [impl, reading, end] {
      if (++reading->relays_done >= impl->home->pool().relay_count()) end();
    };
    SubscriptionCallbacks callbacks;
    callbacks.on_event = [reading, end](const VerifiedEvent& event) {
      if (reading->over) return;
      reading->events.push_back(event);
      if (reading->events.size() >= kEventsMax) end();
    };
    callbacks.on_stored_end = [relay_done](const std::string&) { relay_done(); };
    callbacks.on_closed = [relay_done](const std::string&, const std::string&) { relay_done(); };
    reading->timer =
        impl->loop->after(static_cast<std::uint64_t>(std::max<std::int64_t>(0, wait_ms_max)), end);
    reading->subscription = impl->home->pool().subscribe({filter}, std::move(callbacks));
    if (reading->subscription == SubscriptionId::None) end();
  });
}

std::vector<std::string> Client::relay_problems() {
  return impl_->wait_for<std::vector<std::string>>(
      [impl = impl_.get()](auto promise) { promise->set_value(impl->home->pool().problems()); });
}

}  // namespace nostril::client
