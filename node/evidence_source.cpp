#include "node/evidence_source.h"

#include "attestation/gpu_report.h"
#include "attestation/switch_verify.h"
#include "base/log.h"
#include "node/dstack_agent.h"
#include "node/sev_guest.h"
#include "node/simulated_source.h"
#include "node/snp_certificate_table.h"
#include "node/tsm_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <system_error>
#include <utility>

namespace nostril::node {

namespace {

namespace fs = std::filesystem;
using attestation::Evidence;
using attestation::Statement;
using EvidenceResult = Result<Evidence, std::string>;
using ReportData = std::span<const std::uint8_t, 64>;

constexpr std::string_view kTdxTag = "tdx";
constexpr std::string_view kSnpTag = "sev-snp";

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

Evidence tdx_evidence(Bytes quote) {
  Evidence out;
  out.kind = attestation::kKindTdx;
  out.cpu_quote = std::move(quote);
  return out;
}

EvidenceResult snp_evidence(Bytes report, ByteSpan table) {
  auto certificates = parse_snp_certificate_table(table);
  if (!certificates) return failure(certificates.error());
  Evidence out;
  out.kind = attestation::kKindSnp;
  out.cpu_quote = std::move(report);
  out.snp = std::move(*certificates);
  return out;
}

EvidenceResult within_bounds(Evidence evidence) {
  if (!attestation::within_limits(evidence)) {
    return failure(
        fmt::format("the machine's answer of {} bytes is larger than any quote or report",
                    evidence.cpu_quote.size()));
  }
  return evidence;
}

bool names_switches(const GpuAnswer& gpu) {
  const auto report = attestation::parse_gpu_report(gpu.report);
  return report && !attestation::named_switches(*report).empty();
}

/// What is real.
class MachineSource : public EvidenceSource {
 public:
  MachineSource(std::string_view tee, const EvidenceSettings& settings)
      : tee_(tee), nvml_library_(settings.nvml_library), nscq_library_(settings.nscq_library) {}

  EvidenceResult evidence(const Statement& statement, std::int64_t now_s) final {
    auto out = quote(attestation::report_data(statement), now_s);
    if (out) out->statement = statement;
    return out;
  }

  Result<BoardAnswer, std::string> board(const Digest& nonce) final {
    BoardAnswer out;
    if (nvml_library_.empty()) return out;
    auto gpus = gpu_reports(nonce, nvml_library_);
    if (!gpus) return failure(gpus.error());
    out.gpus = std::move(*gpus);
    const bool wanted = std::ranges::any_of(out.gpus, names_switches);
    if (!wanted || nscq_library_.empty()) return out;
    // GPUs are evidence without their switches, too: of a machine that clients' default policy
    // refuses.
    auto switches = switch_reports(nonce, nscq_library_);
    if (switches) {
      out.switches = std::move(*switches);
    } else {
      log(LogLevel::Error, "no reports of NVSwitches for clients: {}",
          public_text(switches.error()));
    }
    return out;
  }

  [[nodiscard]] std::string_view tee() const final { return tee_; }

  [[nodiscard]] bool simulated() const final { return false; }

 private:
  std::string_view tee_;
  std::string nvml_library_;
  std::string nscq_library_;
};

class DstackSource final : public MachineSource {
 public:
  explicit DstackSource(const EvidenceSettings& settings)
      : MachineSource(kTdxTag, settings), socket_(settings.paths.dstack_socket) {}

  EvidenceResult quote(ReportData report_data, std::int64_t /*now_s*/) override {
    auto answer = dstack_quote(socket_, report_data);
    if (!answer) return snp(report_data, answer.error());
    Evidence out = tdx_evidence(std::move(answer->quote));
    add_app(out, *answer);
    out.vm_config = std::move(answer->vm_config);
    return within_bounds(std::move(out));
  }

 private:
  /// An agent that has no quote may have a report of SEV-SNP.
  EvidenceResult snp(ReportData report_data, const std::string& why_no_quote) {
    auto report = dstack_report(socket_, report_data);
    if (!report) return failure(why_no_quote + "; " + report.error());
    Evidence out;
    out.kind = attestation::kKindSnp;
    const auto info = dstack_info(socket_);
    auto app = dstack_snp_app(*report, info.value_or(DstackInfo{}));
    if (app) {
      out.app = std::move(*app);
    } else {
      log(LogLevel::Error, "no event log for clients: {}", public_text(app.error()));
    }
    out.cpu_quote = std::move(report->report);
    out.snp = std::move(report->certificates);
    return within_bounds(std::move(out));
  }

  /// A quote without these is evidence, too, of a machine that says nothing of its application.
  void add_app(Evidence& out, const DstackQuote& quote) const {
    const auto info = dstack_info(socket_);
    if (!info) log(LogLevel::Error, "no compose text for clients: {}", public_text(info.error()));
    auto app = dstack_app(quote, info.value_or(DstackInfo{}));
    if (app) {
      out.app = std::move(*app);
    } else {
      log(LogLevel::Error, "no event log for clients: {}", public_text(app.error()));
    }
  }

  fs::path socket_;
};

class TsmSource final : public MachineSource {
 public:
  TsmSource(const EvidenceSettings& settings, std::string_view tee)
      : MachineSource(tee, settings), folder_(settings.paths.tsm_folder) {}

  EvidenceResult quote(ReportData report_data, std::int64_t /*now_s*/) override {
    auto report = read_tsm_report(folder_, report_data);
    if (!report) return failure(report.error());
    if (report->provider == kTsmTdxProvider) {
      return within_bounds(tdx_evidence(std::move(report->outblob)));
    }
    auto made = snp_evidence(std::move(report->outblob), report->auxblob);
    if (!made) return failure(made.error());
    return within_bounds(std::move(*made));
  }

 private:
  TsmFolder folder_;
};

class SevGuestSource final : public MachineSource {
 public:
  SevGuestSource(const EvidenceSettings& settings, std::unique_ptr<SevGuestDevice> device)
      : MachineSource(kSnpTag, settings), device_(std::move(device)) {}

  EvidenceResult quote(ReportData report_data, std::int64_t /*now_s*/) override {
    auto report = sev_guest_report(*device_, report_data);
    if (!report) return failure(report.error());
    auto made = snp_evidence(std::move(report->report), report->certificates);
    if (!made) return failure(made.error());
    return within_bounds(std::move(*made));
  }

 private:
  std::unique_ptr<SevGuestDevice> device_;
};

/// The offer's tag for what answers in configfs, or why it can't be used.
Result<std::string_view, std::string> tsm_tag(const fs::path& path) {
  TsmFolder folder(path);
  const auto provider = tsm_provider(folder);
  if (!provider) return failure(provider.error());
  if (*provider == kTsmTdxProvider) return kTdxTag;
  if (*provider == kTsmSnpProvider) return kSnpTag;
  return failure(fmt::format("{}: its provider is {}, neither {} nor {}", path.string(), *provider,
                             kTsmTdxProvider, kTsmSnpProvider));
}

bool is_source(std::string_view name) {
  return name == "dstack" || name == "tsm" || name == "sev-guest" || name == "simulated";
}

/// Why `source` can't be used here; nothing when it can.
std::optional<std::string> obstacle(std::string_view source, const TeePaths& paths) {
  if (source == "dstack" && !is_there(paths.dstack_socket)) {
    return fmt::format(
        "dstack: {} is not there; mount the guest agent's socket into this container "
        "(volumes: {}:{})",
        paths.dstack_socket.string(), paths.dstack_socket.string(), paths.dstack_socket.string());
  }
  if (source == "tsm") {
    if (!is_there(paths.tsm_folder)) {
      return fmt::format(
          "tsm: {} is not there; it needs a TEE guest with Linux 6.7 or later and "
          "configfs mounted",
          paths.tsm_folder.string());
    }
    if (const auto tag = tsm_tag(paths.tsm_folder); !tag) return "tsm: " + tag.error();
  }
  if (source == "sev-guest" && !is_there(paths.sev_guest)) {
    return fmt::format("sev-guest: {} is not there; in an SNP guest: modprobe sev-guest",
                       paths.sev_guest.string());
  }
  if (source == "simulated") {
    if (const auto found = tee_interfaces(paths); !found.empty()) {
      return fmt::format(
          "simulated: refused beside a real TEE; this machine has {}; use "
          "evidence = \"auto\"",
          fmt::join(found, ", "));
    }
  }
  return std::nullopt;
}

std::vector<ByteSpan> reports_of(const std::vector<GpuAnswer>& devices) {
  std::vector<ByteSpan> out;
  out.reserve(devices.size());
  for (const GpuAnswer& device : devices) out.emplace_back(device.report);
  return out;
}

std::string joined(const std::vector<std::string>& notes) {
  return fmt::format("{}", fmt::join(notes, "\n  "));
}

}  // namespace

EvidenceResult whole_evidence(EvidenceSource& source, Statement statement, std::int64_t now_s) {
  auto board = source.board(attestation::gpu_nonce(statement.nonce, statement.node));
  if (!board) return failure(board.error());
  statement.gpu_evidence =
      attestation::gpu_evidence_digest(reports_of(board->gpus), reports_of(board->switches));
  auto out = source.evidence(statement, now_s);
  if (!out) return out;
  auto documents = source.board_documents(*board, now_s);
  out->gpu_manifests = std::move(documents.manifests);
  out->ocsp_answers = std::move(documents.ocsp);
  for (GpuAnswer& gpu : board->gpus) {
    out->gpu_reports.push_back(std::move(gpu.report));
    out->gpu_chains.push_back(std::move(gpu.chain));
  }
  for (GpuAnswer& one : board->switches) {
    out->switch_reports.push_back(std::move(one.report));
    out->switch_chains.push_back(std::move(one.chain));
  }
  return out;
}

std::vector<std::string> tee_interfaces(const TeePaths& paths) {
  std::vector<std::string> out;
  for (const fs::path& path : {paths.dstack_socket, paths.tsm_folder, paths.sev_guest}) {
    if (is_there(path)) out.push_back(path.string());
  }
  for (const fs::path& path : paths.others) {
    if (is_there(path)) out.push_back(path.string());
  }
  return out;
}

EvidenceChoice choose_evidence(const EvidenceSettings& settings) {
  EvidenceChoice out;
  std::vector<std::string> names = {settings.source};
  if (settings.source == "auto") {
    names = {"dstack", "tsm", "sev-guest"};
  } else if (!is_source(settings.source)) {
    out.notes.emplace_back(
        "evidence must be \"auto\", \"dstack\", \"tsm\", \"sev-guest\" or \"simulated\"");
    return out;
  }
  for (const std::string& name : names) {
    auto why_not = obstacle(name, settings.paths);
    if (!why_not) {
      out.source = name;
      return out;
    }
    out.notes.push_back(std::move(*why_not));
  }
  if (settings.source == "auto") {
    out.notes.emplace_back(
        "no TEE was found; to develop without one: evidence = \"simulated\", which clients refuse "
        "unless they ask for it");
  }
  return out;
}

Result<std::unique_ptr<EvidenceSource>, std::string> make_evidence_source(
    const EvidenceSettings& settings, const fs::path& data, Rng& rng) {
  const EvidenceChoice choice = choose_evidence(settings);
  const TeePaths& paths = settings.paths;
  if (choice.source == "dstack") return std::make_unique<DstackSource>(settings);
  if (choice.source == "tsm") {
    const auto tag = tsm_tag(paths.tsm_folder);
    if (!tag) return failure(tag.error());
    return std::make_unique<TsmSource>(settings, *tag);
  }
  if (choice.source == "sev-guest") {
    auto device = open_sev_guest(paths.sev_guest);
    if (!device) return failure(device.error());
    return std::make_unique<SevGuestSource>(settings, std::move(*device));
  }
  if (choice.source == "simulated") {
    return make_simulated_source(settings, data, rng);
  }
  return failure("no evidence, so nothing can be offered:\n  " + joined(choice.notes));
}

}  // namespace nostril::node
