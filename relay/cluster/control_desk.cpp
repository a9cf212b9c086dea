#include "relay/cluster/control_desk.h"

#include "base/log.h"

#include <utility>

namespace nostril::relay {

ControlDesk::ControlDesk(Bus& bus, const ClusterSubjects& subjects, ControlHandlers handlers)
    : bus_(bus), subjects_(subjects), handlers_(std::move(handlers)) {}

ControlDesk::~ControlDesk() {
  stop();
}

void ControlDesk::start() {
  thread_ = std::thread([this] { run(); });
  const auto take = [this](BusMessage&& message) { (void)queue_.push(std::move(message)); };
  subscriptions_.push_back(bus_.subscribe(subjects_.control(), take));
  subscriptions_.push_back(bus_.subscribe(subjects_.control_all(), take));
}

void ControlDesk::stop() {
  for (const auto& subscription : std::exchange(subscriptions_, {})) {
    bus_.unsubscribe(subscription);
  }
  queue_.close();
  if (thread_.joinable()) thread_.join();
}

void ControlDesk::run() {
  while (auto messages = queue_.wait_all()) {
    for (const BusMessage& message : *messages) answer(message);
  }
}

void ControlDesk::answer(const BusMessage& message) {
  requests_.add();
  const auto request = parse_control_request(message.body);
  if (!request) malformed_.add();
  if (message.reply.empty()) return;
  const bool is_for_all = message.subject == subjects_.control_all();
  // Of a request to all one answer is enough that says it can't be read; nobody needs to give it.
  if (!request && is_for_all) return;
  const ControlReply reply =
      request ? answer_to(request->action, is_for_all)
              : ControlReply{subjects_.relay(),
                             failure("the request: " + std::string(to_string(request.error())))};
  (void)bus_.send(message.reply, to_json(reply));
}

ControlReply ControlDesk::answer_to(ControlAction action, bool is_for_all) {
  ControlReply out{subjects_.relay(), failure(std::string("name the relay that is to do this"))};
  Result<void, std::string> done;
  if (action != ControlAction::Status) {
    if (is_for_all) return out;
    log(LogLevel::Warning, "cluster: asked to {}", public_text(name_of(action)));
    done = action == ControlAction::Drain ? handlers_.drain() : handlers_.resnapshot();
  }
  if (done) {
    out.outcome = handlers_.status();
  } else {
    out.outcome = failure(std::move(done.error()));
  }
  return out;
}

}  // namespace nostril::relay
