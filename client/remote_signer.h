#pragma once

#include "base/clock.h"
#include "base/result.h"
#include "base/rng.h"
#include "client/relay_pool.h"
#include "events/event.h"
#include "net/loop.h"
#include "schnorr/keys.h"
#include "schnorr/nip44.h"
#include "schnorr/secret_text.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::client {

/// "bunker://KEY?relay=wss://…&secret=…" (NIP-46): where a remote signer is.
struct BunkerUrl {
  static constexpr std::size_t kRelaysMax = 8;

  PublicKey signer;
  std::vector<std::string> relays;  ///< at least one
  SecretText secret;                ///< good for one connection; empty: none
};

[[nodiscard]] Result<BunkerUrl, std::string> parse_bunker_url(std::string_view url);

/// A signer that keeps a user's key elsewhere and is asked over relays (NIP-46): JSON requests in
/// NIP-44, kind 24133, between its key and one of ours. For commands: each call runs the loop until
/// the answer, or until its time is over. What it signs is checked to be what was asked for.
/// Errors are one line for the user. Threads: the loop's.
class RemoteSigner {
 public:
  /// Time for one answer, and for one that waits for a person (auth_url).
  static constexpr std::uint64_t kAnswerMsMax = 10'000;
  static constexpr std::uint64_t kPersonMsMax = 300'000;

  /// `own`: our key in these talks; the signer knows us by it. Throws std::runtime_error when
  /// `ca_file` can't be used or no relay can.
  RemoteSigner(const BunkerUrl& url, const Keypair& own, const std::string& ca_file,
               net::Loop& loop, Clock& clock, Rng& rng);
  ~RemoteSigner();
  RemoteSigner(const RemoteSigner&) = delete;
  RemoteSigner& operator=(const RemoteSigner&) = delete;

  /// Told the page where a person must agree; the call goes on waiting.
  void on_auth_url(std::function<void(const std::string& url)> callback) {
    auth_url_ = std::move(callback);
  }

  /// Once for a pair of keys, with the URL's secret.
  [[nodiscard]] Result<void, std::string> connect(std::string_view secret);
  /// Whose key it keeps.
  [[nodiscard]] Result<PublicKey, std::string> get_public_key();
  /// By `user`.
  [[nodiscard]] Result<Event, std::string> sign(const EventDraft& draft, const PublicKey& user);
  [[nodiscard]] Result<std::string, std::string> nip44_encrypt(const PublicKey& peer,
                                                               std::string_view text);
  [[nodiscard]] Result<std::string, std::string> nip44_decrypt(const PublicKey& peer,
                                                               std::string_view payload);

 private:
  struct Pending;

  Result<std::string, std::string> call(std::string_view method,
                                        const std::vector<std::string>& params);
  void send(const std::string& request);
  void on_event(const Event& event);

  PublicKey signer_;
  Keypair own_;
  ConversationKey key_;
  net::Loop& loop_;
  Clock& clock_;
  Rng& rng_;
  bool listening_ = false;
  std::unique_ptr<Pending> pending_;
  std::function<void(const std::string&)> auth_url_;
  RelayPool pool_;  // first to go: it calls what uses the rest
};

}  // namespace nostril::client
