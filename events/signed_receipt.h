#pragma once

#include "base/result.h"
#include "events/event.h"
#include "events/inference.h"

#include <utility>

namespace nostril {

/// A balance receipt together with the event that its signer signed: what is read once from a
/// verified event need not be read, nor doubted, again.
/// Immutable; copying costs a reference count. Threads: any.
class SignedReceipt {
 public:
  [[nodiscard]] static Result<SignedReceipt, InferenceError> parse(VerifiedEvent event) {
    const auto receipt = parse_receipt(event.event());
    if (!receipt) return failure(receipt.error());
    return SignedReceipt(std::move(event), *receipt);
  }

  const BalanceReceipt* operator->() const { return &receipt_; }

  const BalanceReceipt& operator*() const { return receipt_; }

  [[nodiscard]] const Event& event() const { return event_.event(); }

 private:
  SignedReceipt(VerifiedEvent event, const BalanceReceipt& receipt)
      : event_(std::move(event)), receipt_(receipt) {}

  VerifiedEvent event_;
  BalanceReceipt receipt_;
};

}  // namespace nostril
