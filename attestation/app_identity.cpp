#include "attestation/app_identity.h"

#include "base/hex.h"
#include "base/json.h"
#include "schnorr/hash.h"
#include "schnorr/keccak.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace nostril::attestation {

namespace {

constexpr std::string_view kLogSource = "event log";
constexpr std::string_view kBootSource = "event log, register 3";
constexpr std::string_view kComposeSource = "app compose";
constexpr std::string_view kDigestMark = "@sha256:";
constexpr std::size_t kDigestDigits = 64;

template <typename T>
bool contains(const std::vector<T>& list, const T& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

std::string join(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

/// The byte that MRCONFIGID version 2 hashes for a key provider.
std::optional<std::uint8_t> key_provider_byte(std::string_view name) {
  constexpr std::array<std::string_view, 4> kNames = {"none", "local-sgx", "kms", "tpm"};
  const auto* const found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<std::uint8_t>(found - kNames.begin());
}

Digest mr_config_v2_digest(const BootRecord& boot, std::uint8_t key_provider) {
  Bytes text(boot.compose_hash.bytes.begin(), boot.compose_hash.bytes.end());
  text.insert(text.end(), boot.app_id.begin(), boot.app_id.end());
  text.push_back(key_provider);
  text.insert(text.end(), boot.key_provider_id.begin(), boot.key_provider_id.end());
  return keccak256(text);
}

Measurement mr_config_register(std::uint8_t version, const Digest& digest) {
  Measurement out{};
  out[0] = version;
  std::copy(digest.bytes.begin(), digest.bytes.end(), out.begin() + 1);
  return out;
}

class AppExamination {
 public:
  AppExamination(const AppEvidence& app, const AppRegisters& registers, const AppRules& rules,
                 Verdict& verdict)
      : app_(app),
        registers_(registers),
        policy_(rules.policy),
        verdict_(verdict),
        checks_(verdict.checks) {}

  void run() {
    const auto& log = app_.log;
    if (!checks_.record(
            "event_log", log.has_value(),
            log ? fmt::format("{} events", log->size()) : std::string(to_string(log.error())),
            "every digest that of its event")) {
      return;
    }
    claim("events", static_cast<std::int64_t>(log->size()), kLogSource);
    claim("empty_digests",
          std::int64_t{std::count_if(log->begin(), log->end(),
                                     [](const auto& event) { return !event.digest_given; })},
          kLogSource);
    check_replay(*log);
    const auto boot = read_boot_record(*log);
    if (!checks_.record("boot_events", boot.has_value(),
                        boot ? join(boot->events) : std::string(to_string(boot.error())),
                        "app-id and compose-hash, each event once, then system-ready")) {
      return;
    }
    claim_boot(*boot, kBootSource);
    check_late_events(*boot);
    check_boot(*boot);
    check_mrconfigid(*boot);
    check_compose(*boot);
  }

  void run_snp(std::span<const std::uint8_t, 32> host_data) {
    const auto config = read_mr_config(app_.mr_config);
    const Digest digest = mr_config_digest(app_.mr_config);
    if (!config) {
      checks_.record("mr_config", false, "no document", "the document of HOST_DATA");
      return;
    }
    if (!checks_.compare("mr_config", digest.bytes, host_data)) return;
    claim_boot(*config, "mr-config document");
    check_agreement(*config);
    check_boot(*config);
    check_compose(*config);
  }

 private:
  void claim(std::string name, Claim::Value value, std::string_view source) {
    verdict_.claims.push_back({std::move(name), std::move(value), std::string(source)});
  }

  void check_replay(const EventLog& log) {
    const auto replayed = replay(log);
    std::vector<std::string> differing;
    for (std::size_t i = 0; i < replayed.size(); ++i) {
      if (registers_.fixed.at(i) || replayed.at(i) == registers_.rtmr.at(i)) continue;
      differing.push_back(fmt::format("rtmr{} is {}", i, encode_hex(replayed.at(i))));
    }
    checks_.record("event_replay", differing.empty(),
                   differing.empty() ? "the quote's registers" : join(differing),
                   "the quote's registers");
  }

  void claim_boot(const BootRecord& boot, std::string_view source) {
    if (!boot.events.empty()) claim("runtime_events", boot.events, source);
    claim("app_id", encode_hex(boot.app_id), source);
    claim("compose_hash", encode_hex(boot.compose_hash), source);
    verdict_.identities.push_back({"compose", encode_hex(boot.compose_hash)});
    claim("instance_id", boot.instance_id, source);
    if (boot.os_image_hash) claim("os_image_hash", encode_hex(*boot.os_image_hash), source);
    claim("key_provider", boot.key_provider, source);
    claim("key_provider_id", encode_hex(boot.key_provider_id), source);
  }

  void check_agreement(const BootRecord& config) {
    const auto boot = app_.log ? read_boot_record(*app_.log) : failure(BootError::Missing);
    const bool same =
        boot && boot->app_id == config.app_id && boot->compose_hash == config.compose_hash &&
        boot->instance_id == config.instance_id && boot->key_provider == config.key_provider &&
        boot->key_provider_id == config.key_provider_id;
    checks_.record("boot_events", same,
                   boot ? join(boot->events) : std::string(to_string(boot.error())),
                   "what the document says");
  }

  void check_late_events(const BootRecord& boot) {
    std::vector<std::string> strange;
    for (const std::string& name : boot.late_events) {
      if (!contains(policy_.late_events, name)) strange.push_back(name);
    }
    checks_.record("late_events", strange.empty(), strange.empty() ? "none" : join(strange),
                   "after system-ready none that the policy does not name");
    if (!policy_.os_images.empty()) {
      checks_.record("os_image",
                     boot.os_image_hash && contains(policy_.os_images, *boot.os_image_hash),
                     boot.os_image_hash ? encode_hex(*boot.os_image_hash) : "not on record",
                     "an image in the policy's list");
    }
  }

  void check_boot(const BootRecord& boot) {
    check_app_id(boot);
    if (!policy_.key_providers.empty()) {
      const std::string id = encode_hex(boot.key_provider_id);
      checks_.record("key_provider", contains(policy_.key_providers, id),
                     boot.key_provider + " " + id, "a key provider in the policy's list");
    }
  }

  /// An application that a KMS manages has an id of its own; the KMS gives its keys to that id.
  void check_app_id(const BootRecord& boot) {
    const bool derived =
        std::equal(boot.app_id.begin(), boot.app_id.end(), boot.compose_hash.bytes.begin());
    const bool listed = policy_.app_ids.empty() || contains(policy_.app_ids, boot.app_id);
    const bool managed = boot.key_provider == "kms";
    checks_.record("app_id", (derived || managed) && listed, encode_hex(boot.app_id),
                   std::string(managed ? "any under a KMS" : "the compose hash's first 20 bytes") +
                       (policy_.app_ids.empty() ? "" : ", in the policy's list"));
  }

  void check_mrconfigid(const BootRecord& boot) {
    const Measurement& found = registers_.mrconfigid;
    const std::string wanted = "nothing, or this application";
    std::optional<Measurement> expected;
    if (found[0] == 0) {
      expected = Measurement{};
    } else if (found[0] == 1) {
      expected = mr_config_register(1, boot.compose_hash);
    } else if (found[0] == 2) {
      if (const auto byte = key_provider_byte(boot.key_provider)) {
        expected = mr_config_register(2, mr_config_v2_digest(boot, *byte));
      }
    } else if (found[0] == 3) {
      expected = expected_by_document(boot);
    }
    checks_.record("mrconfigid", expected == found,
                   expected == found && found[0] == 0 ? "nothing: only the event log names the app"
                                                      : encode_hex(found),
                   expected && *expected != Measurement{} ? encode_hex(*expected) : wanted);
  }

  std::optional<Measurement> expected_by_document(const BootRecord& boot) const {
    const auto config = read_mr_config(app_.mr_config);
    if (!config || config->app_id != boot.app_id || config->compose_hash != boot.compose_hash ||
        config->key_provider != boot.key_provider ||
        config->key_provider_id != boot.key_provider_id ||
        config->instance_id != boot.instance_id) {
      return std::nullopt;
    }
    return mr_config_register(3, mr_config_digest(app_.mr_config));
  }

  void check_compose(const BootRecord& boot) {
    if (app_.compose.empty()) return;
    const Digest digest = sha256(app_.compose);
    if (!checks_.compare("app_compose", digest.bytes, boot.compose_hash.bytes)) return;
    const auto images = images_of(app_.compose);
    if (!images) {
      checks_.record("images_pinned", false, "not a compose document", "image: NAME@sha256:DIGEST");
      return;
    }
    check_images(*images);
    claim_compose();
  }

  void check_images(const std::vector<ImageReference>& images) {
    std::set<std::string> digests;
    std::vector<std::string> loose;
    for (const ImageReference& image : images) {
      if (image.pinned) {
        digests.insert(image.digest);
      } else {
        loose.push_back(image.text);
      }
    }
    claim("image_digests", std::vector<std::string>(digests.begin(), digests.end()),
          kComposeSource);
    claim("unpinned_images", loose, kComposeSource);
    if (policy_.allow_unpinned_images) return;
    checks_.record("images_pinned", loose.empty(),
                   loose.empty() ? fmt::format("{} images", digests.size()) : join(loose),
                   "image: NAME@sha256:DIGEST");
  }

  /// What changes the behaviour of pinned images: scripts, and variables that the operator sets.
  void claim_compose() {
    const auto json = Json::parse(app_.compose);
    std::vector<std::string> scripts;
    for (const char* name : {"pre_launch_script", "init_script"}) {
      if (!json->find_string(name).value_or("").empty()) scripts.emplace_back(name);
    }
    std::vector<std::string> variables;
    if (const Json* names = json->find("allowed_envs")) {
      for (const Json& name : names->items()) variables.emplace_back(name.string().value_or("?"));
    }
    claim("compose_scripts", scripts, kComposeSource);
    claim("operator_variables", variables, kComposeSource);
  }

  const AppEvidence& app_;
  const AppRegisters& registers_;
  const AppPolicy& policy_;
  Verdict& verdict_;
  Checklist checks_;
};

bool holds(const Verdict& verdict, const Identity& part) {
  return std::find(verdict.identities.begin(), verdict.identities.end(), part) !=
         verdict.identities.end();
}

/// Registers that an image of the caller's own list fixes, the quote being of that image.
std::array<bool, 4> fixed_registers(const Verdict& verdict, const Acceptance& acceptance) {
  std::array<bool, 4> out{};
  for (const KnownList& list : acceptance.lists) {
    for (const ListEntry& entry : list.entries) {
      const bool image = list.own && entry.allow && entry.subject == Subject::Image;
      if (!image ||
          !std::all_of(entry.parts.begin(), entry.parts.end(),
                       [&verdict](const Identity& part) { return holds(verdict, part); })) {
        continue;
      }
      for (std::size_t i = 0; i < out.size(); ++i) {
        const std::string name = fmt::format("rtmr{}", i);
        out.at(i) =
            out.at(i) || std::any_of(entry.parts.begin(), entry.parts.end(),
                                     [&name](const Identity& part) { return part.name == name; });
      }
    }
  }
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) {
    text.remove_suffix(1);
  }
  return text;
}

/// The text after `key:` where the line has that key, quoted or not, also inside { }.
std::optional<std::string_view> value_of_key(std::string_view line, std::string_view key) {
  for (std::size_t at = line.find(key); at != std::string_view::npos; at = line.find(key, at + 1)) {
    if (at != 0 && std::string_view(" \t\"'{,-").find(line[at - 1]) == std::string_view::npos) {
      continue;
    }
    std::string_view rest = line.substr(at + key.size());
    if (!rest.empty() && (rest.front() == '"' || rest.front() == '\'')) rest.remove_prefix(1);
    rest = trimmed(rest);
    if (!rest.empty() && rest.front() == ':') return trimmed(rest.substr(1));
  }
  return std::nullopt;
}

/// The first word of a YAML value, without its quotes.
std::string_view first_word(std::string_view value) {
  if (!value.empty() && (value.front() == '"' || value.front() == '\'')) {
    const std::size_t end = value.find(value.front(), 1);
    return value.substr(1, end == std::string_view::npos ? end : end - 1);
  }
  // A comma or brace ends it in { }; a variable's own braces do not.
  std::size_t depth = 0;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    if (c == '{') ++depth;
    if (c == '}' && depth-- == 0) return value.substr(0, i);
    if (depth == 0 && (c == ' ' || c == ',' || c == '\t')) return value.substr(0, i);
  }
  return value;
}

bool is_digest(std::string_view text) {
  return text.size() == kDigestDigits && decode_hex(text).has_value();
}

/// `${NAME:-DEFAULT}` is DEFAULT when nobody may set NAME; any other variable is unknown.
std::string_view without_variable(std::string_view word, const Json* settable) {
  if (!word.starts_with("${") || !word.ends_with('}')) return word;
  const std::size_t mark = word.find(":-");
  if (mark == std::string_view::npos || settable == nullptr || !settable->is_array()) return word;
  const std::string_view name = word.substr(2, mark - 2);
  const auto names = settable->items();
  const bool may_set = std::any_of(names.begin(), names.end(),
                                   [name](const Json& item) { return item.string() == name; });
  return may_set ? word : word.substr(mark + 2, word.size() - mark - 3);
}

ImageReference image_reference(std::string_view value, const Json* settable) {
  const std::string_view word = without_variable(first_word(value), settable);
  ImageReference out;
  out.text = word;
  const std::size_t mark = word.find(kDigestMark);
  if (mark == std::string_view::npos || mark == 0 || word.find('$') != std::string_view::npos) {
    return out;
  }
  const std::string_view digest = word.substr(mark + kDigestMark.size());
  out.pinned = is_digest(digest);
  if (out.pinned) out.digest = digest;
  return out;
}

}  // namespace

bool AppRules::needs_log() const {
  return expected || lists_compose || !policy.app_ids.empty() || !policy.os_images.empty() ||
         !policy.key_providers.empty();
}

AppRules app_rules(const Policy& policy, bool expected) {
  return {policy.app, demands(policy.acceptance, Subject::Compose), expected};
}

AppRegisters app_registers(const Verdict& verdict, const Acceptance& acceptance) {
  const Measurements& found = verdict.measurements;
  return {found.rtmr, found.mrconfigid, fixed_registers(verdict, acceptance)};
}

void list_app_checks(Checklist& checks, const AppRules& rules) {
  const AppPolicy& policy = rules.policy;
  const auto add = [&checks, &rules](std::string_view name, bool required,
                                     std::string_view source) {
    checks.add(name, required && rules.needs_log(), source);
  };
  add("event_log", true, "event log");
  add("event_replay", true, "event log; quote, TD report, rtmr0 to rtmr3");
  add("boot_events", true, "event log, register 3");
  add("late_events", true, "event log, register 3, after system-ready");
  // A listed hash says what runs, whether the text is at hand or not.
  add("app_compose", !rules.lists_compose, "app compose; event log, compose-hash");
  add("images_pinned", !policy.allow_unpinned_images, "app compose, docker_compose_file");
  add("app_id", true, "event log, app-id");
  add("mrconfigid", true, "quote, TD report, mrconfigid; event log");
  add("os_image", !policy.os_images.empty(), "event log, os-image-hash");
  add("key_provider", !policy.key_providers.empty(), "event log, key-provider");
}

void examine_app(const AppEvidence& app, const AppRegisters& registers, const AppRules& rules,
                 Verdict& verdict) {
  AppExamination(app, registers, rules, verdict).run();
}

void list_snp_app_checks(Checklist& checks, const AppRules& rules) {
  const AppPolicy& policy = rules.policy;
  checks.add("mr_config", true, "mr-config document; report, host_data");
  checks.add("boot_events", true, "runtime events; mr-config document");
  checks.add("app_compose", !rules.lists_compose, "app compose; compose_hash");
  checks.add("images_pinned", !policy.allow_unpinned_images, "app compose, docker_compose_file");
  checks.add("app_id", true, "mr-config document, app_id");
  checks.add("os_image", !policy.os_images.empty(), "report, measurement");
  checks.add("key_provider", !policy.key_providers.empty(), "mr-config document, key_provider_id");
}

void examine_snp_app(const AppEvidence& app, std::span<const std::uint8_t, 32> host_data,
                     const AppRules& rules, Verdict& verdict) {
  const AppRegisters none;
  AppExamination(app, none, rules, verdict).run_snp(host_data);
}

std::optional<std::vector<ImageReference>> images_of(std::string_view app_compose) {
  if (app_compose.size() > kAppComposeBytesMax) return std::nullopt;
  const auto json = Json::parse(app_compose);
  const auto file = json ? json->find_string("docker_compose_file") : std::nullopt;
  if (!file) return std::nullopt;
  std::vector<ImageReference> out;
  for (std::string_view rest = *file; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = trimmed(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.starts_with('#')) continue;
    if (const auto value = value_of_key(line, "image")) {
      out.push_back(image_reference(*value, json->find("allowed_envs")));
    }
    if (value_of_key(line, "build")) out.push_back({std::string(line), false, {}});
  }
  return out;
}

Digest mr_config_digest(std::string_view document) {
  constexpr std::string_view kDomain("dstack-mr-config-v3:\0", 21);
  return Sha256().update(kDomain).update(document).finish();
}

std::string mr_config_of(std::string_view vm_config) {
  const auto config = Json::parse(vm_config);
  return config ? std::string(config->find_string("mr_config").value_or("")) : std::string();
}

std::optional<BootRecord> read_mr_config(std::string_view document) {
  const auto json = Json::parse(document);
  if (!json || json->find_integer("version") != 3) return std::nullopt;
  const auto text = [&json](std::string_view name) { return json->find_string(name).value_or(""); };
  BootRecord out;
  const auto id = decode_hex(text("key_provider_id"));
  const auto instance = decode_hex(text("instance_id"));
  if (!decode_hex(text("app_id"), out.app_id) ||
      !decode_hex(text("compose_hash"), out.compose_hash.bytes) || !id || !instance) {
    return std::nullopt;
  }
  out.key_provider = text("key_provider");
  out.key_provider_id = *id;
  out.instance_id = text("instance_id");
  return out;
}

}  // namespace nostril::attestation
