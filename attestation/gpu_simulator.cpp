#include "attestation/gpu_simulator.h"

#include "attestation/byte_writer.h"
#include "attestation/der.h"
#include "attestation/gpu_certificates.h"
#include "attestation/rim_simulator.h"
#include "attestation/sim_pki.h"
#include "base/check.h"
#include "schnorr/hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace nostril::attestation {

namespace {

constexpr std::uint32_t kSerialIdentity = 2;
constexpr std::uint32_t kSerialProvisioner = 3;
constexpr std::uint32_t kSerialBrom = 0x1000;
constexpr std::uint32_t kSerialLeaf = 0x2000;
constexpr std::uint8_t kBlockCount = 64;
constexpr std::size_t kSignatureBytes = 96;
constexpr std::string_view kStepping = "A01";
constexpr const char* kSwitchBios = "96.10.55.00.01";
constexpr std::array<std::uint8_t, 5> kCompositeDeviceIdArcs = {0x67, 0x81, 0x05, 0x05, 0x04};
constexpr std::array<std::uint8_t, 9> kSha384Arcs = {0x60, 0x86, 0x48, 0x01, 0x65,
                                                     0x03, 0x04, 0x02, 0x02};

/// 48 bytes that stand for the digest of `text`.
Measurement digest_of(std::string_view text) {
  const Digest first = Sha256().update("nostril simulated gpu").update(text).finish();
  const Digest second = sha256(first.bytes);
  Measurement out{};
  std::copy(first.bytes.begin(), first.bytes.end(), out.begin());
  std::copy_n(second.bytes.begin(), out.size() - first.bytes.size(),
              out.begin() + static_cast<std::ptrdiff_t>(first.bytes.size()));
  return out;
}

Bytes make_fwid(const Measurement& digest) {
  return der::constructed(der::kSequence,
                          {der::oid(kSha384Arcs), der::value(der::kOctetString, digest)});
}

/// The extension of attestation/gpu_certificates.h, Hopper's or Blackwell's.
Bytes make_fwid_extension(const GpuSimulatorOptions& options, const Measurement& fwid,
                          const SimCertKey& brom) {
  Bytes arcs(kCompositeDeviceIdArcs.begin(), kCompositeDeviceIdArcs.end());
  arcs.push_back(1);
  Bytes content;
  if (options.blackwell) {
    arcs.push_back(1);
    const std::uint8_t flags = options.debug ? 0x90 : 0x80;
    content = der::constructed(der::kSequence,
                               {der::value(0x80, as_bytes("NOT A TEE")),
                                der::constructed(0xa6, {make_fwid(fwid), make_fwid(Measurement{})}),
                                der::value(0x87, Bytes{0, flags, 0, 0, 1})});
  } else {
    content = der::constructed(der::kSequence,
                               {der::small_integer(1), brom.public_key_info(), make_fwid(fwid)});
  }
  return der::constructed(der::kSequence, {der::oid(arcs), der::value(der::kOctetString, content)});
}

void append_field(Bytes& out, std::uint16_t type, ByteSpan value) {
  append_le(out, type);
  append_le(out, static_cast<std::uint16_t>(value.size()));
  append(out, value);
}

void append_text(Bytes& out, std::uint16_t type, std::string_view text) {
  append_field(out, type, as_bytes(std::string(text) + '\0'));
}

void append_number(Bytes& out, std::uint16_t type, std::optional<std::uint16_t> number) {
  if (!number) return;
  Bytes value;
  append_le(value, *number);
  append_field(out, type, value);
}

void append_switch(Bytes& out, std::uint16_t type, std::optional<bool> state) {
  if (state) append_field(out, type, Bytes{static_cast<std::uint8_t>(*state ? 0xaa : 0x55)});
}

}  // namespace

/// Keys and certificates that all its GPUs share. Constant after construction.
struct GpuSimulator::Platform {
  GpuSimulatorOptions options;
  std::array<std::uint8_t, 32> seed{};
  SimNvidiaRoot root;
  SimKey384 identity_key;
  SimKey384 provisioner_key;
  GpuNames names;
  std::string provisioner_name;
  Measurement fwid = digest_of("firmware");
  Bytes identity;
  Bytes upper;  // provisioner, identity, root; DER joined

  Platform(std::span<const std::uint8_t, 32> from, GpuSimulatorOptions wanted)
      : options(std::move(wanted)),
        root(from),
        identity_key(from, "gpu identity"),
        provisioner_key(from, "gpu provisioner"),
        names(gpu_names(TrustRoots::Class::Test, options.blackwell ? "GB100" : "GH100", kStepping)),
        provisioner_name(names.provisioner + "1") {
    std::copy(from.begin(), from.end(), seed.begin());
    append(upper, make_certificate({provisioner_name,
                                    names.identity,
                                    kSerialProvisioner,
                                    kSimPkiNotBefore,
                                    kSimPkiNotAfter,
                                    true,
                                    1,
                                    {}},
                                   provisioner_key, identity_key));
    identity = make_certificate({names.identity,
                                 names.root,
                                 kSerialIdentity,
                                 kSimPkiNotBefore,
                                 kSimPkiNotAfter,
                                 true,
                                 2,
                                 {}},
                                identity_key, root.key);
    append(upper, identity);
    append(upper, root.der);
  }

  [[nodiscard]] SimKey384 leaf_key(std::size_t index) const {
    return SimKey384(seed, fmt::format("gpu leaf {}", index));
  }

  [[nodiscard]] SimKey384 switch_leaf_key(std::size_t index) const {
    return SimKey384(seed, fmt::format("switch leaf {}", index));
  }

  [[nodiscard]] SimKey384 switch_brom_key(std::size_t index) const {
    return SimKey384(seed, fmt::format("switch brom {}", index));
  }

  [[nodiscard]] SimKey384 switch_provisioner_key() const {
    return SimKey384(seed, "switch provisioner");
  }

  [[nodiscard]] SimKey384 brom_key(std::size_t index) const {
    return SimKey384(seed, fmt::format("gpu brom {}", index));
  }

  [[nodiscard]] std::string leaf_name() const {
    if (options.leaf_chip.empty()) return names.leaf;
    return gpu_names(TrustRoots::Class::Test, options.leaf_chip, kStepping).leaf;
  }

  /// As switches write it.
  [[nodiscard]] static Pdi pdi_of(std::size_t number) {
    return {0x20, 0x51, 0x4d, 0, 0, 0, 1, static_cast<std::uint8_t>(number)};
  }

  /// Field 22 of GPU `index`: bytes in reverse.
  [[nodiscard]] Bytes links(std::size_t index) const {
    Bytes out(8 * options.switch_link_count);
    for (std::size_t i = 0; i < options.switch_count; ++i) {
      if (options.hidden_switch && index == 0 && i == 0) continue;
      const Pdi pdi = pdi_of(i);
      for (int link = 0; link < 2; ++link) out.insert(out.end(), pdi.rbegin(), pdi.rend());
    }
    return out;
  }

  [[nodiscard]] Bytes switch_opaque(std::size_t index) const {
    constexpr std::size_t kGpuCount = 8;
    Bytes out;
    append_field(out, 6, as_bytes(std::string_view(kSwitchBios)));
    append_field(out, 22, pdi_of(index));
    Bytes gpus;
    for (std::size_t i = 0; i < kGpuCount; ++i) {
      const bool odd = options.odd_switch && index == 1 && i == 0;
      append(gpus, pdi_of(0x80 + i + (odd ? kGpuCount : 0)));
    }
    append_zeros(gpus, 64);
    append_field(out, 26, gpus);
    append_field(out, 25, Bytes{1, 0});
    return out;
  }

  /// A signature of zeros at its end.
  [[nodiscard]] Bytes unsigned_report(std::span<const std::uint8_t, 32> nonce,
                                      const Bytes& opaque) const;

  void append_blocks(Bytes& out) const {
    for (std::uint8_t index = 0; index < kBlockCount; ++index) {
      out.push_back(static_cast<std::uint8_t>(index + 1));
      out.push_back(1);
      append_le(out, std::uint16_t{51});
      out.push_back(1);
      append_le(out, std::uint16_t{48});
      Measurement value = reference(index);
      if (options.wrong_index == index) value[0] ^= 1;
      append(out, value);
    }
  }

  [[nodiscard]] Bytes opaque(std::size_t index) const {
    Bytes out;
    append_field(out, 6, options.vbios);
    append_text(out, 15, "000");
    append_text(out, 17, "SIM");
    append_text(out, 18, "0000");
    append_text(out, 3, options.driver);
    append_switch(out, 11, options.nvdec0);
    if (options.states_fwid) append_field(out, 20, options.fwid.value_or(fwid));
    append_switch(out, 21, options.protected_pcie);
    if (const Bytes all = links(index); !all.empty()) append_field(out, 22, all);
    append_number(out, 34, options.opaque_version);
    append_number(out, 36, options.features);
    return out;
  }
};

GpuSimulator::GpuSimulator(std::span<const std::uint8_t, 32> seed,
                           const GpuSimulatorOptions& options)
    : platform_(std::make_unique<const Platform>(seed, options)) {}

GpuSimulator::~GpuSimulator() = default;
GpuSimulator::GpuSimulator(GpuSimulator&&) noexcept = default;
GpuSimulator& GpuSimulator::operator=(GpuSimulator&&) noexcept = default;

Bytes GpuSimulator::root_der() const {
  return platform_->root.der;
}

Bytes GpuSimulator::Platform::unsigned_report(std::span<const std::uint8_t, 32> nonce,
                                              const Bytes& opaque) const {
  Bytes blocks;
  append_blocks(blocks);
  Bytes out = {0x11, 0xe0, 0x01, 0xff};
  append(out, nonce);
  append(out, Bytes{0, 0x11, 0x60, 0, 0, kBlockCount});
  append_le(out, static_cast<std::uint16_t>(blocks.size()));
  out.push_back(static_cast<std::uint8_t>(blocks.size() >> 16U));
  append(out, blocks);
  append(out, sha256(nonce).bytes);
  append_le(out, static_cast<std::uint16_t>(opaque.size()));
  append(out, opaque);
  append_zeros(out, kSignatureBytes);
  return out;
}

Bytes GpuSimulator::report(std::size_t index, std::span<const std::uint8_t, 32> nonce) const {
  return sign(index, platform_->unsigned_report(nonce, platform_->opaque(index)));
}

Bytes GpuSimulator::switch_chain(std::size_t index) const {
  const Platform& p = *platform_;
  const GpuNames names = switch_names(TrustRoots::Class::Test);
  const auto number = static_cast<std::uint32_t>(index);
  const SimKey384 brom = p.switch_brom_key(index);
  const SimKey384 provisioner = p.switch_provisioner_key();
  const auto issuer = [](const std::string& subject, const std::string& by, std::uint32_t serial,
                         std::uint32_t path) {
    return SimCertificate{subject, by, serial, kSimPkiNotBefore, kSimPkiNotAfter, true, path, {}};
  };
  SimCertificate fields = issuer(names.leaf, names.brom, kSerialLeaf + 0x100 + number, 0);
  fields.is_ca = false;
  Bytes out = make_certificate(fields, p.switch_leaf_key(index), brom);
  const std::string by = names.provisioner + "1";
  append(out, make_certificate(issuer(names.brom, by, kSerialBrom + 0x100 + number, 0), brom,
                               provisioner));
  append(out, make_certificate(issuer(by, names.identity, kSerialProvisioner + 0x100, 1),
                               provisioner, p.identity_key));
  append(out, p.identity);
  append(out, p.root.der);
  return out;
}

std::vector<GpuEvidence> GpuSimulator::switches(std::span<const std::uint8_t, 32> nonce) const {
  const Platform& p = *platform_;
  std::vector<GpuEvidence> out;
  for (std::size_t i = 0; i < p.options.switch_count; ++i) {
    Bytes report = p.unsigned_report(nonce, p.switch_opaque(i));
    report.resize(report.size() - kSignatureBytes);
    append(report, p.switch_leaf_key(i).sign(report));
    out.push_back({std::move(report), switch_chain(i)});
  }
  return out;
}

Bytes GpuSimulator::sign(std::size_t index, Bytes report) const {
  CHECK(report.size() >= kSignatureBytes);
  report.resize(report.size() - kSignatureBytes);
  append(report, platform_->leaf_key(index).sign(report));
  return report;
}

Bytes GpuSimulator::chain(std::size_t index) const {
  const Platform& p = *platform_;
  const auto number = static_cast<std::uint32_t>(index);
  const SimKey384 brom_key = p.brom_key(index);
  Bytes out = make_certificate(
      {p.leaf_name(), p.names.brom, kSerialLeaf + number, p.options.leaf_not_before,
       p.options.leaf_not_after, false, 0, make_fwid_extension(p.options, p.fwid, brom_key)},
      p.leaf_key(index), brom_key);
  append(out, make_certificate({p.names.brom,
                                p.provisioner_name,
                                kSerialBrom + number,
                                kSimPkiNotBefore,
                                kSimPkiNotAfter,
                                p.options.brom_is_ca,
                                0,
                                {}},
                               brom_key, p.provisioner_key));
  append(out, p.upper);
  return out;
}

std::vector<GpuEvidence> GpuSimulator::evidence(std::size_t count,
                                                std::span<const std::uint8_t, 32> nonce) const {
  std::vector<GpuEvidence> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back({report(i, nonce), chain(i)});
  return out;
}

std::vector<Bytes> GpuSimulator::ocsp_answers(std::size_t index, const SimOcsp& fields) const {
  const Platform& p = *platform_;
  const auto certificates = parse_gpu_chain(chain(index));
  CHECK(certificates);
  const auto answer = [&](std::size_t of, const SimKey384& issuer) {
    return make_ocsp_answer(fields, certificates->at(of).der, certificates->at(of + 1).der, issuer);
  };
  std::vector<Bytes> out = {answer(1, p.provisioner_key), answer(2, p.identity_key),
                            answer(3, p.root.key)};
  for (Bytes& bytes : RimSimulator(p.seed).ocsp_answers(fields)) out.push_back(std::move(bytes));
  return out;
}

std::vector<Bytes> GpuSimulator::switch_ocsp_answers(std::size_t index,
                                                     const SimOcsp& fields) const {
  const Platform& p = *platform_;
  const auto certificates = parse_gpu_chain(switch_chain(index));
  CHECK(certificates);
  const auto answer = [&](std::size_t of, const SimKey384& issuer) {
    return make_ocsp_answer(fields, certificates->at(of).der, certificates->at(of + 1).der, issuer);
  };
  return {answer(1, p.switch_provisioner_key()), answer(2, p.identity_key), answer(3, p.root.key)};
}

std::vector<Bytes> GpuSimulator::manifests() const {
  const auto active = [](std::uint8_t first, std::uint8_t last) {
    std::vector<RimMeasurement> out;
    for (std::uint8_t index = first; index <= last; ++index) {
      out.push_back({index, fmt::format("Measurement_{}", index), {reference(index)}});
    }
    return out;
  };
  const RimSimulator signer(platform_->seed);
  RimSimulatorTag tag;
  tag.product = platform_->options.blackwell ? "GB100" : "GH100";
  tag.version = platform_->options.driver;
  tag.measurements = active(21, 40);
  const Bytes driver = signer.manifest(tag);
  tag.version = gpu_vbios_text(platform_->options.vbios);
  tag.measurements = active(0, 12);
  std::vector<Bytes> out = {driver, signer.manifest(tag)};
  if (platform_->options.switch_count == 0) return out;
  tag.product = "LS10";
  tag.edition = "SWITCH";
  tag.version = kSwitchBios;
  out.push_back(signer.manifest(tag));
  return out;
}

Measurement GpuSimulator::reference(std::uint8_t index) {
  return digest_of(fmt::format("measurement {}", index));
}

}  // namespace nostril::attestation
