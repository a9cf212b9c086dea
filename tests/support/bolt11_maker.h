#pragma once

#include "base/bytes.h"
#include "base/check.h"
#include "schnorr/ecdsa_key.h"
#include "schnorr/hash.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace nostril::test {

/// Writes invoices, right and wrong ones. Groups of five bits throughout.
class Bolt11Maker {
 public:
  explicit Bolt11Maker(std::string prefix = "lnbcrt10u") : prefix_(std::move(prefix)) {
    number(1'700'000'000, 7);
  }

  Bolt11Maker& field(char letter, const Bytes& groups) {
    groups_.push_back(value_of(letter));
    groups_.push_back(static_cast<std::uint8_t>(groups.size() / 32));
    groups_.push_back(static_cast<std::uint8_t>(groups.size() % 32));
    groups_.insert(groups_.end(), groups.begin(), groups.end());
    return *this;
  }

  Bolt11Maker& bytes(char letter, ByteSpan data) { return field(letter, to_groups(data)); }

  Bolt11Maker& text(char letter, std::string_view data) { return bytes(letter, as_bytes(data)); }

  /// Hash, secret and description: what an invoice must have.
  Bolt11Maker& required(const Digest& payment_hash = Digest{{1}}) {
    return bytes('p', payment_hash.bytes).bytes('s', Digest{{2}}.bytes).text('d', "coffee");
  }

  Bolt11Maker& raw(Bytes groups) {
    groups_.insert(groups_.end(), groups.begin(), groups.end());
    return *this;
  }

  [[nodiscard]] std::string sign(const EcdsaKey& key) const {
    Bytes message(prefix_.begin(), prefix_.end());
    append_bytes(message, groups_);
    const EthereumSignature signature = key.sign_digest(sha256(message));
    Bytes compact(signature.bytes.begin(), signature.bytes.end());
    compact.back() = static_cast<std::uint8_t>(compact.back() - 27);
    Bytes all = groups_;
    const Bytes more = to_groups(compact);
    all.insert(all.end(), more.begin(), more.end());
    return with_checksum(all);
  }

  /// Without a signature: as the groups stand.
  [[nodiscard]] std::string unsigned_text() const { return with_checksum(groups_); }

  static Bytes to_groups(ByteSpan data) {
    Bytes out;
    std::uint32_t bits = 0;
    unsigned count = 0;
    for (const std::uint8_t byte : data) {
      bits = (bits << 8 | byte) & 0xfff;
      for (count += 8; count >= 5;) out.push_back((bits >> (count -= 5)) & 31U);
    }
    if (count > 0) out.push_back((bits << (5 - count)) & 31U);
    return out;
  }

 private:
  static constexpr std::string_view kLetters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

  static std::uint8_t value_of(char letter) {
    const auto found = kLetters.find(letter);
    CHECK(found != std::string_view::npos);
    return static_cast<std::uint8_t>(found);
  }

  void number(std::uint64_t value, std::size_t groups) {
    for (std::size_t i = groups; i-- > 0;) groups_.push_back((value >> (5 * i)) & 31U);
  }

  static void append_bytes(Bytes& out, const Bytes& groups) {
    std::uint32_t bits = 0;
    unsigned count = 0;
    for (const std::uint8_t group : groups) {
      bits = (bits << 5 | group) & 0xfff;
      count += 5;
      if (count >= 8) out.push_back(static_cast<std::uint8_t>(bits >> (count -= 8)));
    }
    if (count > 0) out.push_back(static_cast<std::uint8_t>(bits << (8 - count)));
  }

  [[nodiscard]] std::string with_checksum(const Bytes& groups) const {
    std::uint32_t state = 1;
    const auto add = [&state](std::uint32_t value) {
      constexpr std::uint32_t kGenerator[] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd,
                                              0x2a1462b3};
      const std::uint32_t top = state >> 25;
      state = (state & 0x1ffffff) << 5 ^ value;
      for (unsigned i = 0; i < 5; ++i) {
        if ((top >> i & 1U) != 0) state ^= kGenerator[i];
      }
    };
    for (const char c : prefix_) add(static_cast<std::uint8_t>(c) >> 5);
    add(0);
    for (const char c : prefix_) add(static_cast<std::uint8_t>(c) & 31U);
    std::string out = prefix_ + '1';
    for (const std::uint8_t group : groups) {
      add(group);
      out += kLetters[group];
    }
    for (int i = 0; i < 6; ++i) add(0);
    for (int i = 5; i >= 0; --i) out += kLetters[(state ^ 1U) >> (5 * i) & 31U];
    return out;
  }

  std::string prefix_;
  Bytes groups_;
};

}  // namespace nostril::test
