#pragma once

#include "base/result.h"
#include "events/event.h"
#include "schnorr/keys.h"
#include "settlement/lightning/bolt11.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// NIP-47, wallet connect, as texts: what a wallet service is asked and what it answers. Its
/// answers are bytes from outside: bounded and strict. The client that sends them:
/// client/wallet_connect.h. NIP-44 only: NIP-04 has no MAC, so whoever carries it could change an
/// invoice on the way.
namespace nostril::settlement::lightning {

inline constexpr std::uint32_t kWalletInfoKind = 13194;
inline constexpr std::uint32_t kWalletRequestKind = 23194;
inline constexpr std::uint32_t kWalletResponseKind = 23195;
inline constexpr std::uint32_t kWalletNotificationKind = 23197;  ///< NIP-44; 23196 is NIP-04's

/// nostr+walletconnect://<wallet key>?relay=<url>&secret=<hex>: leave to spend. Never printed.
struct WalletUri {
  PublicKey wallet;
  std::vector<std::string> relays;  ///< 1 to 8, ws:// or wss://
  Keypair client;
};

/// Both spellings of the scheme, each known parameter once but `relay`; others are ignored.
[[nodiscard]] std::optional<WalletUri> parse_wallet_uri(std::string_view text);

enum class WalletMethod : std::uint8_t {
  PayInvoice,
  MakeInvoice,
  LookupInvoice,
  ListTransactions,
  GetBalance,
  GetInfo,
  MakeHoldInvoice,
  SettleHoldInvoice,
  CancelHoldInvoice,
};
inline constexpr std::size_t kWalletMethodCount = 9;
std::string_view to_string(WalletMethod method);

/// What a service says of itself (13194).
struct WalletService {
  std::array<bool, kWalletMethodCount> methods{};
  bool nip44 = false;
  bool notifies_received = false;
  bool notifies_sent = false;
  bool notifies_hold = false;

  [[nodiscard]] bool has(WalletMethod method) const {
    return methods.at(static_cast<std::size_t>(method));
  }
};

[[nodiscard]] std::optional<WalletService> parse_wallet_service(const Event& event);

// ---- Requests -----------------------------------------------------------------------------------

struct PayInvoice {
  std::string invoice;
};

struct MakeInvoice {
  Msat amount = 0;
  std::string description;
  std::int64_t expiry_s = 0;
  std::optional<PaymentHash> hold = {};  ///< a hold invoice of that hash
};

struct LookupInvoice {
  PaymentHash payment_hash;
};

struct ListTransactions {
  std::int64_t from = 0;
  std::size_t limit = 0;
};

struct GetBalance {};

struct GetInfo {};

struct SettleHoldInvoice {
  Digest preimage;
};

struct CancelHoldInvoice {
  PaymentHash payment_hash;
};

using WalletRequest = std::variant<PayInvoice, MakeInvoice, LookupInvoice, ListTransactions,
                                   GetBalance, GetInfo, SettleHoldInvoice, CancelHoldInvoice>;

[[nodiscard]] WalletMethod method_of(const WalletRequest& request);
[[nodiscard]] std::string request_text(const WalletRequest& request);

// ---- Answers ------------------------------------------------------------------------------------

struct Paid {
  Digest preimage;
  Msat fees = 0;
};

enum class TransactionState : std::uint8_t { Pending, Accepted, Settled, Expired, Failed };

/// An invoice, or a payment of one, as the wallet knows it.
struct WalletTransaction {
  bool incoming = false;
  TransactionState state = TransactionState::Pending;
  std::string invoice;  ///< empty: not said
  PaymentHash payment_hash;
  std::optional<Digest> preimage;
  Msat amount = 0;
  Msat fees = 0;
  std::int64_t created_at = 0;
  std::int64_t expires_at = 0;  ///< 0: not said
};

struct WalletBalance {
  Msat balance = 0;
};

struct WalletNode {
  std::optional<Network> network;  ///< none: not said, or another
};

struct Done {};

using WalletAnswer = std::variant<Paid, WalletTransaction, std::vector<WalletTransaction>,
                                  WalletBalance, WalletNode, Done>;

enum class WalletErrorCode : std::uint8_t {
  RateLimited,
  NotImplemented,
  InsufficientBalance,
  QuotaExceeded,
  Restricted,
  Unauthorized,
  Internal,
  UnsupportedEncryption,
  PaymentFailed,
  NotFound,
  Other,
};
std::string_view to_string(WalletErrorCode code);

struct WalletError {
  WalletErrorCode code;
  std::string message;  ///< the service's own words, printable ASCII, 200 characters at most
};

struct WalletLimits {
  static constexpr std::size_t kTextBytesMax = 256 << 10;
  static constexpr std::size_t kTransactionsMax = 200;
  static constexpr std::size_t kRelaysMax = 8;
};

/// What the service said, or nothing when its text is no answer to this request: nothing is known
/// then.
[[nodiscard]] std::optional<Result<WalletAnswer, WalletError>> parse_wallet_answer(
    const WalletRequest& request, std::string_view text);

enum class WalletNews : std::uint8_t { Received, Sent, HoldAccepted };

struct WalletNotification {
  WalletNews news = WalletNews::Received;
  WalletTransaction transaction;
};

[[nodiscard]] std::optional<WalletNotification> parse_wallet_notification(std::string_view text);

}  // namespace nostril::settlement::lightning
