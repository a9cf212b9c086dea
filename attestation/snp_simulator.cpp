#include "attestation/snp_simulator.h"

#include "attestation/byte_writer.h"
#include "attestation/sim_key.h"
#include "attestation/sim_pki.h"
#include "base/check.h"
#include "schnorr/hash.h"

#include <algorithm>

namespace nostril::attestation {

namespace {

constexpr UnixTime kPkiNotBefore = 1577836800;  // 2020-01-01
constexpr UnixTime kPkiNotAfter = 2524607999;   // 2049-12-31 23:59:59
constexpr std::uint32_t kSerialRoot = 1;
constexpr std::uint32_t kSerialIssuer = 2;
constexpr std::uint32_t kSerialLeaf = 0;  // as AMD's
constexpr std::int64_t kCrlHeadStart = 3600;
constexpr std::int64_t kCrlLife = 30LL * 86400;
constexpr std::size_t kSignedBytes = 0x2a0;
constexpr std::size_t kNumberBytes = 48;
constexpr std::size_t kNumberFieldBytes = 72;

RawSnpTcb encode_tcb(const SnpTcb& tcb, SnpProduct product) {
  if (product == SnpProduct::Turin) {
    return {tcb.fmc, tcb.bootloader, tcb.tee, tcb.snp, 0, 0, 0, tcb.microcode};
  }
  return {tcb.bootloader, tcb.tee, 0, 0, 0, 0, tcb.snp, tcb.microcode};
}

SnpCpuid cpuid_of(SnpProduct product) {
  switch (product) {
    case SnpProduct::Milan:
      return {0x19, 0x01, 0x01};
    case SnpProduct::Genoa:
      return {0x19, 0x11, 0x01};
    case SnpProduct::Turin:
      break;
  }
  return {0x1a, 0x02, 0x01};
}

/// Begins with kSimulatorChip; 64 bytes, Turin's 8.
Bytes make_hwid(std::span<const std::uint8_t, 32> seed, SnpProduct product) {
  Bytes out(kSimulatorChip.begin(), kSimulatorChip.end());
  if (product == SnpProduct::Turin) return out;
  const Digest first = Sha256().update("nostril simulated chip").update(seed).finish();
  const Digest second = sha256(first.bytes);
  out.insert(out.end(), first.bytes.begin(), first.bytes.end());
  out.insert(out.end(), second.bytes.begin(), second.bytes.end());
  out.resize(64);
  return out;
}

/// 48 big-endian bytes as a field of 72 little-endian ones.
void append_number(Bytes& out, ByteSpan number) {
  out.insert(out.end(), number.rbegin(), number.rend());
  append_zeros(out, kNumberFieldBytes - kNumberBytes);
}

void append_firmware(Bytes& out) {
  append(out, std::array<std::uint8_t, 4>{29, 55, 1, 0});  // build, minor, major, reserved
}

}  // namespace

/// Keys and certificates. Constant after construction.
struct SnpSimulator::Platform {
  SnpSimulatorOptions options;
  Bytes hwid;
  std::shared_ptr<const SnpSimKeys> keys;
  std::string root_name;
  Bytes root;
  Bytes issuer;
  Bytes leaf;

  Platform(std::shared_ptr<const SnpSimKeys> given, SnpSimulatorOptions wanted)
      : options(std::move(wanted)),
        hwid(make_hwid(given->seed, options.product)),
        keys(std::move(given)) {
    const AmdNames names = amd_names(TrustRoots::Class::Test, options.signer, options.product);
    root_name = names.root;
    root = make_certificate(
        {names.root, names.root, kSerialRoot, kPkiNotBefore, kPkiNotAfter, true, 1, {}}, keys->root,
        keys->root);
    issuer = make_certificate({names.issuer,
                               names.root,
                               kSerialIssuer,
                               kPkiNotBefore,
                               kPkiNotAfter,
                               options.issuer_is_ca,
                               0,
                               {}},
                              keys->issuer, keys->root);
    leaf = make_certificate({names.leaf, names.issuer, kSerialLeaf, options.leaf_not_before,
                             options.leaf_not_after, false, 0, make_vek_extensions(vek())},
                            keys->leaf, keys->issuer);
  }

  [[nodiscard]] SimVek vek() const {
    const SnpTcb tcb = options.certificate_tcb.value_or(options.reported_tcb);
    const bool vlek = options.signer == SnpSigner::Vlek;
    SimVek out;
    out.product = options.certificate_product.empty() ? std::string(to_string(options.product))
                                                      : options.certificate_product;
    out.turin = options.product == SnpProduct::Turin;
    out.fmc = tcb.fmc;
    out.bootloader = tcb.bootloader;
    out.tee = tcb.tee;
    out.snp = tcb.snp;
    out.microcode = tcb.microcode;
    if (vlek) {
      out.csp_id = options.csp_id;
    } else {
      out.hwid = options.hwid.empty() ? hwid : options.hwid;
    }
    return out;
  }

  void append_tcb(Bytes& out, const std::optional<SnpTcb>& tcb) const {
    append(out, encode_tcb(tcb.value_or(options.reported_tcb), options.product));
  }

  /// 000 to 04f.
  void append_head(Bytes& out) const {
    append_le(out, options.report_version);
    append_le(out, options.guest_svn);
    append_le(out, options.policy);
    append_zeros(out, 16 + 16);  // family and image id
    append_le(out, options.vmpl);
    append_le(out, std::uint32_t{1});  // ECDSA P-384 with SHA-384
    append_tcb(out, options.current_tcb);
    append_le(out, options.platform_info);
    const std::uint32_t signer = options.signer == SnpSigner::Vlek ? 1U << 2U : 0U;
    append_le(out, signer | (options.masked_chip ? 2U : 0U));
    append_zeros(out, 4);
  }

  /// 180 to 29f.
  void append_tail(Bytes& out) const {
    append_tcb(out, options.reported_tcb);
    const SnpCpuid cpuid = options.cpuid.value_or(cpuid_of(options.product));
    if (options.report_version >= 3) {
      append(out, std::array<std::uint8_t, 3>{cpuid.family, cpuid.model, cpuid.stepping});
    }
    out.resize(0x1a0);
    if (!options.masked_chip) append(out, hwid);
    out.resize(0x1e0);
    append_tcb(out, options.committed_tcb);
    append_firmware(out);
    append_firmware(out);
    append_tcb(out, options.launch_tcb);
    if (options.report_version >= 5) {
      append_le(out, std::uint64_t{3});
      append_le(out, std::uint64_t{7});
    }
    out.resize(kSignedBytes);
  }
};

SnpSimKeys::SnpSimKeys(std::span<const std::uint8_t, 32> from)
    : root(from, "ark"), issuer(from, "ask"), leaf(from, "vek") {
  std::copy(from.begin(), from.end(), seed.begin());
}

SnpSimulator::SnpSimulator(std::shared_ptr<const SnpSimKeys> keys,
                           const SnpSimulatorOptions& options)
    : platform_(std::make_unique<const Platform>(std::move(keys), options)) {}

SnpSimulator::~SnpSimulator() = default;
SnpSimulator::SnpSimulator(SnpSimulator&&) noexcept = default;
SnpSimulator& SnpSimulator::operator=(SnpSimulator&&) noexcept = default;

Bytes SnpSimulator::root_der() const {
  return platform_->root;
}

Bytes SnpSimulator::report(std::span<const std::uint8_t, 64> report_data,
                           const Measurement& measurement) const {
  Bytes out;
  platform_->append_head(out);
  append(out, report_data);
  append(out, measurement);
  append(out, platform_->options.host_data);
  out.resize(0x180);                                // key digests, report ids
  std::fill(out.begin() + 0x160, out.end(), 0xff);  // no migration agent
  platform_->append_tail(out);
  return sign(std::move(out));
}

Bytes SnpSimulator::sign(Bytes report) const {
  CHECK(report.size() >= kSignedBytes);
  report.resize(kSignedBytes);
  const auto raw = platform_->keys->leaf.sign(report);
  append_number(report, ByteSpan(raw).first(kNumberBytes));
  append_number(report, ByteSpan(raw).last(kNumberBytes));
  report.resize(kSnpReportBytes);
  return report;
}

SnpEvidence SnpSimulator::evidence(std::span<const std::uint8_t, 64> report_data,
                                   const Measurement& measurement) const {
  const std::array<Bytes, 2> chain = {platform_->issuer, platform_->root};
  SnpEvidence out;
  out.report = report(report_data, measurement);
  out.certificates.vek = platform_->leaf;
  out.certificates.chain = to_pem(chain);
  return out;
}

Evidence SnpSimulator::evidence(const Statement& statement, UnixTime now,
                                const Measurement& measurement) const {
  SnpEvidence made = evidence(attestation::report_data(statement), measurement);
  Evidence out;
  out.kind = kKindSimulatedSnp;
  out.statement = statement;
  out.cpu_quote = std::move(made.report);
  out.snp = std::move(made.certificates);
  out.snp->crl = crl(now);
  return out;
}

Bytes SnpSimulator::crl(UnixTime now) const {
  SimCrl fields{platform_->root_name, now - kCrlHeadStart, now + kCrlLife, {}};
  if (platform_->options.revoke_issuer) fields.revoked_serials.push_back(kSerialIssuer);
  return make_crl(fields, platform_->keys->root);
}

}  // namespace nostril::attestation
