#include "client/funded_channel.h"

#include "base/json.h"
#include "base/log.h"
#include "client/channel_store.h"

#include <algorithm>
#include <array>
#include <utility>

namespace nostril::client {

namespace {

constexpr std::array<std::string_view, 4> kStateNames = {"opening", "open", "closing", "closed"};

}  // namespace

std::string_view to_string(FundedState state) {
  return kStateNames[static_cast<std::size_t>(state)];
}

std::string encode_funded(const FundedChannel& channel) {
  JsonWriter w;
  w.begin_object();
  write_terms(w, channel.terms);
  w.key("locked").string(channel.locked.to_string());
  w.key("claimed").string(channel.claimed.to_string());
  w.key("close_at").string(to_decimal(channel.close_at));
  w.key("state").string(to_string(channel.state));
  w.key("told").boolean(channel.told);
  w.end_object();
  return std::move(w).take();
}

std::optional<FundedChannel> decode_funded(std::string_view text) {
  const auto row = Json::parse(text);
  if (!row) return std::nullopt;
  const auto terms = read_terms(*row);
  const auto locked = Amount::parse(row->find_string("locked").value_or(""));
  const auto claimed = Amount::parse(row->find_string("claimed").value_or(""));
  const auto close_at = parse_decimal_u64(row->find_string("close_at").value_or(""));
  const auto state = std::ranges::find(kStateNames, row->find_string("state").value_or(""));
  if (!terms || !terms->chain || !locked || !claimed || !close_at || state == kStateNames.end()) {
    return std::nullopt;
  }
  return FundedChannel{*terms,
                       *locked,
                       *claimed,
                       *close_at,
                       static_cast<FundedState>(state - kStateNames.begin()),
                       row->find_boolean("told").value_or(false)};
}

JournalChange put_funded(const FundedChannel& channel) {
  const ChannelId id = settlement::channel_id(channel.terms);
  const std::string text = encode_funded(channel);
  const ByteSpan bytes = as_bytes(text);
  return {JournalTable::Funded, Bytes(id.bytes.begin(), id.bytes.end()),
          Bytes(bytes.begin(), bytes.end())};
}

std::vector<FundedChannel> funded_channels(Journal& journal) {
  std::vector<FundedChannel> out;
  journal.scan(JournalTable::Funded, {}, [&](ByteSpan, ByteSpan value) {
    if (auto channel = decode_funded(as_text(value))) {
      out.push_back(std::move(*channel));
    } else {
      log(LogLevel::Error, "journal: the row of a channel on a chain is damaged");
    }
    return true;
  });
  return out;
}

}  // namespace nostril::client
