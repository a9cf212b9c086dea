#include "client/verdict_chains.h"

#include "base/hex.h"
#include "client/verdict_html.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril::client {

namespace {

using attestation::Check;
using attestation::CheckStatus;
using attestation::Claim;
using attestation::Verdict;
using Words = std::vector<std::string>;

/// A certificate of a box: what it is called there, and its place in the chain, the leaf's being 0.
struct BoxCertificate {
  std::string label;
  std::size_t index = 0;
};

/// A box: what it is, the checks that prove it, what is shown of it, what it does to the next.
struct Box {
  std::string title;
  Words checks;
  Words claims;
  std::string next;  ///< empty: nothing
  std::vector<BoxCertificate> certificates = {};
  std::string rows = {};  ///< HTML
  /// Of this box alone, when it is not the chain's.
  std::string chain = {};
};

/// Names of checks and claims are without the machine's prefix.
struct Chain {
  std::string title;
  std::string certificates;  ///< name in ShownChains
  std::vector<Box> boxes;
};

std::vector<BoxCertificate> subject(std::size_t index) {
  return {{"subject", index}};
}

// ---- What a box says ----------------------------------------------------------------------------

/// What its checks make of a box.
struct Standing {
  std::string_view css;
  std::string word;
};

/// One machine of a verdict: names are looked up with its prefix.
class Machine {
 public:
  Machine(const Verdict& verdict, const ShownChains& chains, std::int64_t now_s, std::string prefix)
      : verdict_(verdict), chains_(chains), now_s_(now_s), prefix_(std::move(prefix)) {}

  [[nodiscard]] const Verdict& verdict() const { return verdict_; }

  [[nodiscard]] const std::string& prefix() const { return prefix_; }

  [[nodiscard]] bool has(std::string_view check) const { return find(check) != nullptr; }

  [[nodiscard]] const Claim* claim(const std::string& name) const {
    return verdict_.claim(prefix_ + name);
  }

  [[nodiscard]] std::string text(const std::string& name) const {
    const Claim* found = claim(name);
    return found == nullptr ? std::string() : claim_text(found->value);
  }

  [[nodiscard]] std::string draw(const Chain& chain) const {
    std::string out =
        fmt::format("<div><h4>{}</h4><ol class=\"chain\">\n", escape_html(chain.title));
    for (const Box& box : chain.boxes) out += draw(box, chain.certificates);
    return out + "</ol></div>\n";
  }

 private:
  [[nodiscard]] const Check* find(std::string_view name) const {
    return verdict_.find(prefix_ + std::string(name));
  }

  [[nodiscard]] Standing standing_of(const Words& names) const {
    Words refusing;
    Words excepted;
    Words unchecked;
    bool any_passed = false;
    for (const std::string& name : names) {
      const Check* check = find(name);
      if (check == nullptr) continue;
      if (refuses(*check)) {
        refusing.push_back(name);
      } else if (check->status == CheckStatus::Excepted) {
        excepted.push_back(name);
      } else if (check->status == CheckStatus::NotChecked) {
        unchecked.push_back(name);
      } else {
        any_passed = true;
      }
    }
    if (!refusing.empty()) return {"bad", fmt::format("REFUSED: {}", fmt::join(refusing, ", "))};
    if (!excepted.empty()) return {"warn", fmt::format("EXCEPTED: {}", fmt::join(excepted, ", "))};
    if (!any_passed) return {"dim", "not checked"};
    if (unchecked.empty()) return {"good", "proven"};
    return {"good", fmt::format("proven, but not checked: {}", fmt::join(unchecked, ", "))};
  }

  [[nodiscard]] std::string draw(const Box& box, const std::string& chain) const {
    const Standing look = standing_of(box.checks);
    std::string out = fmt::format(
        "<li class=\"{}{}\" data-link=\"{}\"><div class=\"head\"><b>{}</b><span class=\"tag\">{}"
        "</span></div><dl>",
        look.css, box.next.empty() ? " end" : "", box.next, escape_html(box.title),
        escape_html(look.word));
    for (const BoxCertificate& certificate : box.certificates) {
      out += certificate_rows(certificate, box.chain.empty() ? chain : box.chain);
    }
    for (const std::string& name : box.claims) {
      if (const Claim* found = claim(name)) {
        out += html_row(name.substr(name.find('.') + 1), claim_text(found->value));
      }
    }
    Words present;
    std::copy_if(box.checks.begin(), box.checks.end(), std::back_inserter(present),
                 [this](const std::string& name) { return has(name); });
    out += fmt::format("<dt>checks</dt><dd class=\"dim\">{}</dd>", fmt::join(present, ", "));
    return out + box.rows + "</dl></li>\n";
  }

  [[nodiscard]] std::string certificate_rows(const BoxCertificate& wanted,
                                             const std::string& chain) const {
    const auto found = chains_.find(chain);
    if (found == chains_.end() || wanted.index >= found->second.size()) return {};
    const ShownCertificate& shown = found->second[wanted.index];
    std::string out = html_row(wanted.label, shown.subject);
    const std::string life = date_text(shown.valid_from) + " to " + date_text(shown.valid_until);
    out += html_row("valid", life);
    if (now_s_ < shown.valid_from || now_s_ > shown.valid_until) {
      out += fmt::format("<dt></dt><dd class=\"warn\">not valid at {}</dd>", date_text(now_s_));
    }
    return out;
  }

  const Verdict& verdict_;
  const ShownChains& chains_;
  std::int64_t now_s_;
  std::string prefix_;
};

// ---- The chains ---------------------------------------------------------------------------------

std::string statement_rows(const attestation::Statement& statement) {
  const auto stated = [](const Digest& digest) {
    return digest == Digest{} ? std::string("none") : encode_hex(digest);
  };
  return html_row("node", encode_hex(statement.node)) +
         html_row("encryption key", encode_hex(statement.encryption_key)) +
         html_row("key ends", date_text(statement.encryption_key_expires_at)) +
         html_row("TLS key", stated(statement.tls_spki)) +
         html_row("GPU reports", encode_hex(statement.gpu_evidence)) +
         html_row("model manifest", stated(statement.model_manifest)) +
         html_row("nonce", encode_hex(statement.nonce));
}

/// What the quote or report commits to.
Box commitment(const Machine& machine) {
  const auto& statement = machine.verdict().statement;
  if (statement) {
    return {"Statement of the node",
            {"report_data", "node_key", "encryption_key", "encryption_key_expiry", "model_manifest",
             "nonce"},
            {},
            "",
            {},
            statement_rows(*statement)};
  }
  return {"Report data",
          {"report_data", "nonce", "peer_key", "signing_key", "gpu_evidence_hash"},
          {"report_data", "signing_address", "tls_spki_sha256", "hpke_key"},
          ""};
}

Chain intel_chain(const Machine& machine) {
  return {"Processor: Intel",
          machine.prefix() + "cpu",
          {{"Root certificate", {"pck_chain", "simulated"}, {"root_sha256"}, "signed", subject(2)},
           {"PCK CA", {"pck_chain", "revocation"}, {}, "signed", subject(1)},
           {"PCK certificate of the platform",
            {"platform", "tcb_info", "tcb"},
            {"fmspc", "ppid", "tcb_status", "advisories"},
            "signed the report of",
            subject(0)},
           {"Quoting enclave",
            {"qe_signer", "qe_report_signature", "qe_identity"},
            {"qe_status"},
            "vouches for"},
           {"Attestation key", {"qe_report_data"}, {}, "signed"},
           {"Quote",
            {"quote_format", "quote_signature", "debug", "measurements"},
            {"mrtd", "rtmr1", "rtmr2", "mrenclave"},
            "commits to"},
           commitment(machine)}};
}

Chain amd_chain(const Machine& machine) {
  return {
      "Processor: AMD",
      machine.prefix() + "cpu",
      {{"AMD root key (ARK)", {"vek_chain", "simulated"}, {"root_sha256"}, "signed", subject(2)},
       {"ASK or ASVK", {"vek_chain", "revocation"}, {}, "signed", subject(1)},
       {"VCEK or VLEK of the chip",
        {"vek_extensions", "product", "hardware_id", "tcb"},
        {"product", "chip_id", "csp_id"},
        "signed",
        subject(0)},
       {"Report",
        {"report_format", "report_signature", "debug", "measurements"},
        {"measurement", "host_data"},
        "commits to"},
       commitment(machine)}};
}

Chain application_chain() {
  return {"Application",
          "",
          {{"Event log",
            {"event_log", "event_replay", "boot_events", "late_events", "os_image", "key_provider"},
            {"os_image_hash", "key_provider"},
            "names the digest of"},
           {"Compose text",
            {"app_compose", "app_id", "mrconfigid", "mr_config", "compose"},
            {"compose_hash", "app_id"},
            "names"},
           {"Container images", {"images_pinned"}, {"image_digests", "unpinned_images"}, ""}}};
}

/// Started after the boot, as a second quote says.
Chain later_chain() {
  return {"Started after the boot",
          "",
          {{"Event log", {"event_log", "event_replay", "same_machine"}, {}, "of"},
           {"Actions", {"actions", "files"}, {"action_count", "files"}, ""}}};
}

/// Where claims of GPU `index` begin; alone they have no name of their own.
std::optional<std::string> gpu_claims(const Machine& machine, std::size_t index) {
  const std::string named = fmt::format("gpu{}.", index);
  if (machine.claim(named + "driver") != nullptr) return named;
  if (index == 0 && machine.claim("driver") != nullptr) return "";
  return std::nullopt;
}

Chain gpu_chain(const Machine& machine) {
  Chain out{"GPUs: NVIDIA",
            machine.prefix() + "gpu0",
            {{"Root of the devices", {"gpu_chain"}, {}, "signed", subject(4)},
             {"Identity CA of the chip", {"gpu_chain"}, {}, "signed the keys of", subject(3)}}};
  const std::size_t first = out.boxes.size();
  for (std::size_t i = 0;; ++i) {
    const auto claims = gpu_claims(machine, i);
    if (!claims && i > 0) break;
    Box gpu{fmt::format("GPU {}", i),
            {"gpu_report", "gpu_nonce", "gpu_signature", "gpu_fwid", "gpu_debug", "gpu_mode",
             "gpu_switches", "gpu_driver", "gpu_distinct", "gpu_payload_nonce"},
            {},
            "",
            {{"provisioner", 2}, {"chip key", 1}, {"firmware key", 0}}};
    for (const char* name : {"chip", "driver", "vbios", "serial"}) {
      gpu.claims.push_back(claims.value_or("") + name);
    }
    gpu.chain = fmt::format("{}gpu{}", machine.prefix(), i);
    out.boxes.push_back(std::move(gpu));
  }
  out.boxes.back().next = "must equal";
  for (std::size_t i = first; i + 1 < out.boxes.size(); ++i) out.boxes[i].next = "and";
  out.boxes.push_back({"Reference values", {"gpu_rims", "gpu_measurements"}, {"rim_checked"}, ""});
  return out;
}

/// From the root of NVIDIA's manifests to one.
std::vector<Box> manifest_boxes(const Words& chain, const Words& signer, const Words& manifest,
                                const Words& shown) {
  return {{"Root of the manifests", chain, {}, "signed", subject(3)},
          {"Reference value CA", chain, {}, "signed", subject(2)},
          {"Its issuer for the product", chain, {}, "signed", subject(1)},
          {"Signer", signer, {}, "signed", subject(0)},
          {"Manifest", manifest, shown, ""}};
}

/// The manifest of a driver or a VBIOS, as the first GPU names its version.
Chain manifest_chain(const Machine& machine, const std::string& kind, const std::string& title) {
  const auto claims = gpu_claims(machine, 0);
  const std::string version = machine.text(claims.value_or("") + kind);
  const std::string rim = kind + "_rim";
  Words shown;
  for (const char* name : {"version", "product", "measurements"}) {
    shown.push_back(rim + "." + name);                             // of one GPU alone
    shown.push_back(claims.value_or("gpu0.") + rim + "_" + name);  // of one of several
  }
  return {
      title, "rim " + version,
      manifest_boxes({rim + "_chain"}, {rim + "_chain", rim + "_signer"},
                     {"gpu_" + rim, rim + "_format", rim + "_digest", rim + "_signature"}, shown)};
}

/// The switches between the GPUs; what is judged of all stands with each.
Chain switch_chain(const Machine& machine) {
  Chain out{"NVSwitches: NVIDIA",
            machine.prefix() + "switch0",
            {{"Root of the devices", {"switch_chain"}, {}, "signed", subject(4)},
             {"Identity CA of the chip",
              {"switch_chain", "switch_revocation"},
              {},
              "signed the keys of",
              subject(3)}}};
  for (std::size_t i = 0; i == 0 || machine.claim(fmt::format("switch{}.pdi", i)); ++i) {
    Box one{fmt::format("NVSwitch {}", i),
            {"switch_count", "switch_report", "switch_nonce", "switch_signature", "switch_distinct",
             "switch_gpus", "gpu_switches"},
            {},
            "and",
            {{"provisioner", 2}, {"chip key", 1}, {"firmware key", 0}}};
    for (const char* name : {"pdi", "vbios", "serial"}) {
      one.claims.push_back(fmt::format("switch{}.{}", i, name));
    }
    one.chain = fmt::format("{}switch{}", machine.prefix(), i);
    out.boxes.push_back(std::move(one));
  }
  out.boxes.back().next = "must equal";
  out.boxes.push_back({"Reference values", {"switch_measurements"}, {}, ""});
  return out;
}

Chain switch_manifest_chain(const Machine& machine) {
  return {"Reference values of the switches", "rim " + machine.text("switch0.vbios"),
          manifest_boxes({"switch_rim"}, {"switch_rim"}, {"switch_rim"}, {"switch0.vbios"})};
}

Chain service_chain(const Machine& machine) {
  Chain out{"NVIDIA's attestation service",
            "nras",
            {{"Issuer of the service's keys", {"key_chain", "simulated"}, {}, "signed", subject(1)},
             {"Key of the service", {"key", "key_chain"}, {"kid"}, "signed", subject(0)},
             {"Overall token",
              {"token_format", "token_algorithm", "signatures", "issuer", "validity", "nonce",
               "overall_result"},
              {"eat_nonce", "iat", "exp"},
              "carries the digests of"}}};
  Words devices;
  for (const Claim& claim : machine.verdict().claims) {
    const std::size_t dot = claim.name.find(".model");
    if (dot != std::string::npos) devices.push_back(claim.name.substr(0, dot));
  }
  Box tokens{"Tokens of the devices",
             {"submodules", "device_results", "devices", "models", "platform"},
             {},
             ""};
  for (const std::string& device : devices) {
    tokens.rows += html_row(
        device,
        fmt::format("{}, driver {}, measurements {}", machine.text(device + ".model"),
                    machine.text(device + ".driver"), machine.text(device + ".measurements")));
  }
  out.boxes.push_back(std::move(tokens));
  return out;
}

std::vector<Chain> chains_of(const Machine& machine) {
  std::vector<Chain> out;
  if (machine.has("pck_chain")) out.push_back(intel_chain(machine));
  if (machine.has("vek_chain")) out.push_back(amd_chain(machine));
  if (machine.has("actions")) {
    out.push_back(later_chain());
  } else if (machine.has("app_compose") || machine.has("event_log")) {
    out.push_back(application_chain());
  }
  if (machine.has("gpu_chain")) {
    out.push_back(gpu_chain(machine));
    out.push_back(manifest_chain(machine, "driver", "Reference values of the driver"));
    out.push_back(manifest_chain(machine, "vbios", "Reference values of the VBIOS"));
  }
  if (machine.has("switch_chain")) {
    out.push_back(switch_chain(machine));
    out.push_back(switch_manifest_chain(machine));
  }
  if (machine.has("key_chain")) out.push_back(service_chain(machine));
  return out;
}

/// The machines of a verdict by their prefixes, each once, in order.
Words prefixes_of(const Verdict& verdict) {
  Words out;
  for (const Check& check : verdict.checks) {
    for (const std::string_view end : {"pck_chain", "vek_chain", "gpu_chain", "key_chain"}) {
      const std::string_view name = check.name;
      if (!name.ends_with(end)) continue;
      const std::string prefix(name.substr(0, name.size() - end.size()));
      if (!prefix.empty() && !prefix.ends_with('.')) continue;
      if (std::find(out.begin(), out.end(), prefix) == out.end()) out.push_back(prefix);
    }
  }
  return out;
}

std::string machine_title(std::string prefix) {
  if (!prefix.empty()) prefix.pop_back();
  const std::size_t dot = prefix.find(".post_boot");
  if (dot != std::string::npos) prefix.replace(dot, std::string::npos, ", after the boot");
  return prefix == "post_boot" ? "after the boot" : prefix;
}

}  // namespace

std::string draw_chains(const Verdict& verdict, const ShownChains& chains, std::int64_t now_s) {
  std::string out;
  for (const std::string& prefix : prefixes_of(verdict)) {
    const Machine machine(verdict, chains, now_s, prefix);
    out += "<section>";
    if (!prefix.empty()) out += "<h3>" + escape_html(machine_title(prefix)) + "</h3>";
    out += "<div class=\"chains\">\n";
    for (const Chain& chain : chains_of(machine)) out += machine.draw(chain);
    out += "</div></section>\n";
  }
  return out.empty() ? "<p>The evidence could not be read, so nothing stands.</p>\n" : out;
}

}  // namespace nostril::client
