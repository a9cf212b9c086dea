#pragma once

#include "schnorr/secret.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace nostril {

/// Text that is a secret: wiped when it goes, never copied by accident, not printable. Threads: one
/// owner.
class SecretText {
 public:
  SecretText() = default;

  /// Wipes what it was made from.
  explicit SecretText(std::string&& text) : text_(text) { wipe_text(text); }

  ~SecretText() { wipe_text(text_); }

  // A short text lies inside its string, so that moving alone would leave it behind.
  SecretText(SecretText&& other) noexcept : SecretText(std::move(other.text_)) {}

  SecretText& operator=(SecretText&& other) noexcept {
    if (this != &other) {
      wipe_text(text_);
      text_ = other.text_;
      wipe_text(other.text_);
    }
    return *this;
  }

  SecretText(const SecretText&) = delete;
  SecretText& operator=(const SecretText&) = delete;

  [[nodiscard]] std::string_view expose() const { return text_; }

 private:
  static void wipe_text(std::string& text) {
    wipe({reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
    text.clear();
  }

  std::string text_;
};

}  // namespace nostril
