#pragma once

#include "base/result.h"
#include "client/offer_book.h"
#include "events/amount.h"
#include "events/inference.h"

#include <functional>
#include <memory>
#include <string>

namespace nostril::client {

/// Who pays nodes that are paid after the fact, told by what asks them. Threads: the loop's only.
class NodePayer {
 public:
  using SharedOffer = std::shared_ptr<const VerifiedOffer>;
  /// A failure: nothing more than before stands behind the channel, and why.
  using RoomDone = std::function<void(const Result<void, std::string>&)>;

  NodePayer() = default;
  virtual ~NodePayer() = default;
  NodePayer(const NodePayer&) = delete;
  NodePayer& operator=(const NodePayer&) = delete;

  /// A receipt was signed and stored: the channel has come to `spent`.
  virtual void on_receipt(const SharedOffer& offer, const ChannelId& channel, Amount spent) = 0;

  /// The node does not go on before it is paid. `done` comes once, later.
  virtual void make_room(const SharedOffer& offer, RoomDone done) = 0;
};

}  // namespace nostril::client
