#pragma once

#include "attestation/checklist.h"
#include "attestation/trust_roots.h"
#include "attestation/verdict.h"
#include "attestation/x509.h"
#include "base/bytes.h"
#include "base/result.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// NVIDIA's reference integrity manifests: which measurements a GPU must report that runs one
/// driver, or one VBIOS. A SWID tag (XML) with a signature inside (xml_signature.h), under
///   HCC RIM L4 Signer (2 years; of a switch Reference Value L4 LS10) <- Reference Value L3 <-
///   Reference Value CA <- CoRIM signing root
namespace nostril::attestation {

inline constexpr std::size_t kRimBytesMax = 256U << 10U;
/// The same as NVIDIA's service answers it, in base64 within JSON.
inline constexpr std::size_t kRimAnswerBytesMax = 384U << 10U;

/// Who made the platform, in the manifest's Meta. The second stands only under a test root, where
/// nothing else may.
inline constexpr std::string_view kNvidia = "NVIDIA Corporation";
inline constexpr std::string_view kSimulatedVendor = "NOSTRIL TEST - NOT A TEE";

enum class RimKind : std::uint8_t { Driver, Vbios, Switch };

/// "driver", "vbios", "switch" (the BIOS of an NVSwitch).
std::string_view to_string(RimKind kind);

/// What one measurement must be.
struct RimMeasurement {
  /// Counts from 0; the SPDM block of a report counts from 1.
  std::uint8_t index = 0;
  std::string name;
  /// One of these, at least one. SHA-384.
  std::vector<Measurement> accepted;
};

struct Rim {
  RimKind kind = RimKind::Driver;
  /// As NVIDIA's service names it, "NV_GPU_DRIVER_GH100_550.90.07"; empty when the XML came without
  /// the service's answer around it. Not signed, but it agrees with kind and version.
  std::string id;
  /// colloquialVersion: "550.90.07" of a driver, "96.00.9F.00.01" of a VBIOS.
  std::string version;
  std::string product;       ///< "GH100"
  std::string manufacturer;  ///< kNvidia, or kSimulatedVendor
  std::string tag_id;
  /// The active ones, by rising index, each index once.
  std::vector<RimMeasurement> measurements;

  /// The measurement of that index, or nullptr when it is not active.
  [[nodiscard]] const RimMeasurement* find(std::uint8_t index) const;
};

enum class RimError : std::uint8_t {
  TooLarge,
  NotXml,          ///< not in the narrow form of xml.h
  BadSignature,    ///< no signature of the one form that NVIDIA uses
  BadAnswer,       ///< the JSON around it is malformed, or its digest is not the XML's
  BadTag,          ///< not the root, Meta or Payload of a GPU's manifest
  BadMeasurement,  ///< a Resource is malformed, doubled or out of range
  BadVersion,      ///< neither a driver's version nor a VBIOS's
  BadId,           ///< the answer's id is of another manifest
};

std::string_view to_string(RimError error);

/// What a manifest says, with no regard to its signature: for tests and tools only. Takes the XML,
/// or NVIDIA's answer {"id","rim","sha256",…} around it, rim in base64, sha256 (hex) of the XML or
/// of its base64: NVIDIA documents neither, and no security rests on it.
Result<Rim, RimError> parse_rim(ByteSpan bytes);

/// A manifest taken apart once, for parse and verification. Holds a copy of what it needs of the
/// bytes. Immutable.
class ParsedRim {
 public:
  static Result<ParsedRim, RimError> parse(ByteSpan bytes);
  ~ParsedRim();
  ParsedRim(ParsedRim&&) noexcept;
  ParsedRim& operator=(ParsedRim&&) noexcept;
  ParsedRim(const ParsedRim&) = delete;
  ParsedRim& operator=(const ParsedRim&) = delete;

  /// Nothing of it is verified.
  [[nodiscard]] const Rim& rim() const;
  /// The manifest's XML, bare or out of the service's answer.
  [[nodiscard]] ByteSpan xml() const;
  /// Those in its signature, in their order; what is none is left out.
  [[nodiscard]] std::vector<Certificate> certificates() const;

 private:
  friend class RimExamination;
  struct Parts;
  explicit ParsedRim(std::unique_ptr<const Parts> parts);
  std::unique_ptr<const Parts> parts_;
};

struct RimPolicy {
  /// Refuse a manifest whose signer's certificate has expired. They live two years, drivers are
  /// used longer; by default such a chain is judged at the last moment of the signer.
  bool refuse_expired_signer = false;
};

/// A manifest whose every check passed.
struct VerifiedRim {
  Rim rim;
  /// Not Genuine: no vendor stands behind it.
  TrustRoots::Class root_class = TrustRoots::Class::Genuine;
  bool signer_expired = false;
  /// Signer first, root last.
  std::vector<Certificate> chain;
};

/// Lists the checks of a manifest of this kind, in their order. With KIND as above:
/// KIND_rim_format, KIND_rim_digest, KIND_rim_signature, KIND_rim_chain, KIND_rim_signer.
void list_rim_checks(Checklist& checks, RimKind kind);

/// Judges a manifest and records the listed checks. Its claims, KIND_rim.version and so on, are
/// added to `claims`. A check that fails ends the examination: what comes after is not checked.
/// Pure; any thread. About 3 ms: four P-384 signatures.
std::optional<VerifiedRim> examine_rim(ByteSpan bytes, RimKind kind, const TrustRoots& roots,
                                       UnixTime now, const RimPolicy& policy, Checklist& checks,
                                       std::vector<Claim>& claims);

/// The same of one that was parsed before.
std::optional<VerifiedRim> examine_rim(const ParsedRim& manifest, RimKind kind,
                                       const TrustRoots& roots, UnixTime now,
                                       const RimPolicy& policy, Checklist& checks,
                                       std::vector<Claim>& claims, ChainCache& cache);

}  // namespace nostril::attestation
