#pragma once

#include "base/clock.h"
#include "base/result.h"
#include "client/api_budget.h"
#include "client/api_keys.h"
#include "client/gateway/protocol.h"
#include "client/journal.h"
#include "net/http.h"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::client {

struct AccessSettings {
  std::filesystem::path keys_file;  ///< api_keys.h; no file, or none in it: no key is asked for
  /// Names and addresses besides those of the loopback, under which the gateway may be called.
  std::vector<std::string> hosts;
  bool keys_required = false;  ///< reachable from elsewhere: without a key nobody is served
};

/// Who asks, when keys are given out; else nobody in particular.
struct Caller {
  Digest id;  ///< zero: nobody in particular
  std::string name = {};
  ApiBudget budget = {};
};

/// Who may use the gateway, and how much: names in Host and Origin, keys, budgets. What a request
/// may come to is reserved before it is sent, and what its record states is charged, durably, under
/// the key. Threads: the loop's only.
class Access {
 public:
  /// Throws std::runtime_error when the keys can't be read, or are needed and there are none.
  Access(AccessSettings settings, Journal& journal, Clock& clock);

  /// Host is this machine (against names that are rebound to it), and Origin, where there is one,
  /// a page of this machine or of an allowed host.
  [[nodiscard]] bool from_here(const net::HttpHeaders& headers) const;

  /// `Authorization: Bearer …` or `x-api-key`.
  [[nodiscard]] Result<Caller, ApiError> admit(const net::HttpHeaders& headers);

  /// 402 when the budget does not cover it.
  [[nodiscard]] Result<void, ApiError> reserve(const Caller& caller, const ApiSpending& most);
  /// Once for each reservation.
  void release(const Caller& caller, const ApiSpending& most);
  void charge(const Caller& caller, const ApiSpending& real);

  /// JSON: the caller's name, budget and use.
  [[nodiscard]] std::string usage_of(const Caller& caller) const;

 private:
  [[nodiscard]] bool is_known(std::string_view authority) const;

  const AccessSettings settings_;
  Journal& journal_;
  Clock& clock_;
  ApiKeyFile keys_;
  ApiBudgets budgets_;
};

}  // namespace nostril::client
