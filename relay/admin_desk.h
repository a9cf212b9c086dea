#pragma once

#include "base/clock.h"
#include "base/log_limit.h"
#include "base/mailbox.h"
#include "base/metrics.h"
#include "events/nip98.h"
#include "net/http.h"
#include "relay/admin_rules.h"
#include "relay/management.h"
#include "relay/membership.h"
#include "relay/moderation.h"
#include "relay/used_requests.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <variant>

namespace nostril::relay {

/// A NIP-86 request as it came, and where its answer goes.
struct AdminRequest {
  std::string authorization;  ///< the header's value
  std::string body;
  /// Called on the desk's thread; must be quick.
  std::function<void(net::HttpResponse&&)> reply;
};

/// A request of NIP-43, of somebody who has authenticated.
struct MemberRequest {
  UnverifiedEvent event;
  /// As OK says it. Called on the desk's thread; must be quick.
  std::function<void(bool accepted, std::string text)> reply;
};

/// The thread that manages: it takes requests one by one, looks who signed them (NIP-98: the
/// relay's URL, this body, this minute, for one change), and calls Management. What waits for the
/// disk here holds up no connection. Threads: submit() and the counters from any; stop() from one.
class AdminDesk {
 public:
  static constexpr std::size_t kQueueMax = 32;  ///< requests that wait; 64 KiB each at most

  /// `membership`: nothing, or as long as this. `used`: the desk's alone.
  AdminDesk(Moderation& moderation, const Membership* membership, ManagedRelay& relay,
            UsedRequests& used, const Clock& clock);
  ~AdminDesk();
  AdminDesk(const AdminDesk&) = delete;
  AdminDesk& operator=(const AdminDesk&) = delete;
  AdminDesk(AdminDesk&&) = delete;
  AdminDesk& operator=(AdminDesk&&) = delete;

  /// Whether a request is meant for the desk: POST of application/nostr+json+rpc.
  [[nodiscard]] static bool is_management(const net::HttpRequest& request);

  /// False: too many wait.
  [[nodiscard]] bool submit(AdminRequest&& request) { return queue_.push(std::move(request)); }

  [[nodiscard]] bool submit(MemberRequest&& request) { return queue_.push(std::move(request)); }

  /// Answers what waits, then ends the thread.
  void stop();

  [[nodiscard]] const Management& management() const { return management_; }

  [[nodiscard]] std::uint64_t unauthorised() const { return unauthorised_.read(); }

 private:
  void run();

  void take(AdminRequest&& request) { request.reply(answer(request)); }

  void take(MemberRequest&& request);
  net::HttpResponse answer(const AdminRequest& request);
  [[nodiscard]] Result<PublicKey, net::HttpResponse> caller_of(const AdminRequest& request);
  /// Why the token can't be used: it was, or that can't be known.
  [[nodiscard]] Result<void, net::HttpResponse> use_up(const Nip98Token& token, std::int64_t now_s);

  Moderation& moderation_;
  const Membership* const membership_;
  ManagedRelay& relay_;
  const Clock& clock_;
  Management management_;
  Counter unauthorised_;
  // Owned by the thread.
  Verifier verifier_{0};
  UsedRequests& used_;
  const std::int64_t began_after_s_;  ///< what was made up to then may have been used before
  Nip98Replays replays_;
  LogLimit refusal_lines_;
  Mailbox<std::variant<AdminRequest, MemberRequest>> queue_{kQueueMax};
  std::thread thread_;  // last: it uses all of the above
};

/// The answer to a request that the desk has no place for.
[[nodiscard]] net::HttpResponse admin_is_busy();

}  // namespace nostril::relay
