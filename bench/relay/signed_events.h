#pragma once

#include "base/check.h"
#include "base/hex.h"
#include "events/event.h"
#include "schnorr/hash.h"
#include "schnorr/keys.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril::bench {

/// The same bytes in every run. For keys of benchmarks only.
class FixedRng final : public Rng {
 public:
  void fill(std::span<std::uint8_t> out) override {
    std::generate(out.begin(), out.end(),
                  [this] { return static_cast<std::uint8_t>(random_() & 0xFFU); });
  }

 private:
  std::mt19937_64 random_{7};  // NOLINT(cert-msc51-cpp): the same in every run
};

/// Really signed notes, the same in every run for the same `created_at`: `authors` keys in turn, an
/// e and a p tag, 400 bytes of text that looks like text, about 970 bytes of JSON. One thread.
class SignedEvents {
 public:
  SignedEvents(std::size_t authors, std::int64_t created_at) : created_at_(created_at) {
    for (std::size_t i = 0; i < authors; ++i) {
      auto key = Keypair::from_secret(sha256("bench author " + std::to_string(i)).bytes);
      CHECK(key.has_value());
      authors_.push_back(std::move(*key));
    }
  }

  Event next(std::uint32_t kind = 1) { return next_for(kind, authors_[0].public_key()); }

  /// Its p tag names `recipient`.
  Event next_for(std::uint32_t kind, const PublicKey& recipient) {
    const Keypair& author = authors_[count_ % authors_.size()];
    EventDraft draft;
    draft.created_at = created_at_ + static_cast<std::int64_t>(count_ / 256);
    draft.kind = kind;
    draft.tags.add({"e", encode_hex(sha256(std::to_string(count_)).bytes), "", "reply"});
    draft.tags.add({"p", encode_hex(recipient)});
    draft.content = std::to_string(count_++) + " ";
    while (draft.content.size() < 400) draft.content += word();
    return sign_event(std::move(draft), author, rng_);
  }

  [[nodiscard]] const PublicKey& author(std::size_t index) const {
    return authors_[index % authors_.size()].public_key();
  }

 private:
  std::string_view word() {
    static constexpr std::string_view kWords[] = {"relay ",      "the ", "event\n", "signature ",
                                                  "\"quoted\" ", "of ",  "nostr ",  "store "};
    return kWords[random_() % std::size(kWords)];
  }

  std::int64_t created_at_;
  std::vector<Keypair> authors_;
  std::size_t count_ = 0;
  FixedRng rng_;
  std::mt19937_64 random_{1};  // NOLINT(cert-msc51-cpp): the same in every run
};

}  // namespace nostril::bench
