#pragma once

#include "base/json.h"
#include "client/offer_book.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace nostril::client {

/// How offers changed while this program ran: price, load, verdict. In memory only.
/// Threads: one.
class OfferHistory {
 public:
  static constexpr std::size_t kOffersMax = 1'024;  ///< by node, model and profile; full: no new
  static constexpr std::size_t kSamplesMax = 64;    ///< newest, of an offer; 100 bytes each

  /// What the book says now; a sample for each offer that changed since the last call.
  void observe(const OfferBook& book, std::int64_t now_s);

  /// [{"at","accepted","input","output","running","places"},…], oldest first. Prices as decimal
  /// text of base units for a million tokens; running and places only where the offer states its
  /// load.
  void write(JsonWriter& w, const Offer& offer) const;

 private:
  struct Sample {
    std::int64_t at_s = 0;
    bool accepted = false;
    Amount input;
    Amount output;
    std::optional<LoadTag> load;

    [[nodiscard]] bool same(const Sample& other) const;
  };

  static std::string key_of(const Offer& offer);
  void note(const Offer& offer, bool accepted, std::int64_t now_s);

  std::map<std::string, std::deque<Sample>> offers_;
};

}  // namespace nostril::client
