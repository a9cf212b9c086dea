#include "schnorr/keccak.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <utility>

namespace nostril {

namespace {

constexpr std::size_t kRateBytes = 136;
constexpr std::uint8_t kFirstPad = 0x01;
constexpr std::uint8_t kLastPad = 0x80;

/// Lane (x, y) is at x + 5 y, as in FIPS 202 section 3.1.2.
using State = std::array<std::uint64_t, 25>;

constexpr std::array<std::uint64_t, 24> kRoundConstants = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000,
    0x000000000000808b, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
    0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008};

void theta(State& a) {
  std::array<std::uint64_t, 5> column{};
  for (std::size_t i = 0; i < a.size(); ++i) column.at(i % 5) ^= a.at(i);
  for (std::size_t i = 0; i < a.size(); ++i) {
    a.at(i) ^= column.at((i + 4) % 5) ^ std::rotl(column.at((i + 1) % 5), 1);
  }
}

/// Turns every lane and moves it; the walk and the distances of FIPS 202 sections 3.2.2 and 3.2.3.
void rho_and_pi(State& a) {
  std::size_t x = 1;
  std::size_t y = 0;
  std::uint64_t carried = a.at(x + 5 * y);
  for (int t = 0; t < 24; ++t) {
    const std::size_t next_y = (2 * x + 3 * y) % 5;
    x = y;
    y = next_y;
    const std::uint64_t turned = std::rotl(carried, (t + 1) * (t + 2) / 2 % 64);
    carried = std::exchange(a.at(x + 5 * y), turned);
  }
}

void chi(State& a) {
  for (std::size_t row = 0; row < a.size(); row += 5) {
    std::array<std::uint64_t, 5> old{};
    std::copy_n(a.begin() + static_cast<std::ptrdiff_t>(row), old.size(), old.begin());
    for (std::size_t x = 0; x < 5; ++x) {
      a.at(row + x) = old.at(x) ^ (~old.at((x + 1) % 5) & old.at((x + 2) % 5));
    }
  }
}

void permute(State& a) {
  for (const std::uint64_t constant : kRoundConstants) {
    theta(a);
    rho_and_pi(a);
    chi(a);
    a[0] ^= constant;
  }
}

void absorb_byte(State& a, std::size_t offset, std::uint8_t byte) {
  a.at(offset / 8) ^= static_cast<std::uint64_t>(byte) << (8 * (offset % 8));
}

}  // namespace

Digest keccak256(ByteSpan data) {
  State state{};
  std::size_t offset = 0;
  for (const std::uint8_t byte : data) {
    absorb_byte(state, offset++, byte);
    if (offset == kRateBytes) {
      permute(state);
      offset = 0;
    }
  }
  absorb_byte(state, offset, kFirstPad);
  absorb_byte(state, kRateBytes - 1, kLastPad);
  permute(state);
  Digest out;
  for (std::size_t i = 0; i < out.bytes.size(); ++i) {
    out.bytes.at(i) = static_cast<std::uint8_t>(state.at(i / 8) >> (8 * (i % 8)));
  }
  return out;
}

}  // namespace nostril
