#include "settlement/lightning/nwc.h"

#include "base/check.h"

#include <array>
#include <string_view>

using namespace nostril;                         // NOLINT(google-build-using-namespace)
using namespace nostril::settlement::lightning;  // NOLINT(google-build-using-namespace)

/// Whatever a wallet service answers, to every request.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::array<WalletRequest, 8> requests = {
      PayInvoice{}, MakeInvoice{}, LookupInvoice{},     ListTransactions{},
      GetBalance{}, GetInfo{},     SettleHoldInvoice{}, CancelHoldInvoice{}};
  int understood = 0;
  for (const WalletRequest& request : requests) {
    const auto answer = parse_wallet_answer(request, text);
    if (!answer) continue;
    ++understood;
    if (!*answer) {
      for (const char c : answer->error().message) CHECK(c >= ' ' && c <= '~');
    } else if (const auto* one = std::get_if<WalletTransaction>(&**answer)) {
      CHECK(one->amount <= kMsatMax && one->invoice.size() <= Bolt11Limits::kCharactersMax);
    }
  }
  CHECK(understood <= 1);  // an answer names its method
  (void)parse_wallet_notification(text);
  if (const auto uri = parse_wallet_uri(text)) CHECK(!uri->relays.empty());
  return 0;
}
