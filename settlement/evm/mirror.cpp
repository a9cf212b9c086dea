#include "settlement/evm/mirror.h"

#include <variant>

namespace nostril::settlement::evm {

namespace {

/// What one entry changes in its channel.
struct Change {
  MirroredChannel& channel;

  void operator()(const LockedLog& log) const {
    if (log.locked < channel.locked) channel.returned = true;
    channel.locked = log.locked;
  }

  void operator()(const ClaimedLog& log) const { channel.claimed = log.claimed; }

  void operator()(const CloseRequestedLog& log) const { channel.close_at = log.close_at; }

  void operator()(const FinalisedLog& log) const {
    channel.locked = log.locked;
    channel.claimed = log.locked;
    channel.close_at = 0;
    channel.returned = true;
  }
};

}  // namespace

void Mirror::apply(const ContractLog& log) {
  std::visit(
      [this](const auto& entry) {
        using Entry = std::decay_t<decltype(entry)>;
        if constexpr (std::is_same_v<Entry, OpenedLog>) {
          if (entry.id != channel_id(place_, entry.channel)) return;
          if (payee_ && entry.channel.payee != *payee_) return;
          channels_.insert_or_assign(
              entry.id, MirroredChannel{entry.channel, entry.locked, Amount(), 0, false});
        } else if constexpr (std::is_invocable_v<Change, const Entry&>) {
          const auto found = channels_.find(entry.id);
          if (found != channels_.end()) Change{found->second}(entry);
        }
      },
      log);
}

const MirroredChannel* Mirror::find(const ChannelId& id) const {
  const auto found = channels_.find(id);
  return found == channels_.end() ? nullptr : &found->second;
}

}  // namespace nostril::settlement::evm
