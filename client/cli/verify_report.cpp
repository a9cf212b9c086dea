#include "attestation/collateral_json.h"
#include "attestation/combined_report.h"
#include "attestation/x509.h"
#include "base/hex.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/evidence_files.h"
#include "client/collateral_fetch.h"
#include "client/report_fetch.h"
#include "net/http.h"
#include "schnorr/hash.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <openssl/x509.h>

#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <vector>

namespace nostril::client::cli {

namespace {

constexpr std::size_t kNonceBytes = 32;

/// Every vendor's roots; one named by hand replaces them all, but for NVIDIA's manifests, which are
/// sound whatever the device is.
attestation::TrustRoots report_roots(const EvidenceOptions& options) {
  return roots_of(options, attestation::TrustRoots::vendors)
      .joined(attestation::TrustRoots::nvidia_manifests());
}

/// What --collateral names, told apart by content: Intel's as JSON, one certificate (VCEK or VLEK),
/// or its chain in PEM.
struct VendorFiles {
  std::vector<attestation::Collateral> intel;
  Bytes vek;
  std::string vek_chain;

  void add(const std::string& path) {
    Bytes bytes = read_bytes(path);
    if (const auto parsed = attestation::parse_collateral_json(as_text(bytes))) {
      intel.push_back(*parsed);
      return;
    }
    const auto pem = attestation::parse_pem_chain(as_text(bytes));
    if (pem && pem->size() > 1) {
      vek_chain = as_text(bytes);
    } else if (pem && pem->size() == 1) {
      vek = pem->front().der;
    } else if (attestation::parse_certificate(bytes)) {
      vek = std::move(bytes);
    } else {
      throw std::runtime_error(path + ": neither collateral as JSON nor certificates");
    }
  }
};

/// SHA-256 of the SubjectPublicKeyInfo: as 64 hex digits; or of that key itself, in hex or in a
/// file, where a certificate stands for its key.
attestation::PeerKey read_peer(const std::string& text) {
  if (const auto digest = from_hex<Digest>(text)) return {*digest};
  Bytes der = decode_hex(text).value_or(Bytes{});
  if (der.empty()) der = read_certificate(text);
  if (const auto certificate = attestation::parse_certificate(der)) {
    const auto key = peer_key_of(*certificate);
    if (!key) throw std::runtime_error("--peer-spki: the certificate has no key");
    return *key;
  }
  const unsigned char* at = der.data();
  X509_PUBKEY* key = d2i_X509_PUBKEY(nullptr, &at, static_cast<long>(der.size()));
  const bool whole = key != nullptr && at == der.data() + der.size();
  X509_PUBKEY_free(key);
  if (!whole) throw std::runtime_error("--peer-spki: no SHA-256 in hex and no public key");
  return {sha256(ByteSpan(der))};
}

/// What stands around a report: how it came.
struct Arrival {
  std::string report;
  Bytes nonce;
  std::optional<attestation::PeerKey> peer;
};

Arrival from_file(const EvidenceOptions& options) {
  Arrival out{std::string(as_text(read_bytes(options.report))), read_nonce(options.nonce),
              std::nullopt};
  if (!options.peer_spki.empty()) out.peer = read_peer(options.peer_spki);
  return out;
}

/// One line.
std::string read_api_key(const std::string& path) {
  if (path.empty()) return {};
  std::string out(as_text(read_bytes(path)));
  while (!out.empty() && (out.back() == '\n' || out.back() == '\r')) out.pop_back();
  if (!net::is_http_field_value(out)) throw std::runtime_error(path + ": not one line of text");
  return out;
}

void save_bytes(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
  file.close();
  if (!file) throw std::runtime_error(path + ": can't be written");
}

Arrival from_url(Process& process, const EvidenceOptions& options) {
  Arrival out;
  out.nonce = read_nonce(options.nonce);
  if (out.nonce.empty()) {
    out.nonce.resize(kNonceBytes);
    process.rng.fill(out.nonce);
  }
  const auto url = report_url(options.url, out.nonce, options.model);
  if (!url) throw std::runtime_error("--url: " + url.error());
  ReportCall call{*url, options.ca_file, read_api_key(options.api_key)};
  call.ms_max = static_cast<std::uint64_t>(options.timeout_s) * 1'000;
  auto fetched = fetch_report(process.loop, call);
  if (!fetched) throw std::runtime_error(*url + ": " + fetched.error());
  out.report = std::move(fetched->body);
  out.peer = fetched->peer;
  if (!options.save.empty()) save_bytes(options.save, out.report);
  return out;
}

/// How another machine judges the same bytes.
void say_again(const EvidenceOptions& options, const Arrival& arrival, std::int64_t now_s) {
  fmt::print(stderr, "again    nostril verify report --file {} --now {} --nonce {}{}\n",
             options.save.empty() ? "FILE" : options.save, now_s, encode_hex(arrival.nonce),
             arrival.peer ? " --peer-spki " + encode_hex(arrival.peer->spki_sha256) : "");
}

void add_claims(attestation::Verdict& verdict, const EvidenceOptions& options,
                const Arrival& arrival) {
  verdict.claims.push_back({"asked.url", options.url, "--url"});
  verdict.claims.push_back({"asked.nonce", encode_hex(arrival.nonce), "request"});
  if (!arrival.peer) return;
  verdict.claims.push_back(
      {"asked.peer_spki_sha256", encode_hex(arrival.peer->spki_sha256), "TLS connection"});
}

/// Of a PCCS all documents come from it.
FetchedCollateral fetched(Process& process, const Arrival& arrival,
                          const EvidenceOptions& options) {
  CollateralCall call;
  call.ca_file = options.ca_file;
  call.ms_max = static_cast<std::uint64_t>(options.timeout_s) * 1'000;
  if (!options.intel_url.empty()) {
    call.intel_url = options.intel_url;
    call.intel_root_crl_url = options.intel_url + "/sgx/certification/v4/rootcacrl";
  }
  if (!options.amd_url.empty()) call.amd_url = options.amd_url;
  auto out = fetch_collateral(process.loop, arrival.report, arrival.nonce, call);
  if (!out) throw std::runtime_error("--fetch-collateral: " + out.error());
  return std::move(*out);
}

Judged judge(const Arrival& arrival, FetchedCollateral vendors, std::int64_t now_s,
             const EvidenceOptions& options) {
  const VerifyPolicy policy = read_policy(options, now_s);
  VendorFiles files;
  files.intel = std::move(vendors.intel);
  files.vek = std::move(vendors.vek);
  for (const std::string& path : options.collaterals) files.add(path);
  if (!options.vcek.empty()) files.vek = read_certificate(options.vcek);
  if (!options.chain.empty()) files.vek_chain = as_text(read_bytes(options.chain));
  const Bytes crl = options.crl.empty() ? std::move(vendors.crl) : read_bytes(options.crl);
  std::vector<Bytes> rims;
  for (const std::string& path : options.rims) rims.push_back(read_bytes(path));
  const attestation::ReportPolicy rules{policy.tdx, policy.snp, policy.gpu, policy.allow_any_nonce,
                                        policy.allow_any_peer};
  const attestation::TrustRoots roots = report_roots(options);
  const attestation::ReportInput input{
      arrival.report, files.intel,  files.vek, files.vek_chain, crl,  rims,
      arrival.nonce,  arrival.peer, roots,     now_s,           rules};
  return {attestation::verify_report(input), chains_of_report(input)};
}

}  // namespace

int verify_report(Process& process, const EvidenceOptions& options) {
  try {
    const bool asked = !options.url.empty();
    const Arrival arrival = asked ? from_url(process, options) : from_file(options);
    const FetchedCollateral vendors =
        options.fetch_collateral ? fetched(process, arrival, options) : FetchedCollateral{};
    const auto judged = [&](std::int64_t now_s, const EvidenceOptions&) {
      Judged out = judge(arrival, vendors, now_s, options);
      if (asked) {
        say_again(options, arrival, now_s);
        add_claims(out.verdict, options, arrival);
      }
      return out;
    };
    return judge_files(process, options, asked ? options.url : options.report, judged);
  } catch (const std::exception& error) {
    return unusable(error);
  }
}

void add_verify_report(CLI::App& verify_app, Options& o, Command& run) {
  auto* app = add_evidence_command(verify_app, "report", "a provider's whole attestation answer",
                                   verify_report, o, run);
  auto* source = app->add_option_group("source", "the answer, saved or asked for now");
  source->add_option("--file", o.evidence.report, "the answer, as the service gave it");
  auto* url = source->add_option("--url", o.evidence.url,
                                 "ask https://HOST[/v1/attestation/report] with a fresh nonce");
  source->require_option(1);
  app->add_option("-m,--model", o.evidence.model, "that the URL's report is of")->needs(url);
  app->add_option("--save", o.evidence.save, "file for the exact bytes of the URL's answer")
      ->needs(url);
  app->add_option("--ca-file", o.evidence.ca_file,
                  "PEM roots for the URL and for --fetch-collateral; else the system's");
  app->add_option("--api-key", o.evidence.api_key, "file with the key that the URL's service wants")
      ->needs(url);
  app->add_option("--timeout", o.evidence.timeout_s,
                  "seconds for the URL's whole answer, and for each document that is fetched")
      ->check(CLI::Range(1, 600))
      ->capture_default_str();
  auto* files = app->add_option("--collateral", o.evidence.collaterals,
                                "Intel's collateral (JSON); or AMD's certificates; once each");
  auto* fetch = app->add_flag("--fetch-collateral", o.evidence.fetch_collateral,
                              "ask Intel and AMD now about the report's machines: they learn "
                              "which these are")
                    ->excludes(files);
  app->add_option("--intel-url", o.evidence.intel_url, "a PCCS in place of Intel's service")
      ->needs(fetch);
  app->add_option("--amd-url", o.evidence.amd_url, "in place of AMD's key server")->needs(fetch);
  app->add_option("--peer-spki", o.evidence.peer_spki,
                  "key of the TLS connection: SHA-256 of its SubjectPublicKeyInfo in hex, or a "
                  "file with the key or certificate; of a URL it is known")
      ->excludes(url);
  add_vek_options(*app, o.evidence, false);
  add_rim_option(*app, o.evidence);
}

}  // namespace nostril::client::cli
