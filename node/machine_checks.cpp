#include "node/machine_checks.h"

#include "attestation/tee_tag.h"
#include "attestation/utc_time.h"
#include "base/file.h"
#include "client/channel_store.h"
#include "client/key_file.h"
#include "node/collateral.h"
#include "schnorr/keys.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

namespace nostril::node {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kCollateralAheadS = 86'400;
constexpr std::uint64_t kFreeBytesMin = 100ULL << 20U;
constexpr std::uint64_t kFreeBytesWanted = 1ULL << 30U;
constexpr std::int64_t kSyncMsWanted = 50;

constexpr const char* kSimulatedRemedy =
    "for development only: clients take it when they name DATA/sim-root.der as a test root; on a "
    "machine with a TEE: evidence = \"auto\"";

/// As a node states it, but for the life of its encryption key: the verdict's end is then the
/// collateral's.
attestation::Statement trial_statement(Judge& judge, Rng& rng) {
  constexpr std::int64_t kYearS = 31'536'000;
  attestation::Statement out;
  out.node = Keypair::generate(rng).public_key();
  out.encryption_key = Keypair::generate(rng).public_key();
  out.encryption_key_expires_at = judge.now_s + kYearS;
  judge.policy.encryption_key_life_s_max = 2 * kYearS;
  rng.fill(out.nonce);
  return out;
}

std::string refusals_of(const attestation::Verdict& verdict) {
  std::string out;
  for (const attestation::Check& check : verdict.checks) {
    // What was not reached says nothing.
    if (!attestation::refuses(check) || check.found.empty()) continue;
    out += fmt::format("\n{}: {}{}{}", check.name, check.found,
                       check.wanted.empty() ? "" : ", wanted ", check.wanted);
  }
  return out;
}

Finding collateral_finding(const attestation::Evidence& evidence,
                           const attestation::Verdict& verdict, std::int64_t now_s) {
  if (lacks_collateral(evidence)) {
    return {"collateral", Health::Wrong, "the vendor's word about this machine can't be had",
            "let this machine reach the services of [collateral] (intel_url, amd_url, nvidia_url), "
            "or place their documents in the folder by hand: docs/evidence.md, Collateral; the log "
            "above says which failed"};
  }
  if (verdict.holds_until == attestation::kForever)
    return {"collateral", Health::Ok, "complete", {}};
  const std::string until = attestation::format_iso_utc(verdict.holds_until);
  if (verdict.holds_until < now_s + kCollateralAheadS) {
    return {"collateral", Health::Warning, fmt::format("holds until {} only", until),
            "it is fetched anew two days before it ends: look why the services of [collateral] do "
            "not give a newer one; on an SNP host, whether its certificates end"};
  }
  return {"collateral", Health::Ok, fmt::format("complete, holds until {}", until), {}};
}

std::string read_word(const fs::path& path) {
  std::ifstream file(path);
  std::string out;
  file >> out;
  return out;
}

/// Display controllers of NVIDIA's among the devices.
std::size_t nvidia_count(const fs::path& pci) {
  std::size_t out = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(pci, error)) {
    if (read_word(entry.path() / "vendor") == "0x10de" &&
        read_word(entry.path() / "class").starts_with("0x03")) {
      ++out;
    }
  }
  return out;
}

std::string describe(const GpuSummary& gpus) {
  std::map<std::string, std::size_t> kinds;
  for (const GpuDevice& gpu : gpus.devices) {
    ++kinds[fmt::format("{} with VBIOS {}", gpu.name.empty() ? "GPU" : gpu.name,
                        gpu.vbios.empty() ? "unknown" : gpu.vbios)];
  }
  std::string out;
  for (const auto& [kind, count] : kinds) out += fmt::format("{} {}, ", count, kind);
  return out + fmt::format("driver {}", gpus.driver.empty() ? "unknown" : gpus.driver);
}

/// Milliseconds that one small write and its sync take; nothing when it can't be written.
std::optional<std::int64_t> sync_ms(const fs::path& folder) {
  std::string path = (folder / "doctor-XXXXXX").string();
  const UniqueFd file(mkstemp(path.data()));
  if (!file.is_open()) return std::nullopt;
  const auto begin = std::chrono::steady_clock::now();
  const bool written = write(file.get(), "nostril", 7) == 7 && fsync(file.get()) == 0;
  const auto took = std::chrono::steady_clock::now() - begin;
  unlink(path.c_str());
  if (!written) return std::nullopt;
  return std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
}

std::string remedy_of_rights(const fs::path& path, mode_t mode) {
  return fmt::format("as root: chown {} {} && chmod {:o} {}", geteuid(), path.string(), mode,
                     path.string());
}

/// The owner's alone.
std::optional<Finding> wrong_rights(const fs::path& path, mode_t mode_wanted) {
  struct stat found {};

  if (stat(path.c_str(), &found) != 0) return std::nullopt;
  constexpr mode_t kOthers = 077;
  if (found.st_uid == geteuid() && (found.st_mode & kOthers) == 0) return std::nullopt;
  return Finding{"data", Health::Wrong,
                 fmt::format("{} has mode {:o} and belongs to user {}", path.string(),
                             found.st_mode & 07777U, found.st_uid),
                 remedy_of_rights(path, mode_wanted)};
}

Finding room_in(const fs::path& folder) {
  struct statvfs disk {};

  if (statvfs(folder.c_str(), &disk) != 0) {
    return {"disk", Health::Wrong, folder.string() + " can't be looked at", "set data to a folder"};
  }
  const std::uint64_t free = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  const auto took = sync_ms(folder);
  if (!took) {
    return {"disk", Health::Wrong, folder.string() + " can't be written",
            remedy_of_rights(folder, 0700)};
  }
  Finding out{
      "disk",
      Health::Ok,
      fmt::format("{:.1f} GB free, a sync takes {} ms", static_cast<double>(free) / 1e9, *took),
      {}};
  if (free < kFreeBytesWanted) {
    out.health = free < kFreeBytesMin ? Health::Wrong : Health::Warning;
    out.remedy = "make room: when the disk is full no record can be stored, and nothing is served";
  } else if (*took > kSyncMsWanted) {
    out.health = Health::Warning;
    out.remedy = "put data on a faster disk: the end of each answer waits for one sync";
  }
  return out;
}

}  // namespace

Findings check_settings(const NodeConfig& config) {
  if (const auto problem = config.problem()) {
    return {{"settings", Health::Wrong, *problem, "mend the configuration file"}};
  }
  return {{"settings",
           Health::Ok,
           fmt::format("{} relays, prices in {}", config.relays.size(), config.offer.asset),
           {}}};
}

Findings try_evidence(EvidenceSource& source, Judge judge, Rng& rng) {
  const attestation::Statement statement = trial_statement(judge, rng);
  const auto evidence = whole_evidence(source, statement, judge.now_s);
  if (!evidence) {
    return {{"evidence", Health::Wrong, evidence.error(),
             "without a quote nothing is offered: docs/evidence.md, Where evidence comes from"}};
  }
  const auto verdict =
      verify(*evidence, evidence->statement, judge.roots, judge.now_s, judge.policy);
  Finding tried{"evidence", Health::Ok, attestation::summary(verdict), {}};
  tried.found += fmt::format("\na quote of {} bytes, offered as {}", evidence->cpu_quote.size(),
                             attestation::tee_tag(*evidence));
  if (!verdict.accepted) {
    tried.health = source.simulated() ? Health::Warning : Health::Wrong;
    tried.found += refusals_of(verdict);
    tried.remedy = source.simulated()
                       ? kSimulatedRemedy
                       : "clients' default policy refuses this machine; a TCB that is out of date "
                         "is the host's to update (BIOS, microcode, TDX module, SNP firmware): "
                         "docs/verify.md names each check";
  }
  if (source.simulated()) return {tried};
  return {tried, collateral_finding(*evidence, verdict, judge.now_s)};
}

Findings check_evidence(const NodeConfig& config, const Judge& judge, Rng& rng) {
  const EvidenceSettings settings = config.evidence_settings();
  const EvidenceChoice choice = choose_evidence(settings);
  const std::string notes = fmt::format("{}", fmt::join(choice.notes, "\n"));
  if (choice.source.empty()) {
    return {{"tee", Health::Wrong, "none that gives evidence", notes}};
  }
  const auto interfaces = tee_interfaces(settings.paths);
  const bool simulated = choice.source == "simulated";
  Finding tee{
      "tee",
      Health::Ok,
      fmt::format("evidence from {}; interfaces here: {}", choice.source,
                  interfaces.empty() ? "none" : fmt::format("{}", fmt::join(interfaces, ", "))),
      {}};
  if (simulated) {
    tee.health = Health::Warning;
    tee.found = "evidence is SIMULATED: nothing protects what clients send";
    tee.remedy = kSimulatedRemedy;
  }
  // The simulator writes its root and seed: a trial's go elsewhere.
  std::string scratch = (fs::temp_directory_path() / "nostril-doctor-XXXXXX").string();
  if (simulated && mkdtemp(scratch.data()) == nullptr) {
    return {tee, {"evidence", Health::Warning, "not tried", "make " + scratch + " writable"}};
  }
  auto source = make_evidence_source(settings, fs::path(simulated ? scratch : config.data), rng);
  Findings out = {tee};
  if (source) {
    if (!simulated) *source = with_collateral(std::move(*source), config.collateral_settings());
    for (Finding& finding : try_evidence(**source, judge, rng)) out.push_back(std::move(finding));
  } else {
    out.push_back(Finding{"evidence", Health::Wrong, source.error(), "docs/evidence.md"});
  }
  std::error_code ignored;
  if (simulated) fs::remove_all(scratch, ignored);
  return out;
}

Finding check_gpus(const std::string& library, bool has_tee, const fs::path& pci) {
  if (library.empty()) {
    return {"gpu", Health::Ok, "not asked (tee.nvml_library is empty)", {}};
  }
  const GpuSummary gpus = summarise_gpus(library);
  const std::size_t seen = nvidia_count(pci);
  if (!gpus.has_library && seen > 0) {
    return {"gpu", Health::Wrong, fmt::format("{} NVIDIA GPUs without a driver that answers", seen),
            "install NVIDIA's driver 550 or later with its open kernel modules in this guest; in a "
            "container: run it with the NVIDIA runtime (--gpus all)"};
  }
  if (gpus.devices.empty()) {
    return {"gpu", has_tee ? Health::Warning : Health::Ok, "none",
            has_tee ? "clients who want a GPU in confidential mode will not come; pass one to this "
                      "guest if it has one"
                    : ""};
  }
  Finding out{"gpu", Health::Ok, describe(gpus), {}};
  if (gpus.development) {
    out.health = Health::Wrong;
    out.found += ", confidential computing in DEVELOPMENT mode";
    out.remedy =
        "on the host: set the mode \"on\", not \"devtools\" (gpu-admin-tools: "
        "nvidia_gpu_tools.py --set-cc-mode=on --reset-after-cc-mode-switch)";
  } else if (!gpus.confidential) {
    out.health = has_tee ? Health::Wrong : Health::Warning;
    out.found += ", confidential computing is OFF";
    out.remedy =
        "prompts would leave the TEE for this GPU: on the host, with the guest stopped, "
        "gpu-admin-tools: nvidia_gpu_tools.py --set-cc-mode=on "
        "--reset-after-cc-mode-switch";
  } else {
    out.found += ", confidential computing is on";
    if (gpus.ready == false) {
      out.health = Health::Wrong;
      out.found += ", not ready for work";
      out.remedy = "nvidia-smi conf-compute -srs 1, after the GPUs' attestation";
    }
  }
  return out;
}

Findings check_data(const fs::path& data) {
  std::error_code error;
  if (!fs::exists(data, error)) {
    const fs::path parent = fs::absolute(data, error).parent_path();
    if (access(parent.c_str(), W_OK | X_OK) == 0) {
      return {{"data",
               Health::Ok,
               fmt::format("{} will be made at the first start", data.string()),
               {}},
              room_in(parent)};
    }
    return {{"data", Health::Wrong, fmt::format("{} is not there and can't be made", data.string()),
             fmt::format("as root: install -d -m 700 -o {} {}", geteuid(), data.string())}};
  }
  if (auto wrong = wrong_rights(data, 0700)) return {*wrong};
  const fs::path identity = data / "identity.nsec";
  if (auto wrong = wrong_rights(identity, 0600)) return {*wrong, room_in(data)};
  Finding out{"data", Health::Ok, data.string() + ", its owner's alone; no identity yet", {}};
  if (fs::exists(identity, error)) {
    if (const auto key = client::read_key_file(identity); !key) {
      return {{"data", Health::Wrong, key.error(),
               "restore identity.nsec from your copy; without one, move it away: the node then "
               "makes a new identity, to which no reputation attaches"},
              room_in(data)};
    }
    out.found = data.string() + ", its owner's alone; identity can be read";
  }
  return {out, room_in(data)};
}

Finding check_journal(const fs::path& data, net::Loop& loop) {
  std::error_code error;
  if (!fs::exists(data / "journal", error)) {
    return {"journal", Health::Ok, "none yet: nothing was served", {}};
  }
  const auto journal = client::Journal::open(data / "journal", loop);
  if (!journal) {
    return {"journal", Health::Wrong, journal.error(),
            "restore the folder from a copy; receipts that are lost can't be redeemed"};
  }

  struct Sum {
    Uint128 accepted = 0;
    Uint128 owed = 0;
  };

  std::map<std::string, Sum> sums;
  const auto channels = client::all_channels(**journal);
  for (const client::StoredChannel& channel : channels) {
    const settlement::NodeChannel book(channel.terms, {}, channel.snapshot);
    Sum& sum = sums[channel.terms.asset];
    sum.accepted += book.accepted().value();
    if (book.spent() > book.accepted()) sum.owed += book.spent().value() - book.accepted().value();
  }
  Finding out{"journal", Health::Ok, fmt::format("{} channels", channels.size()), {}};
  for (const auto& [asset, sum] : sums) {
    out.found += fmt::format("; receipts of {} {}, {} owed", to_decimal(sum.accepted), asset,
                             to_decimal(sum.owed));
  }
  return out;
}

}  // namespace nostril::node
