#pragma once

#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "client/inference_client.h"
#include "client/journal.h"
#include "client/lightning_book.h"
#include "client/offer_book.h"
#include "client/wallet_connect.h"
#include "net/loop.h"
#include "settlement/lightning/desk.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace nostril::client {

/// Pays deposits of a home over its wallet service, one at a time: what `nostril wallet lightning`
/// and automatic payment (auto_pay.h) share. A payment is on the disk before the wallet is asked;
/// one of the channel that was begun, by whomever, is ended before another is made.
/// HOME/lightning.lock keeps other processes of the home from paying meanwhile.
/// Errors are one line for the user. Threads: the loop's only. Destroying it calls nothing back.
class LightningPayer {
 public:
  using Payment = settlement::lightning::Payment;
  using Msat = settlement::lightning::Msat;
  using SharedOffer = std::shared_ptr<const VerifiedOffer>;
  using Done = std::function<void(const Result<Payment, std::string>&)>;

  LightningPayer(settlement::lightning::WalletUri uri, const std::string& ca_file,
                 const std::filesystem::path& home, Journal& journal, net::Loop& loop, Clock& clock,
                 Rng& rng);
  ~LightningPayer();
  LightningPayer(const LightningPayer&) = delete;
  LightningPayer& operator=(const LightningPayer&) = delete;

  [[nodiscard]] const LightningBook& book() const { return book_; }

  [[nodiscard]] WalletConnect& wallet() { return wallet_; }

  /// What to pay into which channel.
  struct Wish {
    SharedOffer offer;
    settlement::ChannelTerms terms;
    settlement::lightning::PaymentPurpose purpose = settlement::lightning::PaymentPurpose::Deposit;
    /// Asked once, when the book is known to be the disk's and nothing of the channel is begun.
    std::function<Result<Msat, std::string>(const LightningBook& book)> amount;
  };

  /// `done` comes once, later: with a settled payment that the node says it has, or why not.
  /// `client` asks the node's desk. One at a time: while busy() it is refused.
  void deposit(InferenceClient& client, Wish wish, Done done);

  [[nodiscard]] bool busy() const { return job_ != nullptr; }

  /// Takes the home's lock for the caller, so that no other process pays, and reads the book again.
  /// Not while busy(). The error is a line.
  [[nodiscard]] Result<FileLock, std::string> lock();

  using StateDone =
      std::function<void(const Result<settlement::lightning::DeskState, std::string>&)>;
  /// Asks the node's desk.
  void ask_desk(InferenceClient& client, const SharedOffer& offer,
                const settlement::lightning::DeskWish& wish, StateDone done);

  using Kept = std::function<void(bool on_disk)>;

  void keep(const Payment& payment, const Kept& done) { book_.put(payment, done); }

  /// Looks a payment up, and sends it again where it may be, until it is decided; two minutes at
  /// most. The book has it. Of one at a time.
  void watch(const Payment& payment, Done done);

 private:
  struct Job;
  using SharedJob = std::shared_ptr<Job>;

  void begin(const SharedJob& job);
  void on_invoice(const SharedJob& job, Msat amount,
                  const Result<settlement::lightning::DeskState, std::string>& state);
  void send(const SharedJob& job);
  void on_paid(const SharedJob& job, const WalletReply& reply);
  void look_up(const SharedJob& job);
  void on_lookup(const SharedJob& job, const WalletReply& reply);
  /// Keeps the job's payment, then goes on; or ends the job.
  void keep_then(const SharedJob& job, std::function<void()> next);
  void on_decided(const SharedJob& job);
  void wait_for_node(const SharedJob& job);
  void pause(std::function<void()> next);
  void fail(const SharedJob& job, std::string problem);
  void end(const SharedJob& job, const Result<Payment, std::string>& result);
  [[nodiscard]] const Payment* begun(const ChannelId& channel) const;

  const std::filesystem::path lock_file_;
  net::Loop& loop_;
  Clock& clock_;
  LightningBook book_;
  WalletConnect wallet_;
  SharedJob job_;
  net::TimerId timer_ = net::TimerId::None;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace nostril::client
