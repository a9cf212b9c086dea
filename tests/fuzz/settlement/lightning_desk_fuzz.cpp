#include "base/bytes.h"
#include "base/check.h"
#include "settlement/lightning/desk.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

/// What a payer asks a node's Lightning desk, and what a node answers: both come from a stranger,
/// and what was understood reads back as it was.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nostril::settlement::lightning;  // NOLINT(google-build-using-namespace)
  const std::string_view text = nostril::as_text({data, size});
  if (const auto wish = parse_wish(text)) {
    const auto again = parse_wish(wish_text(*wish));
    CHECK(again && again->index() == wish->index() && wish_text(*again) == wish_text(*wish));
    if (const auto* refund = std::get_if<AskRefund>(&*wish)) {
      const auto order = parse_refund(refund->order);
      CHECK(!order || order->amount > 0);
    }
  }
  if (const auto state = parse_state(text)) CHECK(parse_state(state_text(*state)) == *state);
  return 0;
}
