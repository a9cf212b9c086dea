#include "relay/cluster/bus.h"

#include <stdexcept>

// Instead of bus.cpp, where libnats is not installed: there is no Bus then. Its members are as the
// header says, whatever they could be here.
// NOLINTBEGIN(readability-make-member-function-const,performance-unnecessary-value-param)
// NOLINTBEGIN(readability-convert-member-functions-to-static)

namespace nostril::relay {

struct Bus::Impl {};

bool Bus::is_built_in() {
  return false;
}

std::string_view to_string(BusState) {
  return "absent";
}

Bus::Bus(const BusOptions& /*options*/, BusHandler* /*handler*/) {
  throw std::runtime_error("this program was built without libnats");
}

Bus::~Bus() = default;

void Bus::stop() {}

BusState Bus::state() const {
  return BusState::Away;
}

bool Bus::is_connected() const {
  return false;
}

bool Bus::wait_connected(std::int64_t /*wait_ms*/) const {
  return false;
}

std::optional<StreamInfo> Bus::info() const {
  return std::nullopt;
}

std::string Bus::problem() const {
  return "built without libnats";
}

std::uint64_t Bus::reconnects() const {
  return 0;
}

std::uint64_t Bus::consumers_made() const {
  return 0;
}

Bus::Sent Bus::publish(const std::string& /*subject*/, const std::string& /*message_id*/,
                       std::string_view /*body*/, std::uint64_t /*token*/) {
  return Sent::NotConnected;
}

std::uint64_t Bus::read_stream(const StreamIdentity& /*of*/, std::uint64_t /*from_sequence*/) {
  return 0;
}

void Bus::stop_reading() {}

void Bus::confirm(std::uint64_t /*reading*/, std::size_t /*cost_bytes*/) {}

Bus::SubscriptionId Bus::subscribe(const std::string& /*subject*/, MessageHandler /*handler*/) {
  return {};
}

void Bus::unsubscribe(SubscriptionId /*id*/) {}

bool Bus::send(const std::string& /*subject*/, std::string_view /*body*/,
               const std::string& /*reply*/) {
  return false;
}

Result<std::string, std::string> Bus::request(const std::string& /*subject*/,
                                              std::string_view /*body*/, std::int64_t /*wait_ms*/) {
  return failure(problem());
}

std::vector<std::string> Bus::request_all(const std::string& /*subject*/, std::string_view /*body*/,
                                          std::int64_t /*wait_ms*/, std::size_t /*count_max*/) {
  return {};
}

std::string Bus::new_inbox() {
  return {};
}

}  // namespace nostril::relay

// NOLINTEND(readability-convert-member-functions-to-static)
// NOLINTEND(readability-make-member-function-const,performance-unnecessary-value-param)
