// Rows of the exchange store: what reads is within its limits and reads the same again.
#include "base/check.h"
#include "node/exchange_store.h"

#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using nostril::node::Exchange;
  const auto read = nostril::node::decode_exchange({reinterpret_cast<const char*>(data), size});
  if (!read) return 0;
  CHECK(read->id.size() <= Exchange::kIdBytesMax && read->model.size() <= Exchange::kModelBytesMax);
  CHECK(read->aci_receipt.size() <= Exchange::kReceiptBytesMax && read->signatures.size() <= 4);
  const std::string row = nostril::node::encode_exchange(*read);
  const auto again = nostril::node::decode_exchange(row);
  CHECK(again && nostril::node::encode_exchange(*again) == row);
  return 0;
}
