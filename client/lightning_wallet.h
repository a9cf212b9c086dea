#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "client/inference_client.h"
#include "client/journal.h"
#include "client/lightning_payer.h"
#include "client/offer_book.h"
#include "net/loop.h"
#include "schnorr/keys.h"
#include "settlement/lightning/desk.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace nostril::client {

/// A payer's deposits with nodes, over his own wallet service: what `nostril wallet lightning`
/// does. A payment is on the disk before the wallet is asked, so a command that was killed may be
/// given again: it ends what was begun and pays nothing twice.
/// Errors are one line for the user. Threads: one; each call runs the loop until it is done, two
/// minutes at most.
class LightningWallet {
 public:
  using Payment = settlement::lightning::Payment;

  LightningWallet(settlement::lightning::WalletUri uri, const std::string& ca_file,
                  const std::filesystem::path& home, Journal& journal, net::Loop& loop,
                  Clock& clock, Rng& rng);

  [[nodiscard]] const LightningBook& book() const { return payer_.book(); }

  /// Of the wallet service, msat.
  [[nodiscard]] Result<settlement::lightning::Msat, std::string> balance();

  using SharedOffer = std::shared_ptr<const VerifiedOffer>;

  /// Pays `amount` in advance to the node of that offer, into the signer's channel with it.
  /// `most`: that the node may hold in all.
  [[nodiscard]] Result<Payment, std::string> deposit(InferenceClient& client,
                                                     const SharedOffer& offer,
                                                     const Keypair& signer,
                                                     settlement::lightning::Msat amount,
                                                     settlement::lightning::Msat most);

  /// Takes back what is left of the deposits.
  [[nodiscard]] Result<Payment, std::string> refund(InferenceClient& client,
                                                    const SharedOffer& offer,
                                                    const Keypair& signer);

  /// What the channel's receipts of this home have come to.
  [[nodiscard]] static Amount spent(Journal& journal, const ChannelId& channel);

 private:
  using Terms = settlement::ChannelTerms;

  [[nodiscard]] std::optional<Terms> channel_of(const Offer& offer, const PublicKey& signer) const;
  [[nodiscard]] Result<Terms, std::string> make_channel(const Offer& offer,
                                                        const PublicKey& signer);
  [[nodiscard]] Result<settlement::lightning::DeskState, std::string> ask_desk(
      InferenceClient& client, const SharedOffer& offer,
      const settlement::lightning::DeskWish& wish);
  [[nodiscard]] WalletReply ask_wallet(settlement::lightning::WalletRequest request);
  [[nodiscard]] Result<void, std::string> keep(const Payment& payment);
  [[nodiscard]] const Payment* waiting(const ChannelId& channel, bool outgoing) const;
  /// Begins something, and runs the loop until it has called back.
  template <typename T>
  [[nodiscard]] T wait_for(const std::function<void(std::function<void(const T&)>)>& begin);

  Journal& journal_;
  net::Loop& loop_;
  Clock& clock_;
  Rng& rng_;
  LightningPayer payer_;
};

}  // namespace nostril::client
