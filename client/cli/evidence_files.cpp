#include "client/cli/evidence_files.h"

#include "attestation/x509.h"
#include "base/hex.h"
#include "client/cli/node_evidence.h"
#include "client/known_good_book.h"

#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <stdexcept>

namespace nostril::client::cli {

namespace {

constexpr std::streamsize kFileBytesMax = 2 << 20;
constexpr std::size_t kNonceBytesMax = 64;

void write_page(const attestation::Verdict& verdict, const EvidenceOptions& options,
                const PageContext& context) {
  std::ofstream file(options.html, std::ios::binary | std::ios::trunc);
  file << verdict_page(verdict, context);
  file.close();
  if (!file) throw std::runtime_error(options.html + ": can't be written");
}

}  // namespace

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

Bytes read_certificate(const std::string& path) {
  Bytes bytes = read_bytes(path);
  const auto chain = attestation::parse_pem_chain(as_text(bytes));
  return chain && chain->size() == 1 ? chain->front().der : bytes;
}

attestation::TrustRoots roots_of(const EvidenceOptions& options,
                                 attestation::TrustRoots (*built_in)()) {
  std::optional<attestation::TrustRoots> out;
  for (const std::string& path : options.roots) {
    const auto root = attestation::TrustRoots::only(read_certificate(path));
    if (!root) throw std::runtime_error(path + ": " + std::string(to_string(root.error())));
    out = out ? out->joined(*root) : *root;
  }
  return out ? *out : built_in();
}

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
  const bool named = !options.roots.empty();
  out.tdx.accept_simulated = named;
  out.snp.accept_simulated = named;
  out.gpu.accept_simulated = named;
  out.nras.accept_simulated = named;
  return out;
}

Bytes read_nonce(const std::string& hex) {
  const auto out = decode_hex(hex);
  if (!out || out->size() > kNonceBytesMax) {
    throw std::runtime_error("--nonce: not hex of at most 64 bytes");
  }
  return *out;
}

int report(attestation::Verdict verdict, const EvidenceOptions& options,
           const PageContext& context) {
  if (options.roots.size() == 1) {
    verdict.claims.push_back({"root_file", options.roots.front(), "--root"});
  } else if (!options.roots.empty()) {
    verdict.claims.push_back({"root_files", options.roots, "--root"});
  }
  if (!options.html.empty()) write_page(verdict, options, context);
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

int judge_files(Process& process, const EvidenceOptions& options, const std::string& file,
                const Judge& judge) {
  try {
    const std::int64_t now_s = options.now.value_or(process.clock.unix_s());
    Judged judged = judge(now_s, options);
    return report(std::move(judged.verdict), options,
                  {file, options.policy, now_s, std::move(judged.chains)});
  } catch (const std::exception& error) {
    return unusable(error);
  }
}

}  // namespace nostril::client::cli
