#include "client/gateway/access.h"

#include "base/json.h"
#include "base/log.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>

namespace nostril::client {

namespace {

constexpr std::string_view kBearer = "Bearer ";

/// Without the port.
std::string_view host_of(std::string_view authority) {
  const std::size_t end = authority.starts_with('[')
                              ? authority.find(']') + 1
                              : std::min(authority.find(':'), authority.size());
  return authority.substr(0, end);
}

ApiError unauthorized(std::string message) {
  return {.status = 401, .type = "invalid_api_key", .message = std::move(message)};
}

std::optional<std::string_view> key_in(const net::HttpHeaders& headers) {
  if (const auto bearer = headers.find("Authorization"); bearer && bearer->starts_with(kBearer)) {
    return bearer->substr(kBearer.size());
  }
  return headers.find("x-api-key");
}

void write_spending(JsonWriter& w, std::string_view name, const ApiSpending& spent,
                    std::uint64_t tokens_max, std::uint64_t amount_max) {
  const auto number = [&w](std::string_view key, std::uint64_t value) {
    w.key(key).integer(static_cast<std::int64_t>(
        std::min<std::uint64_t>(value, std::numeric_limits<std::int64_t>::max())));
  };
  w.key(name).begin_object();
  number("tokens", spent.tokens);
  number("amount", spent.amount);
  if (tokens_max > 0) number("tokens_max", tokens_max);
  if (amount_max > 0) number("amount_max", amount_max);
  w.end_object();
}

}  // namespace

Access::Access(AccessSettings settings, Journal& journal, Clock& clock)
    : settings_(std::move(settings)), journal_(journal), clock_(clock), keys_(settings_.keys_file) {
  if (auto keys = read_api_keys(settings_.keys_file); !keys) {
    throw std::runtime_error(keys.error());
  }
  keys_.refresh(clock_.monotonic_ms());
  if (settings_.keys_required && keys_.keys().empty()) {
    throw std::runtime_error(
        "who listens beyond this machine gives out keys first: nostril keys add NAME");
  }
  journal_.scan(JournalTable::ApiUsage, {}, [this](ByteSpan key, ByteSpan value) {
    const auto caller = Digest::from(key);
    const auto usage = decode_usage(value);
    if (caller && usage) budgets_.restore(*caller, *usage);
    return true;
  });
}

bool Access::is_known(std::string_view authority) const {
  constexpr std::array<std::string_view, 3> kLoopback = {"localhost", "127.0.0.1", "[::1]"};
  const std::string_view host = host_of(authority);
  return std::ranges::find(kLoopback, host) != kLoopback.end() ||
         std::ranges::find(settings_.hosts, host) != settings_.hosts.end();
}

bool Access::from_here(const net::HttpHeaders& headers) const {
  if (!is_known(headers.find("Host").value_or(""))) return false;
  const auto origin = headers.find("Origin");
  if (!origin) return true;
  const std::size_t scheme_end = origin->find("://");
  return scheme_end != std::string_view::npos && is_known(origin->substr(scheme_end + 3));
}

Result<Caller, ApiError> Access::admit(const net::HttpHeaders& headers) {
  keys_.refresh(clock_.monotonic_ms());
  if (keys_.keys().empty() && !settings_.keys_required) return Caller{};
  const auto key = key_in(headers);
  if (!key) return failure(unauthorized("this gateway asks for a key: Authorization: Bearer …"));
  const ApiKey* found = find_api_key(keys_.keys(), *key);
  if (found == nullptr) return failure(unauthorized("nobody has this key"));
  return Caller{found->caller_id(), found->name, found->budget};
}

Result<void, ApiError> Access::reserve(const Caller& caller, const ApiSpending& most) {
  if (caller.id.is_zero()) return {};
  const auto refusal = budgets_.reserve(caller.id, caller.budget, most, clock_.unix_s());
  if (!refusal) return {};
  // Final for SDKs: a 429 would be sent again.
  return failure(ApiError{.status = 402,
                          .type = "insufficient_quota",
                          .message = *refusal == BudgetRefusal::TooLarge
                                         ? "more than the key's whole budget; ask for fewer tokens"
                                         : "the key's budget is used up"});
}

void Access::release(const Caller& caller, const ApiSpending& most) {
  if (!caller.id.is_zero()) budgets_.release(caller.id, most);
}

void Access::charge(const Caller& caller, const ApiSpending& real) {
  if (caller.id.is_zero()) return;
  const ApiUsage usage = budgets_.charge(caller.id, real, clock_.unix_s());
  const bool queued = journal_.commit({put_usage(caller.id, usage)}, [](bool stored) {
    if (!stored) log(LogLevel::Error, "the use of a key could not be stored");
  });
  if (!queued) log(LogLevel::Error, "the use of a key could not be stored");
}

std::string Access::usage_of(const Caller& caller) const {
  const ApiUsage usage = budgets_.usage(caller.id, clock_.unix_s());
  JsonWriter w;
  w.begin_object().key("name").string(caller.name);
  write_spending(w, "today", usage.today, caller.budget.tokens_per_day,
                 caller.budget.amount_per_day);
  write_spending(w, "total", usage.total, caller.budget.tokens, caller.budget.amount);
  w.end_object();
  return std::move(w).take();
}

}  // namespace nostril::client
