#pragma once

#include "client/journal.h"
#include "settlement/lightning/payment.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::client {

/// All payments over Lightning that this side knows, a node's or a payer's: in memory, each change
/// on the disk before its callback. Threads: the loop's only.
class LightningBook {
 public:
  explicit LightningBook(Journal& journal);

  /// What other processes of this home have written meanwhile. Only while no put() is under way.
  void reload();

  [[nodiscard]] const std::vector<settlement::lightning::Payment>& payments() const {
    return payments_;
  }

  [[nodiscard]] const settlement::lightning::Payment* find(
      const settlement::lightning::PaymentHash& hash) const;

  [[nodiscard]] settlement::lightning::ChannelSums sums(const ChannelId& channel) const {
    return settlement::lightning::sums_of(payments_, channel);
  }

  /// Counts at once; `done(true)` when it is on the disk.
  void put(const settlement::lightning::Payment& payment,
           const std::function<void(bool)>& done = {});

 private:
  Journal& journal_;
  std::vector<settlement::lightning::Payment> payments_;
};

/// Row of the table `lightning`: payment hash (32) -> JSON. For tests: the text, and back.
[[nodiscard]] std::string encode_payment(const settlement::lightning::Payment& payment);
[[nodiscard]] std::optional<settlement::lightning::Payment> decode_payment(std::string_view text);

}  // namespace nostril::client
