#include "client/policy_file.h"

#include "base/config.h"
#include "base/hex.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <map>
#include <vector>

namespace nostril::client {

namespace {

using attestation::AllowedMeasurements;
using attestation::Level;
using attestation::Measurement;
using attestation::SnpTcbMinimum;
using Pairs = std::map<std::string, std::string, std::less<>>;

constexpr std::int64_t kTokenAgeMax = 2 * 86400;  // the life of the service's keys
constexpr std::int64_t kUint32Max = std::numeric_limits<std::uint32_t>::max();

[[noreturn]] void refuse(const std::string& name, const std::string& key, std::string_view value) {
  throw ConfigError(fmt::format("{}: {}: \"{}\" is not understood", name, key, value));
}

/// The file as it is written; to_policy() makes sense of it.
struct PolicyText {
  std::string level_min = "declared";
  bool allow_unchecked_tcb = false;
  bool tdx_allow_migratable = false;
  std::int64_t tcb_evaluation_number_min = 0;
  std::vector<std::string> accepted_tcb_statuses;
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

void declare_gpu(Config& config, attestation::GpuPolicy& policy) {
  config.section("gpu", "NVIDIA GPUs.");
  config.flag("allow_missing_rims", &policy.allow_missing_rims,
              "take reports without reference manifests for driver and VBIOS");
  config.flag("refuse_expired_rims", &policy.refuse_expired_rims,
              "refuse manifests whose signer's certificate has expired (after two years)");
  config.flag("allow_missing_fwid", &policy.allow_missing_fwid,
              "take reports of drivers before 2024, which do not name the firmware");
  config.flag("allow_unchecked_switches", &policy.allow_unchecked_switches,
              "take GPUs in protected PCIe mode; their NVSwitches are not judged");
  config.text("driver_min", &policy.driver_min, "lowest driver, as 550.90.07; empty: any");
}

void declare_nras(Config& config, attestation::NrasPolicy& policy) {
  config.section("nras", "Tokens of NVIDIA's attestation service.");
  config.number("age_s_max", &policy.age_s_max, 1, kTokenAgeMax, "oldest token that is taken");
  config.list("models", &policy.allowed_models, "hwmodel, as \"GH100\"; empty: any");
  config.list("devices", &policy.allowed_devices, "machines, decimal ueid each; empty: any");
}

void declare(Config& config, PolicyText& text) {
  config.text("level_min", &text.level_min, "declared, image_measured");
  declare_tdx(config, text);
  declare_snp(config, text);
  declare_gpu(config, text.gpu);
  declare_nras(config, text.nras);
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

  AllowedMeasurements image(std::string_view text) const {
    const std::string key = "images";
    AllowedMeasurements out;
    bool has_mrtd = false;
    for (const auto& [part, value] : pairs(key, text)) {
      const auto register_value = hex<48>(key, value);
      if (part == "mrtd") {
        out.mrtd = register_value;
        has_mrtd = true;
      } else if (part == "mrconfigid") {
        out.mrconfigid = register_value;
      } else if (part.size() == 5 && part.starts_with("rtmr") && part[4] >= '0' && part[4] <= '3') {
        out.rtmr.at(static_cast<std::size_t>(part[4] - '0')) = register_value;
      } else {
        refuse(name_, key, text);
      }
    }
    if (!has_mrtd) refuse(name_, key, text);
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

  Level level(std::string_view text) const {
    for (const Level level : {Level::Declared, Level::ImageMeasured}) {
      if (text == attestation::to_string(level)) return level;
    }
    refuse(name_, "level_min", text);
  }

 private:
  const std::string& name_;
};

attestation::Policy to_tdx(const PolicyText& text, const Reader& reader) {
  attestation::Policy out;
  out.level_min = reader.level(text.level_min);
  out.allow_unchecked_tcb = text.allow_unchecked_tcb;
  out.allow_migratable = text.tdx_allow_migratable;
  out.tcb_evaluation_number_min = static_cast<std::uint32_t>(text.tcb_evaluation_number_min);
  out.accepted_tcb_statuses = text.accepted_tcb_statuses;
  out.allowed_service_tds = reader.hex_list<48>("service_tds", text.service_tds);
  for (const std::string& image : text.images) {
    out.allowed_measurements.push_back(reader.image(image));
  }
  return out;
}

attestation::SnpPolicy to_snp(const PolicyText& text, const Reader& reader) {
  attestation::SnpPolicy out;
  out.level_min = reader.level(text.level_min);
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
  out.allowed_measurements = reader.hex_list<48>("measurements", text.measurements);
  out.allowed_host_data = reader.hex_list<32>("host_data", text.host_data);
  out.allowed_chip_ids = reader.hex_list<64>("chip_ids", text.chip_ids);
  out.allowed_csp_ids = text.csp_ids;
  return out;
}

attestation::GpuPolicy to_gpu(const PolicyText& text, const Reader& reader) {
  attestation::GpuPolicy out = text.gpu;
  out.level_min = reader.level(text.level_min);
  return out;
}

attestation::NrasPolicy to_nras(const PolicyText& text, const Reader& reader) {
  attestation::NrasPolicy out = text.nras;
  out.level_min = reader.level(text.level_min);
  return out;
}

}  // namespace

VerifyPolicy parse_verify_policy(std::string_view toml, const std::string& name) {
  PolicyText text;
  Config config;
  declare(config, text);
  config.load_text(toml, name);
  const Reader reader(name);
  return {to_tdx(text, reader), to_snp(text, reader), to_gpu(text, reader), to_nras(text, reader)};
}

std::string print_verify_policy() {
  PolicyText text;
  Config config;
  declare(config, text);
  return config.print();
}

}  // namespace nostril::client
