#include "settlement/lightning/bolt11.h"

#include "base/check.h"
#include "tests/support/bolt11_maker.h"

#include <algorithm>
#include <string_view>

using namespace nostril;                         // NOLINT(google-build-using-namespace)
using namespace nostril::settlement::lightning;  // NOLINT(google-build-using-namespace)

namespace {

void judge(std::string_view text) {
  const auto invoice = parse_bolt11(text);
  if (!invoice) return;
  CHECK(invoice->amount.value_or(0) <= kMsatMax);
  CHECK(invoice->description.has_value() != invoice->description_hash.has_value());
  CHECK(is_point(invoice->payee));
  CHECK(invoice->expires_at() >= invoice->created_at);
  CHECK(*parse_bolt11(text) == *invoice);
}

}  // namespace

/// The input as it stands, and its bytes as fields of an invoice with the right checksum and
/// signature: these would keep mutations out of the rest.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  judge({reinterpret_cast<const char*>(data), size});
  static const auto key = EcdsaKey::from_secret(SecretBytes<32>(Digest{{7}}.bytes));
  Bytes groups(data, data + std::min<std::size_t>(size, 2048));
  for (std::uint8_t& group : groups) group &= 31U;
  judge(test::Bolt11Maker().required().raw(groups).sign(*key));
  judge(test::Bolt11Maker().raw(groups).sign(*key));
  return 0;
}
