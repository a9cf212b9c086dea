#include "attestation/simulator.h"

#include "attestation/byte_writer.h"
#include "attestation/sim_key.h"
#include "attestation/sim_pki.h"
#include "attestation/tdx_quote.h"
#include "attestation/tdx_verify.h"
#include "attestation/trust_roots.h"
#include "attestation/utc_time.h"
#include "base/check.h"
#include "base/hex.h"
#include "base/json.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <utility>

namespace nostril::attestation {

namespace {

constexpr UnixTime kPkiNotBefore = 1577836800;  // 2020-01-01
constexpr UnixTime kPkiNotAfter = 2524607999;   // 2049-12-31 23:59:59
constexpr std::uint32_t kSerialRoot = 1;
constexpr std::uint32_t kSerialPckCa = 2;
constexpr std::uint32_t kSerialPckLeaf = 3;
constexpr std::uint32_t kSerialTcbSigner = 4;
constexpr std::int64_t kCollateralHeadStart = 3600;

constexpr std::uint8_t kComponentSvn = 2;
constexpr std::uint16_t kPceSvn = 11;
constexpr std::uint8_t kTdxComponentSvn = 2;
constexpr std::uint8_t kModuleSvn = 3;
constexpr std::uint16_t kEnclaveProdId = 2;
constexpr std::uint16_t kQeSvn = 4;
constexpr std::array<std::uint8_t, 16> kQeAttributes = {0x11};

std::array<std::uint8_t, 32> qe_signer(IntelTee tee) {
  const ChainNames names = chain_names(TrustRoots::Class::Test);
  return tee == IntelTee::Tdx ? names.qe_signer : names.sgx_qe_signer;
}

std::string upper(std::string text) {
  for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return text;
}

/// What the TD report says; layout in attestation/tdx_quote.cpp.
Bytes td_report(const SimulatorOptions& options, std::span<const std::uint8_t, 64> report_data,
                const Measurements& m) {
  Bytes out;
  append(out, options.tee_tcb_svn);
  append(out, m.mrseam);
  append_zeros(out, 48 + 8);  // mrsignerseam, seam attributes: as Intel's module has them
  append_le(out, options.td_attributes);
  append_le(out, std::uint64_t{3});  // xfam: x87 and SSE, the least there is
  append(out, m.mrtd);
  append(out, m.mrconfigid);
  append(out, m.mrowner);
  append(out, m.mrownerconfig);
  for (const Measurement& rtmr : m.rtmr) append(out, rtmr);
  append(out, report_data);
  if (options.quote_version == 5) {
    append(out, options.tee_tcb_svn);
    append(out, m.mrservicetd);
  }
  return out;
}

Bytes enclave_report(std::span<const std::uint8_t, 16> attributes, const Digest& mrenclave,
                     std::span<const std::uint8_t, 32> mrsigner, std::uint16_t svn,
                     std::span<const std::uint8_t, 64> report_data) {
  Bytes out;
  append_zeros(out, 48);  // cpusvn, miscselect, reserved
  append(out, attributes);
  append(out, mrenclave.bytes);
  append_zeros(out, 32);
  append(out, mrsigner);
  append_zeros(out, 96);
  append_le(out, kEnclaveProdId);
  append_le(out, svn);
  append_zeros(out, 60);
  append(out, report_data);
  CHECK(out.size() == kEnclaveReportBytes);
  return out;
}

Bytes qe_report(const SimKey& attestation_key, ByteSpan auth_data, IntelTee tee) {
  std::array<std::uint8_t, 64> report_data{};
  const Digest digest = Sha256().update(attestation_key.public_xy()).update(auth_data).finish();
  std::copy(digest.bytes.begin(), digest.bytes.end(), report_data.begin());
  return enclave_report(kQeAttributes, sha256("nostril simulated quoting enclave"), qe_signer(tee),
                        kQeSvn, report_data);
}

void write_components(JsonWriter& json, std::string_view key,
                      const std::array<std::uint8_t, 16>& svns) {
  json.key(key).begin_array();
  for (const std::uint8_t svn : svns) json.begin_object().key("svn").integer(svn).end_object();
  json.end_array();
}

void write_status(JsonWriter& json, const std::string& status) {
  json.key("tcbDate").string("2024-01-01T00:00:00Z").key("tcbStatus").string(status);
}

void write_dates(JsonWriter& json, UnixTime issued, UnixTime next) {
  json.key("issueDate").string(format_iso_utc(issued));
  json.key("nextUpdate").string(format_iso_utc(next));
  json.key("tcbEvaluationDataNumber").integer(1);
}

void write_svn_levels(JsonWriter& json, std::int64_t svn, const std::string& status) {
  json.key("tcbLevels").begin_array().begin_object();
  json.key("tcb").begin_object().key("isvsvn").integer(svn).end_object();
  write_status(json, status);
  json.end_object().end_array();
}

void write_module(JsonWriter& json) {
  json.key("mrsigner").string(encode_hex(Measurement{}));
  json.key("attributes").string("0000000000000000");
  json.key("attributesMask").string("FFFFFFFFFFFFFFFF");
}

void write_modules(JsonWriter& json, const SimulatorOptions& options) {
  json.key("tdxModule").begin_object();
  write_module(json);
  json.end_object().key("tdxModuleIdentities").begin_array().begin_object();
  json.key("id").string("TDX_01");
  write_module(json);
  write_svn_levels(json, kModuleSvn, options.module_status);
  json.end_object().end_array();
}

std::string tcb_info(const SimulatorOptions& options, UnixTime issued, UnixTime next,
                     IntelTee tee) {
  const bool tdx = tee == IntelTee::Tdx;
  std::array<std::uint8_t, 16> sgx{};
  sgx.fill(kComponentSvn);
  JsonWriter json;
  json.begin_object().key("id").string(tdx ? "TDX" : "SGX").key("version").integer(3);
  write_dates(json, issued, next);
  json.key("fmspc").string(upper(options.fmspc)).key("pceId").string("0000");
  if (tdx) write_modules(json, options);
  json.key("tcbLevels").begin_array().begin_object();
  json.key("tcb").begin_object();
  write_components(json, "sgxtcbcomponents", sgx);
  json.key("pcesvn").integer(kPceSvn);
  if (tdx) write_components(json, "tdxtcbcomponents", {0, 0, kTdxComponentSvn});
  json.end_object();
  write_status(json, options.tcb_status);
  json.key("advisoryIDs").begin_array();
  for (const std::string& advisory : options.advisories) json.string(advisory);
  json.end_array();
  json.end_object().end_array().end_object();
  return std::move(json).take();
}

std::string qe_identity(const SimulatorOptions& options, UnixTime issued, UnixTime next,
                        IntelTee tee) {
  JsonWriter json;
  json.begin_object()
      .key("id")
      .string(tee == IntelTee::Tdx ? "TD_QE" : "QE")
      .key("version")
      .integer(2);
  write_dates(json, issued, next);
  json.key("miscselect").string("00000000").key("miscselectMask").string("FFFFFFFF");
  json.key("attributes").string("11000000000000000000000000000000");
  json.key("attributesMask").string("FBFFFFFFFFFFFFFF0000000000000000");
  json.key("mrsigner").string(upper(encode_hex(qe_signer(tee))));
  json.key("isvprodid").integer(kEnclaveProdId);
  write_svn_levels(json, kQeSvn, options.qe_status);
  json.end_object();
  return std::move(json).take();
}

std::array<std::uint8_t, 32> random_seed(Rng& rng) {
  std::array<std::uint8_t, 32> seed{};
  rng.fill(seed);
  return seed;
}

}  // namespace

/// Keys and certificates. Constant after construction.
struct Simulator::Platform {
  SimulatorOptions options;
  SimKey root_key;
  SimKey ca_key;
  SimKey leaf_key;
  SimKey tcb_key;
  SimKey attestation_key;
  Bytes root;
  Bytes ca;
  Bytes leaf;
  Bytes tcb_signer;

  Platform(std::span<const std::uint8_t, 32> seed, SimulatorOptions wanted)
      : options(std::move(wanted)),
        root_key(seed, "root"),
        ca_key(seed, "pck ca"),
        leaf_key(seed, "pck leaf"),
        tcb_key(seed, "tcb signing"),
        attestation_key(seed, "attestation key") {
    CHECK(options.quote_version == 4 || options.quote_version == 5);
    const ChainNames names = chain_names(TrustRoots::Class::Test);
    const std::string root_name(kTestRootName);
    const std::string ca_name(names.platform_ca);
    root = make_certificate(
        {root_name, root_name, kSerialRoot, kPkiNotBefore, kPkiNotAfter, true, 1, {}}, root_key,
        root_key);
    ca = make_certificate({ca_name,
                           root_name,
                           kSerialPckCa,
                           kPkiNotBefore,
                           kPkiNotAfter,
                           options.pck_ca_is_ca,
                           0,
                           {}},
                          ca_key, root_key);
    leaf = make_certificate({options.leaf_name, ca_name, kSerialPckLeaf, options.leaf_not_before,
                             options.leaf_not_after, false, 0, leaf_extension(seed)},
                            leaf_key, ca_key);
    tcb_signer = make_certificate({std::string(names.tcb_signing),
                                   root_name,
                                   kSerialTcbSigner,
                                   kPkiNotBefore,
                                   kPkiNotAfter,
                                   false,
                                   0,
                                   {}},
                                  tcb_key, root_key);
  }

  /// QE report to PCK chain; layout in attestation/quote_proof.h.
  [[nodiscard]] Bytes certified_key(IntelTee tee) const {
    std::array<std::uint8_t, 32> auth_data{};
    for (std::size_t i = 0; i < auth_data.size(); ++i) {
      auth_data.at(i) = static_cast<std::uint8_t>(i);
    }
    const std::array<Bytes, 3> chain = {leaf, ca, root};
    const std::string pem = to_pem(chain);
    Bytes out = qe_report(attestation_key, auth_data, tee);
    const std::array<std::uint8_t, 64> signature = leaf_key.sign(out);
    append(out, signature);
    append_le(out, static_cast<std::uint16_t>(auth_data.size()));
    append(out, auth_data);
    append_le(out, std::uint16_t{5});
    append_le(out, static_cast<std::uint32_t>(pem.size()));
    append(out, as_bytes(pem));
    return out;
  }

  [[nodiscard]] Bytes leaf_extension(std::span<const std::uint8_t, 32> seed) const {
    SimPlatformTcb tcb;
    tcb.component_svn.fill(kComponentSvn);
    tcb.pce_svn = kPceSvn;
    const Digest id = Sha256().update("nostril simulated platform").update(seed).finish();
    tcb.ppid.assign(id.bytes.begin(), id.bytes.begin() + 16);
    const auto fmspc = decode_hex(options.fmspc);
    CHECK(fmspc && fmspc->size() == 6);
    tcb.fmspc = *fmspc;
    return make_sgx_extension(tcb);
  }
};

Simulator::Simulator(Rng& rng, const SimulatorOptions& options)
    : Simulator(random_seed(rng), options) {}

Simulator::Simulator(std::span<const std::uint8_t, 32> seed, const SimulatorOptions& options)
    : platform_(std::make_unique<const Platform>(seed, options)) {}

Simulator::~Simulator() = default;
Simulator::Simulator(Simulator&&) noexcept = default;
Simulator& Simulator::operator=(Simulator&&) noexcept = default;

std::vector<std::uint8_t> Simulator::root_der() const {
  return platform_->root;
}

std::vector<std::uint8_t> Simulator::tdx_quote(std::span<const std::uint8_t, 64> report_data,
                                               const Measurements& measurements) const {
  const Platform& p = *platform_;
  const Bytes body = td_report(p.options, report_data, measurements);
  Bytes quote;
  append_le(quote, p.options.quote_version);
  append_le(quote, std::uint16_t{2});     // ECDSA P-256
  append_le(quote, std::uint32_t{0x81});  // TDX
  append_zeros(quote, 4);
  append(quote, kSimulatorQeVendor);
  append_zeros(quote, 20);
  if (p.options.quote_version == 5) {
    append_le(quote, std::uint16_t{3});  // TD 1.5
    append_le(quote, static_cast<std::uint32_t>(body.size()));
  }
  append(quote, body);

  const Bytes key = p.certified_key(IntelTee::Tdx);
  const std::array<std::uint8_t, 64> signature = p.attestation_key.sign(quote);
  append_le(quote, static_cast<std::uint32_t>(128 + 6 + key.size()));
  append(quote, signature);
  append(quote, p.attestation_key.public_xy());
  append_le(quote, std::uint16_t{6});
  append_le(quote, static_cast<std::uint32_t>(key.size()));
  append(quote, key);
  return quote;
}

Bytes Simulator::sgx_quote(std::span<const std::uint8_t, 64> report_data,
                           const Digest& mrenclave) const {
  const Platform& p = *platform_;
  std::array<std::uint8_t, 16> attributes = kQeAttributes;
  if (p.options.enclave_debug) attributes[0] |= kEnclaveDebug;
  Bytes quote;
  append_le(quote, std::uint16_t{3});
  append_le(quote, std::uint16_t{2});  // ECDSA P-256
  append_zeros(quote, 4 + 4);          // SGX, SVNs
  append(quote, kSimulatorQeVendor);
  append_zeros(quote, 20);
  append(quote, enclave_report(attributes, mrenclave,
                               sha256("nostril simulated enclave signer").bytes, 0, report_data));
  const Bytes key = p.certified_key(IntelTee::Sgx);
  const std::array<std::uint8_t, 64> signature = p.attestation_key.sign(quote);
  append_le(quote, static_cast<std::uint32_t>(128 + key.size()));
  append(quote, signature);
  append(quote, p.attestation_key.public_xy());
  append(quote, key);
  return quote;
}

Collateral Simulator::collateral(UnixTime now, IntelTee tee) const {
  const Platform& p = *platform_;
  const UnixTime issued = now - kCollateralHeadStart;
  const UnixTime next = now + p.options.collateral_life_s;
  const std::array<Bytes, 2> chain = {p.tcb_signer, p.root};
  Collateral out;
  out.tcb_info = tcb_info(p.options, issued, next, tee);
  out.tcb_info_signature = p.tcb_key.sign(as_bytes(out.tcb_info));
  out.tcb_info_issuer_chain = to_pem(chain);
  out.qe_identity = qe_identity(p.options, issued, next, tee);
  out.qe_identity_signature = p.tcb_key.sign(as_bytes(out.qe_identity));
  out.qe_identity_issuer_chain = out.tcb_info_issuer_chain;

  SimCrl root_crl{std::string(kTestRootName), issued, next, {}};
  if (p.options.revoke_pck_ca) root_crl.revoked_serials.push_back(kSerialPckCa);
  out.root_ca_crl = make_crl(root_crl, p.root_key);
  SimCrl pck_crl{std::string(chain_names(TrustRoots::Class::Test).platform_ca), issued, next, {}};
  if (p.options.revoke_pck) pck_crl.revoked_serials.push_back(kSerialPckLeaf);
  out.pck_crl = make_crl(pck_crl, p.ca_key);
  return out;
}

Evidence Simulator::evidence(const Statement& statement, UnixTime now,
                             const Measurements& measurements,
                             std::vector<std::vector<std::uint8_t>> gpu_reports) const {
  Evidence out;
  out.kind = kKindSimulatedTdx;
  out.statement = statement;
  out.cpu_quote = tdx_quote(report_data(statement), measurements);
  out.gpu_reports = std::move(gpu_reports);
  out.collateral = collateral(now);
  return out;
}

}  // namespace nostril::attestation
