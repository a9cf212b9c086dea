#include "client/offer_history.h"

#include "base/hex.h"

namespace nostril::client {

namespace {

Amount price_of(const Offer& offer, PriceUnit unit) {
  for (const PriceTag& price : offer.prices) {
    if (price.unit == unit) return price.amount;
  }
  return {};
}

}  // namespace

bool OfferHistory::Sample::same(const Sample& other) const {
  return accepted == other.accepted && input == other.input && output == other.output &&
         load == other.load;
}

std::string OfferHistory::key_of(const Offer& offer) {
  return encode_hex(offer.node) + ":" + offer.model + "@" + offer.profile;
}

void OfferHistory::note(const Offer& offer, bool accepted, std::int64_t now_s) {
  const std::string key = key_of(offer);
  if (offers_.size() >= kOffersMax && !offers_.contains(key)) return;
  std::deque<Sample>& samples = offers_[key];
  const Sample sample{now_s, accepted, price_of(offer, PriceUnit::Input),
                      price_of(offer, PriceUnit::Output), offer.load};
  if (!samples.empty() && samples.back().same(sample)) return;
  samples.push_back(sample);
  if (samples.size() > kSamplesMax) samples.pop_front();
}

void OfferHistory::observe(const OfferBook& book, std::int64_t now_s) {
  for (const auto& verified : book.usable()) note(verified->offer(), true, now_s);
  for (const RejectedOffer& rejected : book.rejected()) note(rejected.offer, false, now_s);
}

void OfferHistory::write(JsonWriter& w, const Offer& offer) const {
  w.begin_array();
  if (const auto found = offers_.find(key_of(offer)); found != offers_.end()) {
    for (const Sample& sample : found->second) {
      w.begin_object().key("at").integer(sample.at_s).key("accepted").boolean(sample.accepted);
      w.key("input").string(sample.input.to_string());
      w.key("output").string(sample.output.to_string());
      if (sample.load) {
        w.key("running").integer(static_cast<std::int64_t>(sample.load->running));
        w.key("places").integer(static_cast<std::int64_t>(sample.load->places));
      }
      w.end_object();
    }
  }
  w.end_array();
}

}  // namespace nostril::client
