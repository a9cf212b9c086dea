#include "client/home_config.h"

#include "events/nip19.h"

#include <limits>
#include <optional>
#include <variant>

namespace nostril::client {

namespace fs = std::filesystem;

fs::path config_file_of(const fs::path& home) {
  return home / "config.toml";
}

void HomeConfig::declare(Config& config) {
  config.section("",
                 "What `nostril` takes where its command line says nothing. Files named without a\n"
                 "leading slash lie beside this one.");
  config.list("relays", &relays, "ws://… or wss://…; nodes and you must share one");
  config.text("ca_file", &ca_file, "PEM roots for wss:// relays; empty: the system's");
  config.text("identity", &identity,
              "who signs what you publish: a key file, or a remote signer's bunker://…");
  config.text("policy", &policy, "what evidence is taken; empty: the defaults");
  config.list("trust_test_roots", &trust_test_roots,
              "DER files: also take SIMULATED evidence under these (development only)");
  config.flag("allow_unchecked_tcb", &allow_unchecked_tcb,
              "take genuine evidence that comes without Intel's collateral");
  config.number("budget", &budget, 0, std::numeric_limits<std::int64_t>::max(),
                "most that one node may be owed, base units");
  config.section("gateway", "`nostril gateway`: docs/gateway.md");
  config.text("listen", &gateway.listen, "ADDRESS:PORT; beyond loopback only with keys and TLS");
  config.list("hosts", &gateway.hosts, "other names under which this machine is called");
  config.text("tls_cert", &gateway.tls_cert, "PEM, the chain");
  config.text("tls_key", &gateway.tls_key, "PEM");
  config.number("hedge_ms", &gateway.hedge_ms, 0, 600'000,
                "ask a second node when the first has said nothing after this; 0: never");
  config.text("rules", &gateway.rules, "for each model prices, nodes, hedging");
  config.section("reputation", "Whose word on nodes counts: docs/reputation.md");
  config.list("follows", &reputation.follows, "npub1…: their approvals and flags count");
  config.text("follows_of", &reputation.follows_of,
              "npub1…, your own: so do those of its follow list; relays then see who they are");
  config.list("providers", &reputation.providers, "npub1…: NIP-85 services whose ranks count");
  config.text("providers_of", &reputation.providers_of,
              "npub1…: your own: all that its list (kind 10040) names for ranks of keys, too.\n"
              "Only what the list shows: its encrypted part is not read.");
  config.flag("publish_proofs", &reputation.publish_proofs,
              "publish proofs of fraud against yourself, too, under throw-away keys; they hold "
              "records, and so hashes, of your requests");
}

void HomeConfig::place_in(const fs::path& home) {
  const auto place = [&home](std::string& file) {
    if (!file.empty()) file = (home / file).string();
  };
  for (std::string* file :
       {&ca_file, &policy, &gateway.tls_cert, &gateway.tls_key, &gateway.rules}) {
    place(*file);
  }
  for (std::string& root : trust_test_roots) place(root);
  if (!identity.starts_with("bunker://")) place(identity);
}

namespace {

PublicKey key_from(const std::string& text, const char* name) {
  const auto code = nip19::decode(text);
  const auto* npub = code ? std::get_if<nip19::Npub>(&*code) : nullptr;
  if (npub == nullptr) {
    throw ConfigError("reputation." + std::string(name) + ": " + text + ": not an npub");
  }
  return npub->key;
}

std::vector<PublicKey> keys_from(const std::vector<std::string>& texts, const char* name) {
  std::vector<PublicKey> out;
  out.reserve(texts.size());
  for (const std::string& text : texts) out.push_back(key_from(text, name));
  return out;
}

}  // namespace

HomeConfig HomeConfig::read(const fs::path& home) {
  HomeConfig out;
  const fs::path file = config_file_of(home);
  if (!fs::exists(file)) return out;
  Config config;
  out.declare(config);
  config.load(file.string());
  out.place_in(home);
  return out;
}

std::string HomeConfig::print() {
  Config config;
  declare(config);
  return config.print();
}

ClientSettings HomeConfig::settings(const fs::path& home) const {
  return {
      .home = home,
      .relays = relays,
      .ca_file = ca_file,
      .test_roots = trust_test_roots,
      .policy = policy,
      .allow_unchecked_tcb = allow_unchecked_tcb,
      .budget = budget,
      .reputation = {
          .follows = keys_from(reputation.follows, "follows"),
          .follows_of = reputation.follows_of.empty()
                            ? std::nullopt
                            : std::optional(key_from(reputation.follows_of, "follows_of")),
          .providers = keys_from(reputation.providers, "providers"),
          .providers_of = reputation.providers_of.empty()
                              ? std::nullopt
                              : std::optional(key_from(reputation.providers_of, "providers_of")),
          .publish_proofs = reputation.publish_proofs}};
}

}  // namespace nostril::client
