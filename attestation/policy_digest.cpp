#include "attestation/policy_digest.h"

#include "schnorr/hash.h"

#include <array>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace nostril::attestation {

namespace {

/// Every value with its size before it: two different policies feed different bytes.
class Feeder {
 public:
  template <typename... Ts>
  void all(const Ts&... values) {
    (one(values), ...);
  }

  Digest finish() { return hash_.finish(); }

 private:
  template <typename T>
  requires std::integral<T> || std::is_enum_v<T>

  void one(const T& value) {
    const auto number = static_cast<std::uint64_t>(value);
    std::array<std::uint8_t, 8> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes.at(i) = static_cast<std::uint8_t>(number >> (8 * i));
    }
    hash_.update(bytes);
  }

  void one(const std::string& text) {
    one(text.size());
    hash_.update(std::string_view(text));
  }

  void one(const Digest& digest) { hash_.update(digest.bytes); }

  template <std::size_t N>
  void one(const std::array<std::uint8_t, N>& bytes) {
    hash_.update(bytes);
  }

  template <typename T, std::size_t N>
  void one(const std::array<T, N>& values) {
    for (const T& value : values) one(value);
  }

  template <typename T>
  void one(const std::optional<T>& value) {
    one(value.has_value());
    if (value) one(*value);
  }

  template <typename T>
  void one(const std::vector<T>& values) {
    one(values.size());
    for (const T& value : values) one(value);
  }

  void one(const AllowedMeasurements& image) {
    const auto& [mrtd, rtmr, mrconfigid] = image;
    all(mrtd, rtmr, mrconfigid);
  }

  void one(const SnpTcb& tcb) {
    const auto& [fmc, bootloader, tee, snp, microcode] = tcb;
    all(fmc, bootloader, tee, snp, microcode);
  }

  void one(const SnpTcbMinimum& minimum) {
    const auto& [product, tcb] = minimum;
    all(product, tcb);
  }

  void one(const Identity& identity) {
    const auto& [name, value] = identity;
    all(name, value);
  }

  void one(const ListEntry& entry) {
    const auto& [allow, subject, parts, model, reason] = entry;
    all(allow, subject, parts, model, reason);
  }

  void one(const KnownList& list) {
    const auto& [author, name, own, ends_at, entries] = list;
    all(author, name, own, ends_at, entries);
  }

  void one(const Exception& exception) {
    const auto& [check, found, until, reason] = exception;
    all(check, found, until, reason);
  }

  void one(const Acceptance& acceptance) {
    const auto& [lists, auditors_min, exceptions, require_known_machine, require_beacon,
                 beacon_age_s_max, beacons, model, records_sampling] = acceptance;
    all(lists, auditors_min, exceptions, require_known_machine, require_beacon, beacon_age_s_max,
        model, records_sampling);
    static_cast<void>(beacons);
  }

  void one(const AppPolicy& app) {
    const auto& [app_ids, os_images, key_providers, late_events, post_boot_files,
                 allow_unpinned_images] = app;
    all(app_ids, os_images, key_providers, late_events, post_boot_files, allow_unpinned_images);
  }

  Sha256 hash_;
};

}  // namespace

Digest policy_digest(const Policy& policy) {
  const auto& [accept_simulated, allow_unchecked_tcb, allow_migratable, accepted_tcb_statuses,
               accepted_advisories, tcb_evaluation_number_min, allowed_service_tds,
               allowed_measurements, allowed_model_manifests, required_nonce,
               encryption_key_life_s_max, level_min, offered_tee, snp, gpu, acceptance, app] =
      policy;
  Feeder feeder;
  feeder.all(std::string("intel"), accept_simulated, allow_unchecked_tcb, allow_migratable,
             accepted_tcb_statuses, accepted_advisories, tcb_evaluation_number_min,
             allowed_service_tds, allowed_measurements, allowed_model_manifests, required_nonce,
             encryption_key_life_s_max, level_min, offered_tee, policy_digest(snp),
             policy_digest(gpu), acceptance, app);
  return feeder.finish();
}

Digest policy_digest(const SnpPolicy& policy) {
  const auto& [accept_simulated, allow_migratable, allow_smt, require_single_socket,
               allow_masked_chip, require_crl, abi_major_min, abi_minor_min, vmpl_max,
               guest_svn_min, platform_info_required, platform_info_forbidden, tcb_minimums,
               allowed_measurements, allowed_host_data, allowed_chip_ids, allowed_csp_ids, nonce,
               level_min, acceptance] = policy;
  Feeder feeder;
  feeder.all(std::string("amd"), accept_simulated, allow_migratable, allow_smt,
             require_single_socket, allow_masked_chip, require_crl, abi_major_min, abi_minor_min,
             vmpl_max, guest_svn_min, platform_info_required, platform_info_forbidden, tcb_minimums,
             allowed_measurements, allowed_host_data, allowed_chip_ids, allowed_csp_ids, nonce,
             level_min, acceptance);
  return feeder.finish();
}

Digest policy_digest(const GpuPolicy& policy) {
  const auto& [accept_simulated, allow_missing_rims, refuse_expired_rims, allow_missing_fwid,
               allow_unchecked_switches, require_ocsp, ocsp_nonce, switch_count, driver_min, nonce,
               level_min, acceptance] = policy;
  Feeder feeder;
  feeder.all(std::string("nvidia"), accept_simulated, allow_missing_rims, refuse_expired_rims,
             allow_missing_fwid, allow_unchecked_switches, require_ocsp, ocsp_nonce, switch_count,
             driver_min, nonce, level_min, acceptance);
  return feeder.finish();
}

}  // namespace nostril::attestation
