// Orders as files (spec/12-contract.md), which anybody hands to who brings them. What is read names
// its channel, and is written and read as the same.
#include "base/bytes.h"
#include "base/check.h"
#include "settlement/evm/signed_order.h"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using nostril::settlement::evm::SignedOrder;
  static nostril::Verifier verifier;
  const auto order = SignedOrder::parse(nostril::as_text({data, size}), verifier);
  if (!order) return 0;
  CHECK(order->order().channel ==
        nostril::settlement::evm::channel_id(order->place(), order->channel()));
  const std::string text = order->text();
  CHECK(text.size() <= SignedOrder::kBytesMax);
  const auto second = SignedOrder::parse(text, verifier);
  CHECK(second && second->text() == text && second->call() == order->call());
  return 0;
}
