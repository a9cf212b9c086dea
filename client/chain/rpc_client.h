#pragma once

#include "base/json.h"
#include "base/result.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "settlement/evm/rpc.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::client::chain {

struct RpcSettings {
  std::vector<std::string> urls;  ///< https, or http on loopback; may hold a secret: never shown
  std::size_t agree = 0;          ///< endpoints that must say the same; 0: more than half of them
  std::string ca_file;            ///< PEM roots; empty: the system's
  std::uint64_t ms_max = 15'000;  ///< for one call, all endpoints at once
};

struct RpcFailure {
  enum class Kind : std::uint8_t {
    Unreachable,  ///< too few endpoints gave an answer to the call
    Refused,      ///< they understood and said no
    Disagree,     ///< they say different things: one of them lies, or is on another branch
    Stopped,
  };

  Kind kind = Kind::Unreachable;
  std::string text;  ///< for the operator, without secrets
};

template <typename T>
using RpcResult = Result<T, RpcFailure>;

/// Calls of several Ethereum endpoints at a time, waited for. What counts is what enough of them
/// say alike and none says otherwise.
/// Threads: one, which must not be inside another loop's run(); stop() from any.
class RpcClient {
 public:
  /// A line for the operator when the settings can't be used.
  [[nodiscard]] static std::optional<std::string> problem(const RpcSettings& settings);

  explicit RpcClient(RpcSettings settings);

  using Answer = Result<Json, settlement::evm::RpcRefusal>;
  /// One answer an endpoint, in the order of the settings. `params`: JSON text of an array.
  [[nodiscard]] std::vector<Answer> ask_all(std::string_view method, const std::string& params);

  /// The one thing that the endpoints say. `parse` gives nothing for what can't be an answer.
  template <typename T>
  [[nodiscard]] RpcResult<T> ask(std::string_view method, const std::string& params,
                                 const std::function<std::optional<T>(const Json&)>& parse) {
    const std::vector<Answer> answers = ask_all(method, params);
    std::optional<T> said;
    std::size_t alike = 0;
    for (const Answer& answer : answers) {
      const auto value = answer ? parse(*answer) : std::nullopt;
      if (!value) continue;
      if (said && !(*said == *value)) return failure(disagreement(method));
      said = value;
      ++alike;
    }
    if (alike < agree_) return failure(too_few(method, answers));
    return std::move(*said);
  }

  /// What each endpoint says, of those whose answer can be read; agree() of them at least.
  template <typename T>
  [[nodiscard]] RpcResult<std::vector<T>> ask_each(
      std::string_view method, const std::string& params,
      const std::function<std::optional<T>(const Json&)>& parse) {
    const std::vector<Answer> answers = ask_all(method, params);
    std::vector<T> out;
    for (const Answer& answer : answers) {
      if (auto value = answer ? parse(*answer) : std::nullopt) out.push_back(std::move(*value));
    }
    if (out.size() < agree_) return failure(too_few(method, answers));
    return out;
  }

  [[nodiscard]] std::size_t agree() const { return agree_; }

  /// Waits, unless stop() is called.
  void pause(std::uint64_t ms);

  /// Lets the call under way and all later ones fail at once.
  void stop();

  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  class Round;

  [[nodiscard]] RpcFailure disagreement(std::string_view method) const;
  [[nodiscard]] RpcFailure too_few(std::string_view method,
                                   const std::vector<Answer>& answers) const;

  const RpcSettings settings_;
  const std::size_t agree_;
  net::Loop loop_;
  net::HttpClient http_;
  std::uint64_t next_id_ = 1;
  std::atomic<bool> stopped_ = false;
};

/// Scheme, host and port: what of an endpoint's address may be shown.
[[nodiscard]] std::string shown_endpoint(std::string_view url);

}  // namespace nostril::client::chain
