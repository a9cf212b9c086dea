#include "settlement/evm/order.h"

#include "base/check.h"
#include "base/hex.h"
#include "events/kinds.h"

#include <array>
#include <string>
#include <string_view>

namespace nostril::settlement::evm {

namespace {

constexpr std::int64_t kTimeMin = 1'000'000'000;  // 10 digits
constexpr std::int64_t kTimeMax = 0xffff'ffff;

bool is_time(std::int64_t time) {
  return time >= kTimeMin && time <= kTimeMax;
}

}  // namespace

EventDraft build_order(const ChannelOrder& order) {
  CHECK(is_time(order.created_at) && is_time(order.expires_at) && !order.total.is_zero());
  EventDraft draft{
      .created_at = order.created_at, .kind = kinds::kChannelOrder, .tags = {}, .content = ""};
  draft.tags.add({"d", encode_hex(order.channel)});
  draft.tags.add({"amount", order.total.to_string()});
  draft.tags.add({"expiration", std::to_string(order.expires_at)});
  return draft;
}

Result<ChannelOrder, InferenceError> parse_order(const Event& event) {
  if (event.kind != kinds::kChannelOrder) return failure(InferenceError::WrongKind);
  if (!event.content.empty()) return failure(InferenceError::BadContent);
  constexpr std::array<std::string_view, 3> kNames = {"d", "amount", "expiration"};
  const Tags& tags = event.tags;
  if (tags.size() < kNames.size()) return failure(InferenceError::MissingTag);
  if (tags.size() > kNames.size()) return failure(InferenceError::TooMany);
  for (std::size_t index = 0; index < kNames.size(); ++index) {
    if (tags[index].size() != 2 || tags[index].name() != kNames[index]) {
      return failure(InferenceError::BadTag);
    }
  }
  const auto channel = from_hex<ChannelId>(tags[0][1]);
  const auto total = Amount::parse(tags[1][1]);
  const auto expires_at = parse_decimal_u64(tags[2][1], kTimeMax);
  if (!channel || !total || total->is_zero() || !expires_at || !is_time(event.created_at) ||
      !is_time(static_cast<std::int64_t>(*expires_at))) {
    return failure(InferenceError::BadTag);
  }
  return ChannelOrder{.id = event.id,
                      .signer = event.pubkey,
                      .created_at = event.created_at,
                      .channel = *channel,
                      .total = *total,
                      .expires_at = static_cast<std::int64_t>(*expires_at)};
}

}  // namespace nostril::settlement::evm
