#include "attestation/nras.h"

#include "attestation/acceptance.h"
#include "attestation/checklist.h"
#include "attestation/ecdsa.h"
#include "attestation/utc_time.h"
#include "base/hex.h"
#include "schnorr/hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

namespace nostril::attestation {

namespace {

constexpr std::string_view kIssuer = "https://nras.attestation.nvidia.com";
constexpr std::size_t kNameBytesMax = 32;
constexpr std::size_t kTextBytesMax = 128;

/// What every sound device token says of itself.
constexpr std::array<std::string_view, 14> kRequiredTrue = {
    "secboot",
    "x-nvidia-gpu-arch-check",
    "x-nvidia-gpu-attestation-report-nonce-match",
    "x-nvidia-gpu-attestation-report-parsed",
    "x-nvidia-gpu-attestation-report-signature-verified",
    "x-nvidia-gpu-driver-rim-fetched",
    "x-nvidia-gpu-driver-rim-measurements-available",
    "x-nvidia-gpu-driver-rim-schema-validated",
    "x-nvidia-gpu-driver-rim-signature-verified",
    "x-nvidia-gpu-vbios-index-no-conflict",
    "x-nvidia-gpu-vbios-rim-fetched",
    "x-nvidia-gpu-vbios-rim-measurements-available",
    "x-nvidia-gpu-vbios-rim-schema-validated",
    "x-nvidia-gpu-vbios-rim-signature-verified"};

/// Of each, version 2 says NAME-validated: true, version 3 NAME: {its status}.
constexpr std::array<std::string_view, 3> kChains = {"x-nvidia-gpu-attestation-report-cert-chain",
                                                     "x-nvidia-gpu-driver-rim-cert",
                                                     "x-nvidia-gpu-vbios-rim-cert"};

struct Token {
  std::string name;       ///< of the device; empty: the overall one
  std::string_view text;  ///< as it stands in the answer
  Jwt jwt;
};

/// An answer taken apart: the overall token, then the devices'. Borrows from its JSON.
struct Answer {
  std::vector<Token> tokens;
  std::string error;  ///< of the first part that is malformed; empty: none
  bool wrong_algorithm = false;
};

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_';
         });
}

void add_token(Answer& answer, std::string_view name, const Json& value) {
  const auto text = value.string();
  auto jwt = Jwt::parse(text.value_or(""));
  if (!jwt) {
    answer.wrong_algorithm = answer.wrong_algorithm || jwt.error() == JwtError::WrongAlgorithm;
    if (answer.error.empty()) {
      answer.error = fmt::format("{}: {}", name.empty() ? "overall" : name, to_string(jwt.error()));
    }
    return;
  }
  answer.tokens.push_back({std::string(name), *text, std::move(*jwt)});
}

Answer read_answer(const Result<Json, JsonError>& json) {
  Answer out;
  const auto fail = [&](std::string why) {
    out.error = std::move(why);
    return std::move(out);
  };
  if (!json || !json->is_array() || json->items().size() != 2) return fail("not an answer of NRAS");
  const Json& overall = json->items()[0];
  const Json& devices = json->items()[1];
  if (overall.items().size() != 2 || overall.items()[0].string() != "JWT" ||
      devices.members().empty()) {
    return fail("not an answer of NRAS");
  }
  if (devices.members().size() > kGpuReportCountMax) return fail("too many devices");
  add_token(out, "", overall.items()[1]);
  for (const auto& [name, token] : devices.members()) {
    if (!is_name(name)) return fail("malformed name of a device");
    add_token(out, name, token);
  }
  return out;
}

std::string join(const std::set<std::string>& values) {
  std::string out;
  for (const std::string& value : values) {
    out += (out.empty() ? "" : ", ") + (value.empty() ? "none" : value);
  }
  return out;
}

std::string text_of(const Json& claims, std::string_view name) {
  const std::string_view text = claims.find_string(name).value_or("");
  return text.size() <= kTextBytesMax ? std::string(text) : "(too long)";
}

/// One of a device token's chains is what NVIDIA calls valid.
bool is_chain_valid(const Json& claims, std::string_view name) {
  if (claims.find_boolean(fmt::format("{}-validated", name)) == true) return true;
  const std::string stem(name);
  const Json* state = claims.find(name.ends_with("-chain") ? stem : fmt::format("{}-chain", stem));
  return state != nullptr && state->find_string("x-nvidia-cert-status") == "valid" &&
         state->find_string("x-nvidia-cert-ocsp-status") == "good";
}

/// What a device token says against its device; empty: nothing.
std::string objection(const Json& claims) {
  if (const Json* error = claims.find("x-nvidia-error-details")) {
    return "NVIDIA's error " + text_of(*error, "message");
  }
  if (claims.find_string("measres") != "success") return "measres " + text_of(claims, "measres");
  if (claims.find_string("dbgstat") != "disabled") return "dbgstat " + text_of(claims, "dbgstat");
  for (const std::string_view name : kRequiredTrue) {
    if (claims.find_boolean(name) != true) return std::string(name);
  }
  for (const std::string_view name : kChains) {
    if (!is_chain_valid(claims, name)) return std::string(name);
  }
  for (const auto& [name, value] : claims.members()) {
    if (name.starts_with("x-nvidia-gpu-") && value.boolean() == false) return name;
  }
  return {};
}

/// The key of a token and the chain below the trusted certificate; nothing is verified but that
/// this one is trusted.
struct ServiceKey {
  std::vector<Certificate> chain;
  TrustRoots::Class root_class = TrustRoots::Class::Genuine;
};

class NrasExamination {
 public:
  NrasExamination(const NrasEvidence& evidence, const TrustRoots& roots, UnixTime now,
                  const NrasPolicy& policy)
      : evidence_(evidence), roots_(roots), now_(now), policy_(policy), checks_(verdict_.checks) {
    list_checks();
  }

  Verdict run() && {
    const bool fits = evidence_.response.size() <= kNrasResponseBytesMax;
    const auto json = Json::parse(fits ? std::string_view(evidence_.response) : "");
    const Answer answer = read_answer(json);
    record("token_format", answer.error.empty(),
           answer.error.empty() ? fmt::format("tokens of {} devices", answer.tokens.size() - 1)
                                : answer.error,
           "an overall token and those of 1 to 16 devices");
    if (answer.error.empty() || answer.wrong_algorithm) {
      record("token_algorithm", !answer.wrong_algorithm,
             answer.wrong_algorithm ? answer.error : "ES384", "ES384");
    }
    if (answer.error.empty()) examine(answer.tokens);
    conclude(verdict_, Level::Declared, policy_.level_min, policy_.acceptance, now_);
    return std::move(verdict_);
  }

 private:
  void list_checks() {
    checks_.add("token_format", true, "answer");
    checks_.add("token_algorithm", true, "headers, alg");
    checks_.add("issuer", true, "tokens, iss");
    checks_.add("validity", true, "tokens, iat, nbf, exp");
    checks_.add("nonce", !policy_.nonce.empty(), "tokens, eat_nonce");
    checks_.add("submodules", true, "overall token, submods; SHA-256 of each device token");
    checks_.add("overall_result", true, "overall token, x-nvidia-overall-att-result");
    checks_.add("device_results", true, "device tokens, measres, dbgstat, secboot, x-nvidia-gpu-*");
    checks_.add("models", !policy_.allowed_models.empty(), "device tokens, hwmodel");
    checks_.add("devices", true, "device tokens, ueid");
    checks_.add("key", true, "key set; headers, kid");
    checks_.add("key_chain", true, "key set, x5c");
    checks_.add("simulated", true, "root; hwmodel");
    checks_.add("signatures", true, "tokens; key");
    checks_.add("platform", true, "device tokens, hwmodel; root");
    list_acceptance_checks(checks_, policy_.acceptance);
  }

  bool record(std::string_view name, bool passed, std::string found, std::string wanted) {
    return checks_.record(name, passed, std::move(found), std::move(wanted));
  }

  void claim(std::string name, Claim::Value value, std::string source) {
    verdict_.claims.push_back({std::move(name), std::move(value), std::move(source)});
  }

  void examine(const std::vector<Token>& tokens) {
    verdict_.platform = "nras";
    claim_tokens(tokens);
    check_issuer(tokens);
    check_validity(tokens);
    check_nonce(tokens);
    check_submodules(tokens);
    check_results(tokens);
    check_devices(tokens);
    check_keys(tokens);
  }

  void claim_tokens(const std::vector<Token>& tokens) {
    const Json& overall = tokens.front().jwt.claims;
    claim("eat_nonce", text_of(overall, "eat_nonce"), "overall token");
    claim("iat", overall.find_integer("iat").value_or(0), "overall token");
    claim("exp", overall.find_integer("exp").value_or(0), "overall token");
    claim("claims_version", text_of(overall, "x-nvidia-ver"), "overall token");
    claim("kid", tokens.front().jwt.kid, "overall token, header");
    for (std::size_t i = 1; i < tokens.size(); ++i) claim_device(tokens[i]);
  }

  void claim_device(const Token& token) {
    const auto text = [&](std::string_view name, std::string_view as) {
      const std::string value = text_of(token.jwt.claims, as);
      if (!value.empty()) {
        claim(fmt::format("{}.{}", token.name, name), value,
              fmt::format("token of {}, {}", token.name, as));
      }
    };
    text("model", "hwmodel");
    text("ueid", "ueid");
    text("driver", "x-nvidia-gpu-driver-version");
    text("vbios", "x-nvidia-gpu-vbios-version");
    text("measurements", "measres");
    text("debug", "dbgstat");
    if (const Json* error = token.jwt.claims.find("x-nvidia-error-details")) {
      claim(token.name + ".error", text_of(*error, "message"),
            fmt::format("token of {}, x-nvidia-error-details", token.name));
    }
  }

  void check_issuer(const std::vector<Token>& tokens) {
    std::set<std::string> found;
    for (const Token& token : tokens) found.insert(text_of(token.jwt.claims, "iss"));
    record("issuer", found == std::set<std::string>{std::string(kIssuer)}, join(found),
           std::string(kIssuer));
  }

  void check_validity(const std::vector<Token>& tokens) {
    const auto time = [](std::optional<std::int64_t> at) {
      return at ? fmt::format("{}", *at) : std::string("none");
    };
    const std::string wanted =
        fmt::format("iat, nbf <= {} <= exp, and no older than {} s", now_, policy_.age_s_max);
    for (const Token& token : tokens) {
      const auto iat = token.jwt.claims.find_integer("iat");
      const auto nbf = token.jwt.claims.find_integer("nbf");
      const auto exp = token.jwt.claims.find_integer("exp");
      const bool good = iat && *iat >= 0 && exp && *iat <= now_ && now_ <= *exp &&
                        now_ - *iat <= policy_.age_s_max && (!nbf || *nbf <= now_);
      const std::string found = fmt::format("iat {}, exp {}", time(iat), time(exp));
      if (!record("validity", good, token.name.empty() ? found : token.name + ": " + found,
                  wanted)) {
        return;
      }
    }
  }

  /// Of every token: a device's own word may be of another report than the overall one's.
  void check_nonce(const std::vector<Token>& tokens) {
    const std::string overall = text_of(tokens.front().jwt.claims, "eat_nonce");
    const std::string wanted = policy_.nonce.empty() ? overall : encode_hex(policy_.nonce);
    if (policy_.nonce.empty()) {
      checks_.at("nonce").found = overall;
      checks_.at("nonce").wanted = "the nonce that was asked for";
    }
    for (const Token& token : tokens) {
      const std::string found = text_of(token.jwt.claims, "eat_nonce");
      const bool same = !found.empty() && found == wanted;
      if (same && policy_.nonce.empty()) continue;
      const std::string who = token.name.empty() ? "" : token.name + ": ";
      if (!record("nonce", same, who + (found.empty() ? "none" : found), wanted)) return;
    }
  }

  void check_submodules(const std::vector<Token>& tokens) {
    const std::string wanted = "each device once, with the digest of its token";
    const Json* submodules = tokens.front().jwt.claims.find("submods");
    const std::size_t count = submodules == nullptr ? 0 : submodules->members().size();
    if (count != tokens.size() - 1) {
      record("submodules", false,
             fmt::format("{} in the overall token, {} tokens", count, tokens.size() - 1), wanted);
      return;
    }
    std::set<std::string> names;
    for (std::size_t i = 1; i < tokens.size(); ++i) {
      names.insert(tokens[i].name);
      if (!is_digest_of(submodules->find(tokens[i].name), tokens[i].text)) {
        record("submodules", false, tokens[i].name + ": missing, or another digest", wanted);
        return;
      }
    }
    record("submodules", true, join(names), wanted);
  }

  /// ["DIGEST", ["SHA-256", hex]].
  static bool is_digest_of(const Json* entry, std::string_view token) {
    if (entry == nullptr || entry->items().size() != 2) return false;
    const auto digest = entry->items()[1].items();
    if (entry->items()[0].string() != "DIGEST" || digest.size() != 2) return false;
    const auto algorithm = digest[0].string();
    return (algorithm == "SHA-256" || algorithm == "SHA256") &&
           from_hex<Digest>(digest[1].string().value_or("")) == sha256(token);
  }

  void check_results(const std::vector<Token>& tokens) {
    const auto overall = tokens.front().jwt.claims.find_boolean("x-nvidia-overall-att-result");
    record("overall_result", overall == true,
           !overall   ? "none"
           : *overall ? "true"
                      : "false",
           "true");
    const std::string wanted = "success, debugging disabled, nothing untrue";
    for (std::size_t i = 1; i < tokens.size(); ++i) {
      const std::string against = objection(tokens[i].jwt.claims);
      const std::string found =
          against.empty() ? "success" : fmt::format("{}: {}", tokens[i].name, against);
      if (!record("device_results", against.empty(), found, wanted)) return;
    }
  }

  void check_devices(const std::vector<Token>& tokens) {
    std::set<std::string> devices;
    std::set<std::string> models;
    for (std::size_t i = 1; i < tokens.size(); ++i) {
      devices.insert(text_of(tokens[i].jwt.claims, "ueid"));
      models.insert(text_of(tokens[i].jwt.claims, "hwmodel"));
    }
    const auto all_listed = [](const std::set<std::string>& found,
                               const std::vector<std::string>& list) {
      return list.empty() || std::all_of(found.begin(), found.end(), [&](const auto& item) {
               return std::find(list.begin(), list.end(), item) != list.end();
             });
    };
    const bool distinct = devices.size() == tokens.size() - 1 && !devices.contains("");
    record("devices", distinct && all_listed(devices, policy_.allowed_devices), join(devices),
           policy_.allowed_devices.empty() ? "each a different one"
                                           : "each a different one, in the policy's list");
    if (!policy_.allowed_models.empty()) {
      record("models", all_listed(models, policy_.allowed_models), join(models),
             "in the policy's list");
    }
    marked_ = models.contains(std::string(kSimulatedModel));
    all_marked_ = marked_ && models.size() == 1;
  }

  void check_keys(const std::vector<Token>& tokens) {
    verdict_.simulated = marked_;
    const auto keys = read_keys(tokens);
    bool test = false;
    if (keys) {
      for (const auto& [kid, key] : *keys) {
        verdict_.simulated = verdict_.simulated || key.root_class != TrustRoots::Class::Genuine;
        test = test || key.root_class == TrustRoots::Class::Test;
      }
    }
    record("simulated", !verdict_.simulated || policy_.accept_simulated,
           verdict_.simulated ? "simulated" : "not simulated",
           policy_.accept_simulated ? "any" : "not simulated");
    if (!keys) return;
    check_signatures(tokens, *keys);
    record("platform", test ? all_marked_ : !marked_, marked_ ? "the simulator's" : "GPUs",
           test ? "the simulator's" : "GPUs");
  }

  /// The keys of all tokens by their id, each with a sound chain; nothing when one has none.
  std::optional<std::map<std::string, ServiceKey>> read_keys(const std::vector<Token>& tokens) {
    const std::string wanted = "one P-384 key of that id, its certificate first";
    const auto set = KeySet::parse(evidence_.key_set);
    if (!set) {
      record("key", false, std::string(to_string(set.error())), wanted);
      return std::nullopt;
    }
    std::map<std::string, ServiceKey> out;
    for (const Token& token : tokens) {
      const std::string& kid = token.jwt.kid;
      if (out.contains(kid)) continue;
      auto chain = set->find(kid);
      if (!record("key", chain.has_value(), chain ? kid : std::string(to_string(chain.error())),
                  wanted)) {
        return std::nullopt;
      }
      auto key = check_key_chain(std::move(*chain));
      if (!key) return std::nullopt;
      out.emplace(kid, std::move(*key));
    }
    return out;
  }

  std::optional<ServiceKey> check_key_chain(std::vector<Certificate> chain) {
    const std::string wanted = "the service's certificate under a trusted one, valid now";
    const auto fail = [&](ChainError error) {
      record("key_chain", false, std::string(to_string(error)), wanted);
      return std::nullopt;
    };
    ServiceKey out;
    std::size_t trusted = 1;  // the key's own is never an anchor
    for (; trusted < chain.size(); ++trusted) {
      if (const auto found = roots_.classify(chain[trusted].der)) {
        out.root_class = *found;
        break;
      }
    }
    if (trusted >= chain.size()) return fail(ChainError::UntrustedRoot);
    chain.erase(chain.begin() + static_cast<std::ptrdiff_t>(trusted) + 1, chain.end());
    if (const auto error = check_chain(chain, Algorithms::NvidiaService, now_)) {
      return fail(*error);
    }
    const std::string_view prefix = out.root_class == TrustRoots::Class::Test
                                        ? "NOSTRIL TEST Attestation Service"
                                        : "NVIDIA Attestation Service GPU";
    if (!common_name(chain.front()).starts_with(prefix)) return fail(ChainError::WrongName);
    record("key_chain", true,
           fmt::format("{} <- {}", common_name(chain.front()), common_name(chain.back())), wanted);
    out.chain = std::move(chain);
    return out;
  }

  void check_signatures(const std::vector<Token>& tokens,
                        const std::map<std::string, ServiceKey>& keys) {
    const std::string wanted = "each token signed by its key";
    for (const Token& token : tokens) {
      const Certificate& leaf = keys.at(token.jwt.kid).chain.front();
      const bool good =
          verify_p384(p384_key_of(leaf), as_bytes(token.jwt.signed_part), token.jwt.signature);
      const std::string who = token.name.empty() ? "overall" : token.name;
      if (!record("signatures", good,
                  good ? fmt::format("{} signatures", tokens.size())
                       : fmt::format("{}: not signed by its key", who),
                  wanted)) {
        return;
      }
    }
  }

  const NrasEvidence& evidence_;
  const TrustRoots& roots_;
  const UnixTime now_;
  const NrasPolicy& policy_;
  Verdict verdict_;
  Checklist checks_;
  bool marked_ = false;      ///< a device is the simulator's
  bool all_marked_ = false;  ///< and so are all
};

}  // namespace

Verdict verify_nras(const NrasEvidence& evidence, const TrustRoots& roots, UnixTime now,
                    const NrasPolicy& policy) {
  return NrasExamination(evidence, roots, now, policy).run();
}

}  // namespace nostril::attestation
