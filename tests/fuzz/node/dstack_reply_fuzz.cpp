#include "attestation/evidence.h"
#include "base/bytes.h"
#include "base/check.h"
#include "node/dstack_agent.h"

#include <array>
#include <cstddef>
#include <cstdint>

// Any bytes as the guest agent's answers: refused, or within the bounds.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = nostril::as_text(nostril::ByteSpan(data, size));
  const std::array<std::uint8_t, 64> report_data{};
  const auto quote = nostril::node::parse_dstack_quote(text, report_data);
  CHECK(!quote ||
        (!quote->quote.empty() && quote->quote.size() <= nostril::attestation::kQuoteBytesMax &&
         quote->event_log.size() <= nostril::node::kDstackEventLogBytesMax));
  const auto info = nostril::node::parse_dstack_info(text);
  CHECK(!info || info->app_compose.size() <= nostril::node::kDstackEventLogBytesMax);
  if (!quote) return 0;
  const auto app = nostril::node::dstack_app(*quote, info.value_or(nostril::node::DstackInfo{}));
  CHECK(!app || nostril::attestation::within_limits(*app));
  return 0;
}
