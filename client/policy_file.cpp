#include "client/policy_file.h"

#include "attestation/utc_time.h"
#include "base/config.h"
#include "base/hex.h"
#include "events/known_good.h"
#include "events/nip19.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <map>
#include <vector>

namespace nostril::client {

namespace {

using attestation::KnownList;
using attestation::Level;
using attestation::ListEntry;
using attestation::SnpTcbMinimum;
using attestation::Subject;
using Pairs = std::map<std::string, std::string, std::less<>>;

constexpr std::int64_t kTokenAgeMax = std::int64_t{2} * 86'400;  // the life of the service's keys
constexpr std::int64_t kUint32Max = std::numeric_limits<std::uint32_t>::max();
constexpr std::int64_t kYearS = std::int64_t{366} * 86'400;
constexpr std::size_t kModelsMax = 1'000;
constexpr std::size_t kExceptionsMax = 100;
constexpr std::size_t kTrustedMax = 64;

[[noreturn]] void refuse(const std::string& name, const std::string& key, std::string_view value) {
  throw ConfigError(fmt::format("{}: {}: \"{}\" is not understood", name, key, value));
}

struct ModelText {
  std::string name;
  std::string level_min;
  std::vector<std::string> images;
  std::vector<std::string> compose;
  std::vector<std::string> weights;
};

struct ExceptionText {
  std::string check;
  std::string found;
  std::string until;
  std::string reason;
};

/// The file as it is written, in its order; Reader makes sense of it.
struct PolicyText {  // NOLINT(clang-analyzer-optin.performance.Padding): one object
  std::string level_min = "declared";
  std::int64_t evidence_age_s_max = 3600;
  bool require_beacon = false;
  std::int64_t beacon_age_s_max = 600;
  std::vector<std::string> beacons;
  std::vector<std::string> machines_allowed;
  std::vector<std::string> machines_denied;
  bool require_known_machine = false;
  std::vector<std::string> compose;
  std::vector<std::string> started_later;
  std::vector<std::string> app_ids;
  std::vector<std::string> os_images;
  std::vector<std::string> key_providers;
  std::vector<std::string> late_events;
  bool allow_unpinned_images = false;
  std::vector<std::string> denied;
  bool allow_any_nonce = false;
  bool allow_any_peer = false;
  std::vector<std::string> trusted;
  std::int64_t auditors_min = 1;
  std::vector<std::string> list_files;
  std::int64_t list_age_s_max = ListRules().age_s_max;
  std::vector<ModelText> models;
  std::vector<ExceptionText> exceptions;
  bool allow_unchecked_tcb = false;
  bool tdx_allow_migratable = false;
  std::int64_t tcb_evaluation_number_min = 0;
  std::vector<std::string> accepted_tcb_statuses;
  std::vector<std::string> accepted_advisories;
  std::vector<std::string> service_tds;
  std::vector<std::string> images;
  bool snp_allow_migratable = false;
  bool allow_smt = true;
  bool require_single_socket = false;
  bool allow_masked_chip = false;
  bool require_crl = false;
  std::string abi_min = "0.0";
  std::int64_t vmpl_max = 0;
  std::int64_t guest_svn_min = 0;
  std::vector<std::string> platform_required;
  std::vector<std::string> platform_forbidden;
  std::vector<std::string> tcb_minimums;
  std::vector<std::string> measurements;
  std::vector<std::string> host_data;
  std::vector<std::string> chip_ids;
  std::vector<std::string> csp_ids;
  attestation::GpuPolicy gpu;
  std::int64_t switch_count = 0;
  attestation::NrasPolicy nras;
};

void declare_tdx(Config& config, PolicyText& text) {
  config.section("tdx", "Intel TDX quotes.");
  config.flag("allow_unchecked_tcb", &text.allow_unchecked_tcb,
              "take quotes without collateral: patch level and revocation are then not known");
  config.flag("allow_migratable", &text.tdx_allow_migratable,
              "take TDs that may be moved to another machine");
  config.number("tcb_evaluation_number_min", &text.tcb_evaluation_number_min, 0, kUint32Max,
                "lowest tcbEvaluationDataNumber of the collateral");
  config.list("accepted_tcb_statuses", &text.accepted_tcb_statuses,
              "taken besides UpToDate; never Revoked");
  config.list("accepted_advisories", &text.accepted_advisories,
              "advisories that such a status may stand for, \"INTEL-SA-…\"; \"any\": all");
  config.list("service_tds", &text.service_tds, "MRSERVICETD taken besides none, hex");
  config.list("images", &text.images,
              "known-good images, \"mrtd=HEX, rtmr0=HEX, …, mrconfigid=HEX\"; empty: any");
}

void declare_snp(Config& config, PolicyText& text) {
  config.section("snp", "AMD SEV-SNP reports.");
  config.flag("allow_migratable", &text.snp_allow_migratable,
              "take guests that may be moved to another machine");
  config.flag("allow_smt", &text.allow_smt, "take guests on machines with SMT");
  config.flag("require_single_socket", &text.require_single_socket,
              "the guest's policy must bind it to one socket");
  config.flag("allow_masked_chip", &text.allow_masked_chip,
              "take reports whose chip id the host has masked");
  config.flag("require_crl", &text.require_crl, "refuse without AMD's CRL");
  config.text("abi_min", &text.abi_min, "lowest firmware ABI that the guest's policy demands");
  config.number("vmpl_max", &text.vmpl_max, 0, 3, "highest privilege level number");
  config.number("guest_svn_min", &text.guest_svn_min, 0, kUint32Max, "lowest guest SVN");
  config.list("platform_required", &text.platform_required,
              "bits that must be set: smt, tsme, ecc, rapl_off, ciphertext_hiding, alias_check, "
              "tio");
  config.list("platform_forbidden", &text.platform_forbidden, "bits that must be clear");
  config.list("tcb_minimums", &text.tcb_minimums,
              "\"product=Milan, bl=4, tee=0, snp=23, ucode=213\" (Turin: fmc=… too); empty: any");
  config.list("measurements", &text.measurements, "known-good launch measurements; empty: any");
  config.list("host_data", &text.host_data, "known-good HOST_DATA; empty: any");
  config.list("chip_ids", &text.chip_ids, "machines, 128 hex digits each; empty: any");
  config.list("csp_ids", &text.csp_ids, "cloud providers of VLEKs; empty: any");
}

void declare_gpu(Config& config, PolicyText& text) {
  attestation::GpuPolicy& policy = text.gpu;
  config.section("gpu", "NVIDIA GPUs.");
  config.flag("allow_missing_rims", &policy.allow_missing_rims,
              "take reports without reference manifests for driver and VBIOS");
  config.flag("refuse_expired_rims", &policy.refuse_expired_rims,
              "refuse manifests whose signer's certificate has expired (after two years)");
  config.flag("allow_missing_fwid", &policy.allow_missing_fwid,
              "take reports of drivers before 2024, which do not name the firmware");
  config.flag("allow_unchecked_switches", &policy.allow_unchecked_switches,
              "take GPUs in protected PCIe mode without reports of their NVSwitches");
  config.number("switch_count", &text.switch_count, 0,
                static_cast<std::int64_t>(attestation::kSwitchCountMax),
                "NVSwitches that there must be reports of: 4 on an HGX board; 0: any");
  config.flag(
      "require_ocsp", &policy.require_ocsp,
      "refuse without a sound OCSP answer about every certificate that NVIDIA gives one of");
  config.text("driver_min", &policy.driver_min, "lowest driver, as 550.90.07; empty: any");
}

void declare_app(Config& config, PolicyText& text) {
  config.list("started_later", &text.started_later,
              "compose files that may be started after the boot, SHA-256 in hex; empty: any, "
              "unless `compose` names some");
  config.list("app_ids", &text.app_ids, "applications, 40 hex digits each; empty: any");
  config.list("os_images", &text.os_images, "os-image-hash of dstack, hex; empty: any");
  config.list("key_providers", &text.key_providers, "id of the key provider, hex; empty: any");
  config.list("late_events", &text.late_events, "events that may stand after system-ready");
  config.flag("allow_unpinned_images", &text.allow_unpinned_images,
              "take compose files that name images by tag");
}

void declare_reports(Config& config, PolicyText& text) {
  config.section("reports", "Reports of other providers (nostril verify report).");
  config.flag("allow_any_nonce", &text.allow_any_nonce,
              "take a report without having asked for it: it may be old");
  config.flag("allow_any_peer", &text.allow_any_peer,
              "take a report that binds a TLS key without knowing one's own connection's");
}

void declare_model(Config& config, ModelText& text) {
  config.text("name", &text.name, "as offers name it");
  config.text("level_min", &text.level_min, "\"\": as above");
  config.list("images", &text.images, "as in [tdx]; or \"measurement=HEX, host_data=HEX\" of SNP");
  config.list("compose", &text.compose, "SHA-256 of the compose file, hex");
  config.list("weights", &text.weights, "digest of the model manifest, hex");
}

void declare_exception(Config& config, ExceptionText& text) {
  config.text("check", &text.check, "as the verdict names it");
  config.text("found", &text.found, "exactly what the verdict says was found");
  config.text("until", &text.until, "\"2026-12-31T00:00:00Z\"; then it refuses again");
  config.text("reason", &text.reason, "shown in every verdict that it changes");
}

void declare_nras(Config& config, attestation::NrasPolicy& policy) {
  config.section("nras", "Tokens of NVIDIA's attestation service.");
  config.number("age_s_max", &policy.age_s_max, 1, kTokenAgeMax, "oldest token that is taken");
  config.list("models", &policy.allowed_models, "hwmodel, as \"GH100\"; empty: any");
  config.list("devices", &policy.allowed_devices, "machines, decimal ueid each; empty: any");
}

void declare(Config& config, PolicyText& text) {
  config.section("",
                 "What evidence is taken. Whatever is not named here keeps its default, which "
                 "refuses.\nNo key takes simulated evidence: that needs a test root, named by "
                 "hand.");
  config.text("level_min", &text.level_min,
              "least level:\n"
              "  declared   sound evidence of a TEE; its software is anybody's\n"
              "  image      and the software is one that this policy or its auditors know\n"
              "  weights    and so are the model's weights, hashed by that software\n"
              "  auditable  and records hold seed and sampling, so that answers can be repeated");
  config.section("freshness", "How old evidence may be.");
  config.number("evidence_age_s_max", &text.evidence_age_s_max, 60, 3600,
                "seconds until the encryption key in the evidence expires");
  config.flag("require_beacon", &text.require_beacon,
              "evidence of offers must be over a recent event of a beacon below");
  config.list("beacons", &text.beacons, "npub: keys whose events prove a time");
  config.number("beacon_age_s_max", &text.beacon_age_s_max, 10, 86'400, "seconds");
  config.section("machines",
                 "Machines by \"ppid=HEX\" (Intel), \"chip_id=HEX\" (AMD), "
                 "\"gpu_serial=HEX\".");
  config.list("allowed", &text.machines_allowed,
              "empty: any; else all processors, and all GPUs when it names a GPU, must be here or "
              "known to auditors");
  config.list("denied", &text.machines_denied, "refused whatever else is said");
  config.flag("require_known", &text.require_known_machine,
              "every machine id must be allowed here or known to auditors");
  config.section("software", "Software besides the images of [tdx] and [snp].");
  config.list("compose", &text.compose, "known compose files, SHA-256 in hex; empty: any");
  declare_app(config, text);
  config.list("denied", &text.denied,
              "\"mrtd=HEX\", \"measurement=HEX\", \"compose=HEX\", \"weights=HEX\"; several parts, "
              "parted by commas, must all be true");
  config.section("lists", "Known-good lists of auditors (kind 31473).");
  config.list("trusted", &text.trusted, "npub of each auditor; empty: none");
  config.list("files", &text.list_files,
              "lists as files, besides those of relays: signed events as JSON");
  config.number("auditors_min", &text.auditors_min, 1, kTrustedMax,
                "how many of them must vouch for a thing");
  config.number("age_s_max", &text.list_age_s_max, 3600, kYearS,
                "seconds after which a list vouches for nothing; its denials stay");
  declare_tdx(config, text);
  declare_snp(config, text);
  declare_gpu(config, text);
  declare_nras(config, text.nras);
  declare_reports(config, text);
  config.tables("model", &text.models, kModelsMax, declare_model,
                "What one model needs in place of the above. A subject named here takes no other "
                "word.");
  config.tables("exception", &text.exceptions, kExceptionsMax, declare_exception,
                "A failed check that is taken as it is, by name, for a time.");
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

/// Turns the file's texts into values; every error names file and key.
class Reader {
 public:
  explicit Reader(const std::string& name) : name_(name) {}

  template <std::size_t N>
  std::array<std::uint8_t, N> hex(const std::string& key, std::string_view text) const {
    std::array<std::uint8_t, N> out{};
    if (!decode_hex(text, out)) refuse(name_, key, text);
    return out;
  }

  template <std::size_t N>
  std::vector<std::array<std::uint8_t, N>> hex_list(const std::string& key,
                                                    const std::vector<std::string>& texts) const {
    std::vector<std::array<std::uint8_t, N>> out;
    out.reserve(texts.size());
    for (const std::string& text : texts) out.push_back(hex<N>(key, text));
    return out;
  }

  std::uint8_t byte(const std::string& key, std::string_view text) const {
    std::uint8_t out = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, out);
    if (error != std::errc() || stop != end) refuse(name_, key, text);
    return out;
  }

  /// "a=1, b=2"; each name once.
  Pairs pairs(const std::string& key, std::string_view text) const {
    Pairs out;
    std::string_view rest = text;
    while (!rest.empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      const std::string_view pair = rest.substr(0, comma);
      rest.remove_prefix(std::min(comma + 1, rest.size()));
      const std::size_t equals = pair.find('=');
      if (equals == std::string_view::npos) refuse(name_, key, text);
      const auto [place, added] =
          out.emplace(trimmed(pair.substr(0, equals)), trimmed(pair.substr(equals + 1)));
      if (!added || place->first.empty()) refuse(name_, key, text);
    }
    return out;
  }

  /// "mrtd=HEX, rtmr1=HEX": the parts of an entry of a known-good list, in any order.
  ListEntry entry(const std::string& key, KnownSubject subject, std::string_view text) const {
    std::vector<KnownPart> parts;
    for (const auto& [part, value] : pairs(key, text)) parts.push_back({part, value});
    if (!make_canonical(parts, subject)) refuse(name_, key, text);
    ListEntry out;
    out.subject = kSubjects.at(static_cast<std::size_t>(subject));
    for (const KnownPart& part : parts) out.parts.push_back({part.name, part.value});
    return out;
  }

  ListEntry image(const std::string& key, std::string_view text) const {
    return entry(key, KnownSubject::Image, text);
  }

  ListEntry machine(const std::string& key, std::string_view text, bool allow) const {
    ListEntry out = entry(key, KnownSubject::Machine, text);
    out.allow = allow;
    return out;
  }

  /// A value of which only the hex is written.
  ListEntry digest(const std::string& key, KnownSubject subject, const std::string& text) const {
    return entry(key, subject, fmt::format("{}={}", nostril::to_string(subject), text));
  }

  ListEntry denied(std::string_view text) const {
    const std::string key = "software.denied";
    const bool alone = text.find(',') == std::string_view::npos;
    const auto subject = alone && text.starts_with("compose=")   ? KnownSubject::Compose
                         : alone && text.starts_with("weights=") ? KnownSubject::Weights
                                                                 : KnownSubject::Image;
    ListEntry out = entry(key, subject, text);
    out.allow = false;
    return out;
  }

  std::vector<PublicKey> keys(const std::string& key, const std::vector<std::string>& texts) const {
    std::vector<PublicKey> out;
    if (texts.size() > kTrustedMax) refuse(name_, key, "so many");
    for (const std::string& text : texts) {
      const auto code = nip19::decode(text);
      const auto* npub = code ? std::get_if<nip19::Npub>(&*code) : nullptr;
      if (npub == nullptr || std::find(out.begin(), out.end(), npub->key) != out.end()) {
        refuse(name_, key, text);
      }
      out.push_back(npub->key);
    }
    return out;
  }

  attestation::Exception exception(const ExceptionText& text) const {
    const auto until = attestation::parse_iso_utc(text.until);
    if (!attestation::is_exceptable(text.check)) refuse(name_, "exception.check", text.check);
    if (!until) refuse(name_, "exception.until", text.until);
    if (text.found.empty()) refuse(name_, "exception.found", text.found);
    if (text.reason.empty()) refuse(name_, "exception.reason", text.reason);
    return {text.check, text.found, *until, text.reason};
  }

  ModelRule model(const ModelText& text) const {
    if (text.name.empty()) refuse(name_, "model.name", text.name);
    ModelRule out{text.name, std::nullopt, {}};
    if (!text.level_min.empty()) out.level_min = level("model.level_min", text.level_min);
    for (const std::string& item : text.images) {
      out.entries.push_back(image("model.images", item));
    }
    for (const std::string& item : text.compose) {
      out.entries.push_back(digest("model.compose", KnownSubject::Compose, item));
    }
    for (const std::string& item : text.weights) {
      out.entries.push_back(digest("model.weights", KnownSubject::Weights, item));
      out.entries.back().model = text.name;
    }
    return out;
  }

  SnpTcbMinimum tcb_minimum(std::string_view text) const {
    const std::string key = "tcb_minimums";
    SnpTcbMinimum out;
    Pairs parts = pairs(key, text);
    const auto product = attestation::parse_snp_product(parts["product"]);
    if (!product) refuse(name_, key, text);
    out.product = *product;
    parts.erase("product");
    const std::map<std::string_view, std::uint8_t*> numbers = {{"fmc", &out.tcb.fmc},
                                                               {"bl", &out.tcb.bootloader},
                                                               {"tee", &out.tcb.tee},
                                                               {"snp", &out.tcb.snp},
                                                               {"ucode", &out.tcb.microcode}};
    for (const auto& [part, value] : parts) {
      const auto number = numbers.find(part);
      if (number == numbers.end()) refuse(name_, key, text);
      *number->second = byte(key, value);
    }
    return out;
  }

  std::uint64_t platform_bits(const std::string& key, const std::vector<std::string>& words) const {
    static const std::map<std::string, std::uint64_t, std::less<>> kBits = {
        {"smt", attestation::kSnpPlatformSmt},
        {"tsme", attestation::kSnpPlatformTsme},
        {"ecc", attestation::kSnpPlatformEcc},
        {"rapl_off", attestation::kSnpPlatformRaplOff},
        {"ciphertext_hiding", attestation::kSnpPlatformCiphertextHiding},
        {"alias_check", attestation::kSnpPlatformAliasCheck},
        {"tio", attestation::kSnpPlatformTio}};
    std::uint64_t out = 0;
    for (const std::string& word : words) {
      const auto bit = kBits.find(word);
      if (bit == kBits.end()) refuse(name_, key, word);
      out |= bit->second;
    }
    return out;
  }

  Level level(const std::string& key, std::string_view text) const {
    for (const Level level :
         {Level::Declared, Level::ImageMeasured, Level::WeightsMeasured, Level::Auditable}) {
      if (text == attestation::to_string(level)) return level;
    }
    refuse(name_, key, text);
  }

 private:
  /// By KnownSubject.
  static constexpr std::array<Subject, kKnownSubjectCount> kSubjects = {
      Subject::Image, Subject::Compose, Subject::Weights, Subject::Machine};

  const std::string& name_;
};

/// The policy's own word, and what is the same for every TEE.
attestation::Acceptance to_acceptance(const PolicyText& text, const Reader& reader) {
  attestation::Acceptance out;
  out.auditors_min = text.auditors_min;
  out.require_known_machine = text.require_known_machine;
  out.require_beacon = text.require_beacon;
  out.beacon_age_s_max = text.beacon_age_s_max;
  for (const ExceptionText& exception : text.exceptions) {
    out.exceptions.push_back(reader.exception(exception));
  }
  KnownList own{"the policy", "", true, attestation::kForever, {}};
  for (const std::string& image : text.images) {
    own.entries.push_back(reader.image("tdx.images", image));
  }
  for (const std::string& measurement : text.measurements) {
    own.entries.push_back(reader.image("snp.measurements", "measurement=" + measurement));
  }
  for (const std::string& compose : text.compose) {
    own.entries.push_back(reader.digest("software.compose", KnownSubject::Compose, compose));
  }
  for (const std::string& item : text.denied) own.entries.push_back(reader.denied(item));
  for (const std::string& machine : text.machines_allowed) {
    own.entries.push_back(reader.machine("machines.allowed", machine, true));
  }
  for (const std::string& machine : text.machines_denied) {
    own.entries.push_back(reader.machine("machines.denied", machine, false));
  }
  out.lists.push_back(std::move(own));
  return out;
}

attestation::Policy to_tdx(const PolicyText& text, const Reader& reader) {
  attestation::Policy out;
  out.level_min = reader.level("level_min", text.level_min);
  out.encryption_key_life_s_max = text.evidence_age_s_max;
  out.allow_unchecked_tcb = text.allow_unchecked_tcb;
  out.allow_migratable = text.tdx_allow_migratable;
  out.tcb_evaluation_number_min = static_cast<std::uint32_t>(text.tcb_evaluation_number_min);
  out.accepted_tcb_statuses = text.accepted_tcb_statuses;
  out.accepted_advisories = text.accepted_advisories;
  out.allowed_service_tds = reader.hex_list<48>("service_tds", text.service_tds);
  return out;
}

attestation::AppPolicy to_app(const PolicyText& text, const Reader& reader) {
  attestation::AppPolicy out;
  out.app_ids = reader.hex_list<20>("software.app_ids", text.app_ids);
  for (const auto& bytes : reader.hex_list<32>("software.os_images", text.os_images)) {
    out.os_images.push_back({bytes});
  }
  for (const auto& bytes : reader.hex_list<32>("software.started_later", text.started_later)) {
    out.post_boot_files.push_back({bytes});
  }
  out.key_providers = text.key_providers;
  out.late_events = text.late_events;
  out.allow_unpinned_images = text.allow_unpinned_images;
  return out;
}

attestation::SnpPolicy to_snp(const PolicyText& text, const Reader& reader) {
  attestation::SnpPolicy out;
  out.level_min = reader.level("level_min", text.level_min);
  out.allow_migratable = text.snp_allow_migratable;
  out.allow_smt = text.allow_smt;
  out.require_single_socket = text.require_single_socket;
  out.allow_masked_chip = text.allow_masked_chip;
  out.require_crl = text.require_crl;
  const std::size_t dot = std::min(text.abi_min.find('.'), text.abi_min.size());
  out.abi_major_min = reader.byte("abi_min", std::string_view(text.abi_min).substr(0, dot));
  out.abi_minor_min = reader.byte(
      "abi_min", std::string_view(text.abi_min).substr(std::min(dot + 1, text.abi_min.size())));
  out.vmpl_max = static_cast<std::uint8_t>(text.vmpl_max);
  out.guest_svn_min = static_cast<std::uint32_t>(text.guest_svn_min);
  out.platform_info_required = reader.platform_bits("platform_required", text.platform_required);
  out.platform_info_forbidden = reader.platform_bits("platform_forbidden", text.platform_forbidden);
  for (const std::string& minimum : text.tcb_minimums) {
    out.tcb_minimums.push_back(reader.tcb_minimum(minimum));
  }
  out.allowed_host_data = reader.hex_list<32>("host_data", text.host_data);
  out.allowed_chip_ids = reader.hex_list<64>("chip_ids", text.chip_ids);
  out.allowed_csp_ids = text.csp_ids;
  return out;
}

attestation::GpuPolicy to_gpu(const PolicyText& text, const Reader& reader) {
  attestation::GpuPolicy out = text.gpu;
  out.switch_count = static_cast<std::uint32_t>(text.switch_count);
  out.level_min = reader.level("level_min", text.level_min);
  return out;
}

attestation::NrasPolicy to_nras(const PolicyText& text, const Reader& reader) {
  attestation::NrasPolicy out = text.nras;
  out.level_min = reader.level("level_min", text.level_min);
  return out;
}

}  // namespace

VerifyPolicy parse_verify_policy(std::string_view toml, const std::string& name) {
  PolicyText text;
  Config config;
  declare(config, text);
  config.load_text(toml, name);
  const Reader reader(name);
  VerifyPolicy out{to_tdx(text, reader),
                   to_snp(text, reader),
                   to_gpu(text, reader),
                   to_nras(text, reader),
                   {},
                   {},
                   {},
                   text.allow_any_nonce,
                   text.allow_any_peer};
  out.tdx.acceptance = to_acceptance(text, reader);
  out.tdx.app = to_app(text, reader);
  out.snp.acceptance = out.tdx.acceptance;
  out.gpu.acceptance = out.tdx.acceptance;
  out.nras.acceptance = out.tdx.acceptance;
  for (const ModelText& model : text.models) {
    for (const ModelRule& other : out.models) {
      if (other.model == model.name) refuse(name, "model.name", model.name);
    }
    out.models.push_back(reader.model(model));
  }
  out.lists.trusted = reader.keys("lists.trusted", text.trusted);
  out.lists.files = text.list_files;
  out.lists.auditors_min = text.auditors_min;
  out.lists.age_s_max = text.list_age_s_max;
  out.beacons = reader.keys("freshness.beacons", text.beacons);
  return out;
}

std::string print_verify_policy() {
  PolicyText text;
  Config config;
  declare(config, text);
  return config.print();
}

attestation::Policy policy_for_model(const VerifyPolicy& policy, std::string_view model,
                                     bool records_sampling) {
  attestation::Policy out = policy.tdx;
  out.snp = policy.snp;
  out.gpu = policy.gpu;
  out.acceptance.model = model;
  out.acceptance.records_sampling = records_sampling;
  for (const ModelRule& rule : policy.models) {
    if (rule.model != model) continue;
    out.level_min = rule.level_min.value_or(out.level_min);
    const auto is_named = [&rule](const ListEntry& entry) {
      return entry.allow &&
             std::any_of(rule.entries.begin(), rule.entries.end(),
                         [&entry](const ListEntry& own) { return own.subject == entry.subject; });
    };
    for (KnownList& list : out.acceptance.lists) std::erase_if(list.entries, is_named);
    out.acceptance.lists.push_back(
        {"the policy", rule.model, true, attestation::kForever, rule.entries});
  }
  return out;
}

}  // namespace nostril::client
