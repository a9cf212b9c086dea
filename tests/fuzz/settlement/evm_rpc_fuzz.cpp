#include "base/check.h"
#include "settlement/evm/rpc.h"

using namespace nostril;                   // NOLINT(google-build-using-namespace)
using namespace nostril::settlement::evm;  // NOLINT(google-build-using-namespace)

/// An endpoint's answer to call 1, read as everything that we ask for.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto result = parse_rpc_answer(as_text(ByteSpan(data, size)), 1);
  if (!result) {
    CHECK(result.error().message.size() <= RpcLimits::kMessageBytesMax);
    return 0;
  }
  if (const auto number = parse_quantity(*result)) CHECK(quantity(*number) == *result->string());
  if (const auto bytes = parse_data(*result, 64)) CHECK(data_text(*bytes) == *result->string());
  if (const auto logs = parse_logs(*result)) {
    for (std::size_t i = 1; i < logs->size(); ++i) CHECK((*logs)[i - 1].block <= (*logs)[i].block);
  }
  (void)parse_block(*result);
  (void)parse_receipt_of(*result);
  (void)parse_fee_history(*result);
  return 0;
}
