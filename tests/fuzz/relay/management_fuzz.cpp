// NIP-86 bodies: what reads has a method of its name and few params; texts in them are read as
// addresses and blocks.
#include "relay/management.h"

#include "base/check.h"

#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nostril::relay;
  const auto call = parse_management_call({reinterpret_cast<const char*>(data), size});
  if (!call) return 0;
  CHECK(management_method(name_of(call->method)) == call->method);
  for (const auto& param : call->params) {
    const auto text = param.string();
    const auto block = text ? AddressBlock::parse(*text) : std::nullopt;
    if (block) CHECK(AddressBlock::parse(block->text()) == block);
  }
  return 0;
}
