#include "attestation/collateral_json.h"
#include "attestation/x509.h"
#include "base/hex.h"
#include "client/cli/commands.h"
#include "client/known_good_book.h"
#include "client/policy_file.h"

#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <stdexcept>

namespace nostril::client::cli {

namespace {

constexpr std::streamsize kFileBytesMax = 2 << 20;
constexpr std::size_t kNonceBytesMax = 64;
constexpr int kRefused = 1;
constexpr int kUnusable = 2;

Bytes read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  Bytes out(static_cast<std::size_t>(kFileBytesMax) + 1);
  file.read(reinterpret_cast<char*>(out.data()), kFileBytesMax + 1);
  if (file.bad() || !file.eof()) {
    throw std::runtime_error(path + ": can't be read, or is larger than 2 MiB");
  }
  out.resize(static_cast<std::size_t>(file.gcount()));
  return out;
}

/// A certificate's DER, whichever of the two forms the file has. What is neither stays as it is:
/// the verdict says so.
Bytes read_certificate(const std::string& path) {
  Bytes bytes = read_bytes(path);
  const auto chain = attestation::parse_pem_chain(as_text(bytes));
  return chain && chain->size() == 1 ? chain->front().der : bytes;
}

attestation::TrustRoots read_roots(const std::string& path) {
  const auto roots = attestation::TrustRoots::only(read_certificate(path));
  if (!roots) throw std::runtime_error(path + ": " + std::string(to_string(roots.error())));
  return *roots;
}

/// The policy with the lists that it names as files.
VerifyPolicy read_policy(const EvidenceOptions& options, std::int64_t now_s) {
  VerifyPolicy out;
  if (!options.policy.empty()) {
    const Bytes text = read_bytes(options.policy);
    out = parse_verify_policy(as_text(text), options.policy);
    KnownGoodBook book(out.lists);
    add_files(book, out.lists, now_s);
    book.apply_to(out);
  }
  // Who names a root by hand knows that no vendor stands behind it.
  out.tdx.accept_simulated = !options.root.empty();
  out.snp.accept_simulated = !options.root.empty();
  return out;
}

Bytes read_nonce(const std::string& hex) {
  const auto out = decode_hex(hex);
  if (!out || out->size() > kNonceBytesMax) {
    throw std::runtime_error("--nonce: not hex of at most 64 bytes");
  }
  return *out;
}

int report(attestation::Verdict verdict, const EvidenceOptions& options) {
  if (!options.root.empty()) verdict.claims.push_back({"root_file", options.root, "--root"});
  if (options.json) fmt::print("{}\n", attestation::to_json(verdict));
  if (options.explain) {
    fmt::print(options.json ? stderr : stdout, "{}", attestation::explain(verdict));
  }
  if (!options.json && !options.explain) {
    fmt::print("{}\n", attestation::summary(verdict));
    for (const attestation::Check& check : verdict.checks) {
      if (!attestation::refuses(check)) continue;
      fmt::print("  {}: {}; wanted: {}\n", check.name,
                 check.found.empty() ? "not checked" : check.found, check.wanted);
    }
  }
  return verdict.accepted ? 0 : kRefused;
}

int unusable(const std::exception& error) {
  fmt::print(stderr, "nostril: {}\n", error.what());
  return kUnusable;
}

attestation::Verdict intel_verdict(std::int64_t now_s, const EvidenceOptions& options) {
  const VerifyPolicy policy = read_policy(options, now_s);
  const auto roots =
      options.root.empty() ? attestation::TrustRoots::intel() : read_roots(options.root);
  const Bytes quote = read_bytes(options.quote);
  std::optional<attestation::Collateral> collateral;
  if (!options.collateral.empty()) {
    const Bytes text = read_bytes(options.collateral);
    const auto parsed = attestation::parse_collateral_json(as_text(text));
    if (!parsed) {
      throw std::runtime_error(options.collateral + ": " + std::string(to_string(parsed.error())));
    }
    collateral = *parsed;
  }
  return attestation::verify_intel_quote(quote, collateral ? &*collateral : nullptr, roots, now_s,
                                         policy.tdx, read_nonce(options.nonce));
}

attestation::Verdict snp_verdict(std::int64_t now_s, const EvidenceOptions& options) {
  VerifyPolicy policy = read_policy(options, now_s);
  const auto roots =
      options.root.empty() ? attestation::TrustRoots::amd() : read_roots(options.root);
  attestation::SnpEvidence evidence;
  evidence.report = read_bytes(options.report);
  evidence.certificates.vek = read_certificate(options.vcek);
  if (!options.chain.empty()) evidence.certificates.chain = as_text(read_bytes(options.chain));
  if (!options.crl.empty()) evidence.certificates.crl = read_bytes(options.crl);
  policy.snp.nonce = read_nonce(options.nonce);
  return attestation::verify_snp(evidence, roots, now_s, policy.snp);
}

}  // namespace

int verify_intel(Process& process, const EvidenceOptions& options) {
  try {
    return report(intel_verdict(options.now.value_or(process.clock.unix_s()), options), options);
  } catch (const std::exception& error) {
    return unusable(error);
  }
}

int verify_snp(Process& process, const EvidenceOptions& options) {
  try {
    return report(snp_verdict(options.now.value_or(process.clock.unix_s()), options), options);
  } catch (const std::exception& error) {
    return unusable(error);
  }
}

int print_policy() {
  fmt::print("{}", print_verify_policy());
  return 0;
}

}  // namespace nostril::client::cli
