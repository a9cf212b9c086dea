#include "client/gateway/model_rules.h"

#include "base/config.h"
#include "events/nip19.h"
#include "settlement/price.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <stdexcept>
#include <variant>

namespace nostril::client {

namespace {

/// `[[model]]` as it stands in the file; -1: not said.
struct FileRule {
  std::string name;
  std::int64_t input_price_max = -1;
  std::int64_t output_price_max = -1;
  std::vector<std::string> only;
  std::vector<std::string> never;
  std::int64_t hedge_ms = 0;
};

void declare_rule(Config& config, FileRule& rule) {
  config.text("name", &rule.name, "");
  config.number("input_price_max", &rule.input_price_max, -1, INT64_MAX, "");
  config.number("output_price_max", &rule.output_price_max, -1, INT64_MAX, "");
  config.list("only", &rule.only, "");
  config.list("never", &rule.never, "");
  config.number("hedge_ms", &rule.hedge_ms, 0, 600'000, "");
}

std::vector<PublicKey> keys_of(const std::vector<std::string>& texts, const std::string& file) {
  std::vector<PublicKey> out;
  for (const std::string& text : texts) {
    const auto code = nip19::decode(text);
    const auto* npub = code ? std::get_if<nip19::Npub>(&*code) : nullptr;
    if (npub == nullptr) throw std::runtime_error(fmt::format("{}: {} is no npub", file, text));
    out.push_back(npub->key);
  }
  return out;
}

std::optional<std::uint64_t> price_of(std::int64_t number) {
  return number < 0 ? std::nullopt : std::optional(static_cast<std::uint64_t>(number));
}

bool within(const settlement::PriceTable& prices, PriceUnit unit,
            std::optional<std::uint64_t> most) {
  return !most || prices.amount(unit).value() <= *most;
}

}  // namespace

NodeRules NodeRules::read(const std::string& file) {
  std::vector<FileRule> read;
  Config config;
  config.tables("model", &read, kRulesMax, declare_rule, "");
  config.load(file);
  std::vector<NodeRule> out;
  std::set<std::string> names;
  for (const FileRule& rule : read) {
    if (rule.name.empty() || !names.insert(rule.name).second) {
      throw std::runtime_error(file + ": each [[model]] needs a name of its own");
    }
    out.push_back({rule.name, price_of(rule.input_price_max), price_of(rule.output_price_max),
                   keys_of(rule.only, file), keys_of(rule.never, file), rule.hedge_ms});
  }
  return NodeRules(std::move(out));
}

const NodeRule* NodeRules::rule_for(std::string_view model) const {
  auto found = std::ranges::find(rules_, model, &NodeRule::model);
  if (found == rules_.end()) found = std::ranges::find(rules_, "*", &NodeRule::model);
  return found == rules_.end() ? nullptr : &*found;
}

bool NodeRules::allows(const Offer& offer) const {
  const NodeRule* rule = rule_for(offer.model);
  if (rule == nullptr) return true;
  const settlement::PriceTable prices = settlement::PriceTable::of(offer);
  const auto names = [&offer](const std::vector<PublicKey>& keys) {
    return std::ranges::find(keys, offer.node) != keys.end();
  };
  return within(prices, PriceUnit::Input, rule->input_price_max) &&
         within(prices, PriceUnit::Output, rule->output_price_max) && !names(rule->never) &&
         (rule->only.empty() || names(rule->only));
}

}  // namespace nostril::client
