#pragma once

#include "client/offer_book.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace nostril::client {

/// What may be used now, as each protocol lists models. A model that several nodes offer stands
/// once, with the terms of the cheapest; `nodes` says how many. Pure, but for what the book holds.

/// GET /v1/models: OpenAI's members, Anthropic's, and those that applications read for context,
/// price and abilities; `verification` is ours.
[[nodiscard]] std::string openai_models(const OfferBook& book);
[[nodiscard]] std::optional<std::string> openai_model(const OfferBook& book,
                                                      std::string_view model);

/// GET /api/tags, /api/ps and POST /api/show. Sizes and digests of files have no meaning here; the
/// digest is that of the weights where the node states one.
[[nodiscard]] std::string ollama_tags(const OfferBook& book);
[[nodiscard]] std::optional<std::string> ollama_show(const OfferBook& book, std::string_view model);

/// The usable offer of that model that is cheapest; null: none.
[[nodiscard]] std::shared_ptr<const VerifiedOffer> cheapest(const OfferBook& book,
                                                            std::string_view model);

}  // namespace nostril::client
