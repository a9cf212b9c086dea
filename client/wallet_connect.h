#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/relay_pool.h"
#include "net/loop.h"
#include "schnorr/nip44.h"
#include "settlement/lightning/nwc.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace nostril::client {

/// The connection of wallet connect in a file that only its owner may read: one line. The error is
/// a line for the user and holds nothing of it.
[[nodiscard]] Result<settlement::lightning::WalletUri, std::string> read_wallet_uri(
    const std::filesystem::path& file);

/// How a question to the wallet ended.
struct WalletReply {
  std::optional<settlement::lightning::WalletAnswer> answer;
  std::optional<settlement::lightning::WalletError> error;  ///< the service's own no
  /// Without answer and error: nothing is known of what the service did, but where `sent` is false.
  std::string problem;
  bool sent = true;
};

/// A NIP-47 client: asks one wallet service over the relays of its connection. Questions wait until
/// the service's own description is here; NIP-44 only. A question that was sent and not answered in
/// time may have been acted on: a payment is looked up then (settlement/lightning/payment.h).
/// Threads: the loop's only. Destroying it calls nothing back.
class WalletConnect {
 public:
  static constexpr std::size_t kQuestionsMax = 64;
  static constexpr std::int64_t kAnswerMsMax = 15'000;
  static constexpr std::int64_t kPayMsMax = 60'000;

  WalletConnect(net::Loop& loop, Clock& clock, Rng& rng, settlement::lightning::WalletUri uri,
                const std::string& ca_file);
  ~WalletConnect();
  WalletConnect(const WalletConnect&) = delete;
  WalletConnect& operator=(const WalletConnect&) = delete;

  using Callback = std::function<void(const WalletReply&)>;

  /// `done` comes once, later. `expires_at`: seconds since 1970, from when on the request must not
  /// leave and the wallet must not act on it; none: a minute from now.
  void ask(settlement::lightning::WalletRequest request, Callback done,
           std::optional<std::int64_t> expires_at = std::nullopt);

  /// What the service says of itself; nothing yet, or not reached.
  [[nodiscard]] const std::optional<settlement::lightning::WalletService>& service() const {
    return service_;
  }

  /// What the service tells by itself, where it does.
  void on_news(std::function<void(const settlement::lightning::WalletNotification&)> callback) {
    on_news_ = std::move(callback);
  }

 private:
  struct Question {
    settlement::lightning::WalletRequest request;
    Callback done;
    std::int64_t deadline_ms = 0;
    std::int64_t expires_at = 0;
    bool sent = false;
  };

  void subscribe();
  void on_service(const Event& event);
  void on_event(const Event& event);
  void send_waiting();
  void send(std::uint64_t number, Question& question);
  void end(std::uint64_t number, const WalletReply& reply);
  void check_deadlines();

  net::Loop& loop_;
  Clock& clock_;
  Rng& rng_;
  const settlement::lightning::WalletUri uri_;
  const std::optional<ConversationKey> key_;
  RelayPool pool_;
  std::optional<settlement::lightning::WalletService> service_;
  std::int64_t service_at_ = 0;
  bool subscribed_ = false;
  std::uint64_t next_ = 1;
  std::map<std::uint64_t, Question> questions_;
  std::map<EventId, std::uint64_t> by_event_;
  std::function<void(const settlement::lightning::WalletNotification&)> on_news_;
  net::TimerId timer_ = net::TimerId::None;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace nostril::client
