#pragma once

#include "attestation/trust_roots.h"
#include "attestation/verdict.h"
#include "attestation/x509.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The certificates of an NVIDIA GPU. Five, leaf first:
///
///   GH100 A01 GSP FMC LF            the key that signs reports; a new one with each firmware
///   GH100 A01 GSP BROM              the key of the chip
///   NVIDIA GH100 Provisioner ICA 1
///   NVIDIA GH100 Identity
///   NVIDIA Device Identity CA       pinned (TrustRoots)
///
/// All are valid to 9999-12-31, and the lower ones begin before the upper ones do: validity is not
/// nested. GB100 (Blackwell) has the same with its own name.
namespace nostril::attestation {

inline constexpr std::size_t kGpuChainCount = 5;

/// Leaf first: DER joined without anything between, as evidence is packed; or PEM, as NVML gives it
/// in a fixed buffer: line feeds and zero bytes after the last certificate are passed over.
Result<std::vector<Certificate>, ChainError> parse_gpu_chain(ByteSpan chain);
Result<std::vector<Certificate>, ChainError> parse_gpu_chain(ByteSpan chain, ChainCache& cache);

/// The certificates' DER joined.
Bytes join_chain(const std::vector<Certificate>& chain);

/// Common names of one chip's chain; under a test root none is NVIDIA's.
struct GpuNames {
  std::string leaf;
  std::string brom;
  std::string provisioner;  ///< a number follows
  std::string identity;
  std::string root;
};

/// Those of an NVSwitch LS10.
GpuNames switch_names(TrustRoots::Class root_class);

/// `chip`: "GH100"; `stepping`: "A01".
GpuNames gpu_names(TrustRoots::Class root_class, std::string_view chip, std::string_view stepping);

/// The chip whose names the five certificates have, "GH100"; nothing when they do not agree on one.
std::optional<std::string> chip_of(const std::vector<Certificate>& chain,
                                   TrustRoots::Class root_class);

/// The same for an NVSwitch, in the words of its manifests: "LS10" of "LS_10 A01 FSP FMC LF" and so
/// on up to "NVIDIA GH100 Identity".
std::optional<std::string> switch_of(const std::vector<Certificate>& chain,
                                     TrustRoots::Class root_class);

/// The same of certificates as evidence has them, under whichever root's names: for who fetches
/// manifests or tells what there is. Verifies nothing.
std::optional<std::string> gpu_chip(ByteSpan chain);

/// What the leaf says of the firmware that holds its key.
///
/// Hopper: extension 2.23.133.5.4.1, SEQUENCE { INTEGER 1, public key of the layer below, FWID }.
/// Blackwell: extension 2.23.133.5.4.1.1 (TCG DICE TcbInfo), SEQUENCE of context tags, of which are
/// read: [6] FWIDs; [7] operational flags, BIT STRING: 1 not secure, 2 recovery, 3 debug.
/// FWID: SEQUENCE { OID SHA-384, OCTET STRING (48) }; all zero stands for none.
struct GpuFirmware {
  std::vector<Measurement> fwids;  ///< at least one, none zero
  /// Not secure, in recovery or in debug mode; a Hopper certificate has no word for it.
  bool debug = false;
};

/// Nothing when neither extension is there, both are, or one is malformed.
std::optional<GpuFirmware> gpu_firmware(const Certificate& leaf);

/// The certificate's serial number in hex, two digits a byte.
std::string serial_of(const Certificate& certificate);

/// The same in decimal: what NVIDIA's service calls the GPU's UEID.
std::string to_decimal(const std::string& serial);

/// The chip's own id, 16 hex digits, from the leaf's subject alternative name
/// "NVIDIA:GH100:48B02D92494BADF4"; empty when there is none of that form.
std::string gpu_device_id(const Certificate& leaf);

}  // namespace nostril::attestation
