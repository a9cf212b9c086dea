#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

namespace nostril::relay {

/// Whether the relay takes clients: one that is part of a cluster may have to wait with that.
/// Threads: any.
class ServiceGate {
 public:
  enum class State : std::uint8_t {
    Open,
    CatchingUp,  ///< it does not have yet what the cluster has acknowledged
    Draining,    ///< it is about to stop; what is under way goes on
    Stuck,       ///< it can't serve until somebody looks after it: see the log
  };

  void set(State state) { state_.store(state); }

  [[nodiscard]] State state() const { return state_.load(); }

  [[nodiscard]] bool is_open() const { return state() == State::Open; }

 private:
  std::atomic<State> state_{State::Open};
};

/// As /health says it.
[[nodiscard]] constexpr std::string_view to_string(ServiceGate::State state) {
  switch (state) {
    case ServiceGate::State::Open:
      return "ok";
    case ServiceGate::State::CatchingUp:
      return "catching up with the cluster";
    case ServiceGate::State::Draining:
      return "draining";
    case ServiceGate::State::Stuck:
      return "stuck";
  }
  return "?";
}

}  // namespace nostril::relay
