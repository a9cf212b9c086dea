#include "attestation/rim.h"

#include "attestation/utc_time.h"
#include "attestation/xml_signature.h"
#include "base/base64.h"
#include "base/hex.h"
#include "base/json.h"
#include "schnorr/hash.h"

#include <fmt/format.h>

#include <algorithm>

namespace nostril::attestation {

namespace {

constexpr std::string_view kSwidUri = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
constexpr std::string_view kTcgUri =
    "https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-"
    "model/";
constexpr std::string_view kHashUri = "http://www.w3.org/2001/04/xmlenc#sha384";
constexpr std::string_view kNvidiaId = "5703";  // IANA's private enterprise number
constexpr std::string_view kRootName = "NVIDIA CoRIM signing Root CA";
constexpr std::size_t kChainCount = 4;
constexpr std::size_t kAlternativesMax = 64;
constexpr std::uint32_t kIndexMax = 254;  // SPDM blocks are numbered 1 to 255
constexpr std::size_t kTextBytesMax = 128;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_hex(char c) {
  return is_digit(c) || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

/// Digits without a leading zero, at most `max`.
std::optional<std::uint32_t> parse_number(std::string_view text, std::uint32_t max) {
  if (text.empty() || text.size() > 3 || (text.size() > 1 && text.front() == '0')) {
    return std::nullopt;
  }
  std::uint32_t out = 0;
  for (const char c : text) {
    if (!is_digit(c)) return std::nullopt;
    out = out * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return out <= max ? std::optional(out) : std::nullopt;
}

/// "96.00.9F.00.01" is a VBIOS, "545.00" or "550.90.07" a driver.
std::optional<RimKind> kind_of(std::string_view version) {
  std::size_t groups = 0;
  bool pairs = true;
  bool decimal = true;
  for (std::string_view rest = version;; ++groups) {
    const std::size_t end = std::min(rest.find('.'), rest.size());
    const std::string_view group = rest.substr(0, end);
    if (group.empty() || group.size() > 4) return std::nullopt;
    if (!std::all_of(group.begin(), group.end(), is_hex)) return std::nullopt;
    pairs = pairs && group.size() == 2;
    decimal = decimal && std::all_of(group.begin(), group.end(), is_digit);
    if (end == rest.size()) break;
    rest.remove_prefix(end + 1);
  }
  ++groups;
  if (groups == 5 && pairs) return RimKind::Vbios;
  if (groups >= 2 && groups <= 4 && decimal) return RimKind::Driver;
  return std::nullopt;
}

/// NV_GPU_DRIVER_<product>_<version>, NV_GPU_CC_DRIVER_…, NV_GPU_VBIOS_…_<version without dots>;
/// of a switch NV_SWITCH_BIOS_…
bool is_id_of(std::string_view id, const Rim& rim) {
  if (id.size() > kTextBytesMax) return false;
  if (rim.kind == RimKind::Driver) {
    return (id.starts_with("NV_GPU_DRIVER_") || id.starts_with("NV_GPU_CC_DRIVER_")) &&
           id.ends_with("_" + rim.version);
  }
  std::string digits;
  for (const char c : rim.version) {
    if (c != '.') digits += c;
  }
  return id.starts_with(rim.kind == RimKind::Switch ? "NV_SWITCH_BIOS_" : "NV_GPU_VBIOS_") &&
         id.ends_with("_" + digits);
}

/// Reads the tag around the measurements, then these. One document, once.
class TagReader {
 public:
  explicit TagReader(const XmlDocument& document) : document_(document), nodes_(document.nodes()) {}

  Result<Rim, RimError> read() && {
    const auto parts = document_.elements_of(0);
    if (!parts || !read_root()) return failure(RimError::BadTag);
    const auto meta = only(*parts, "Meta");
    const auto payload = only(*parts, "Payload");
    if (!meta || !payload || !read_meta(nodes_[*meta])) return failure(RimError::BadTag);
    const auto kind = kind_of(rim_.version);
    const bool of_switch = nodes_[*meta].attribute("edition") == "SWITCH";
    if (!kind || (of_switch && kind != RimKind::Vbios)) return failure(RimError::BadVersion);
    rim_.kind = of_switch ? RimKind::Switch : *kind;
    if (!read_payload(*payload)) return failure(RimError::BadMeasurement);
    return std::move(rim_);
  }

 private:
  bool read_root() {
    const XmlNode& root = nodes_[0];
    return root.is(kSwidUri, "SoftwareIdentity") && root.attribute("corpus") == "false" &&
           root.attribute("patch") == "false" && root.attribute("supplemental") == "false" &&
           read_text(root, "name", rim_.product) && read_text(root, "tagId", rim_.tag_id);
  }

  static bool read_text(const XmlNode& node, std::string_view name, std::string& out) {
    out = node.attribute(name).value_or("");
    return !out.empty() && out.size() <= kTextBytesMax;
  }

  /// The only child of that name.
  [[nodiscard]] std::optional<std::size_t> only(const std::vector<std::size_t>& children,
                                                std::string_view name) const {
    std::optional<std::size_t> out;
    for (const std::size_t child : children) {
      if (!nodes_[child].is(kSwidUri, name)) continue;
      if (out) return std::nullopt;
      out = child;
    }
    return out;
  }

  bool read_meta(const XmlNode& meta) {
    rim_.manufacturer = meta.attribute("PlatformManufacturerStr", kTcgUri).value_or("");
    const auto edition = meta.attribute("edition");
    return (edition == "GPU" || edition == "SWITCH") && meta.attribute("PayloadType") == "direct" &&
           meta.attribute("product") == rim_.product &&
           meta.attribute("BindingSpec", kTcgUri) == "RIMIM" &&
           meta.attribute("PlatformManufacturerId", kTcgUri) == kNvidiaId &&
           meta.attribute("PlatformModel", kTcgUri) == rim_.product &&
           (rim_.manufacturer == kNvidia || rim_.manufacturer == kSimulatedVendor) &&
           read_text(meta, "colloquialVersion", rim_.version);
  }

  bool read_payload(std::size_t payload) {
    const auto resources = document_.elements_of(payload);
    if (!resources || resources->size() > kIndexMax + 1) return false;
    std::vector<bool> seen(kIndexMax + 1);
    for (const std::size_t resource : *resources) {
      RimMeasurement measurement;
      bool active = false;
      if (!read_resource(resource, measurement, active) || seen[measurement.index]) return false;
      seen[measurement.index] = true;
      if (active) rim_.measurements.push_back(std::move(measurement));
    }
    std::sort(rim_.measurements.begin(), rim_.measurements.end(),
              [](const auto& a, const auto& b) { return a.index < b.index; });
    return !rim_.measurements.empty();
  }

  /// type, index, active, alternatives, Hash0 …, name, size, and no other attribute.
  bool read_resource(std::size_t at, RimMeasurement& out, bool& active) {
    constexpr std::size_t kFixed = 6;
    const XmlNode& node = nodes_[at];
    const auto index = parse_number(node.attribute("index").value_or(""), kIndexMax);
    const auto count = parse_number(node.attribute("alternatives").value_or(""), kAlternativesMax);
    const auto state = node.attribute("active");
    if (!node.is(kSwidUri, "Resource") || node.end != at + 1 || !index || !count || *count == 0 ||
        node.attributes.size() != kFixed + *count || node.attribute("type") != "Measurement" ||
        node.attribute("size") != "48" || (state != "True" && state != "False") ||
        !read_text(node, "name", out.name)) {
      return false;
    }
    active = state == "True";
    out.index = static_cast<std::uint8_t>(*index);
    for (std::uint32_t i = 0; i < *count; ++i) {
      const auto hash = node.attribute(fmt::format("Hash{}", i), kHashUri);
      if (!hash || !decode_hex(*hash, out.accepted.emplace_back())) return false;
    }
    return true;
  }

  const XmlDocument& document_;
  std::span<const XmlNode> nodes_;
  Rim rim_;
};

/// The manifest's XML and what came with it.
struct Envelope {
  std::string id;
  Bytes xml;
};

std::optional<RimError> open_answer(std::string_view text, Envelope& out) {
  if (text.size() > kRimAnswerBytesMax) return RimError::TooLarge;
  const auto answer = Json::parse(text);
  if (!answer) return RimError::BadAnswer;
  const auto id = answer->find_string("id");
  const auto rim = answer->find_string("rim");
  const auto digest = from_hex<Digest>(answer->find_string("sha256").value_or(""));
  auto xml = decode_base64(rim.value_or(""));
  if (!id || id->empty() || !digest || !rim || !xml) return RimError::BadAnswer;
  if (*digest != sha256(*xml) && *digest != sha256(*rim)) return RimError::BadAnswer;
  out.id = *id;
  out.xml = std::move(*xml);
  return std::nullopt;
}

struct SignerChain {
  std::vector<Certificate> certificates;
  TrustRoots::Class root_class = TrustRoots::Class::Genuine;
  Validity signer;
};

/// Roots of several kinds may be trusted at once: the names say that this chain is for manifests.
bool is_named(const SignerChain& chain, RimKind kind) {
  const bool test = chain.root_class == TrustRoots::Class::Test;
  const std::string vendor = test ? "NOSTRIL TEST " : "NVIDIA ";
  const auto name = [&](std::size_t index) { return common_name(chain.certificates[index]); };
  const bool root = test || name(3) == kRootName;
  const bool signer = kind == RimKind::Switch && !test
                          ? name(0).starts_with(vendor + "Reference Value L4 ")
                          : name(0).ends_with("RIM L4 Signer");
  return signer && name(0).starts_with("NOSTRIL TEST ") == test &&
         name(1).starts_with(vendor + "Reference Value ") &&
         name(2).starts_with(vendor + "Reference Value ") && root;
}

Result<SignerChain, ChainError> check_signer_chain(const std::vector<Bytes>& ders, RimKind kind,
                                                   const TrustRoots& roots, UnixTime now,
                                                   ChainCache& cache) {
  SignerChain out;
  const auto root_class = roots.classify(ders.back());
  if (!root_class) return failure(ChainError::UntrustedRoot);
  if (ders.size() != kChainCount) return failure(ChainError::WrongLength);
  for (const Bytes& der : ders) {
    auto certificate = cache.parse(der);
    if (!certificate) return failure(ChainError::BadCertificate);
    out.certificates.push_back(std::move(*certificate));
  }
  const auto signer = validity_of(out.certificates.front());
  if (!signer) return failure(ChainError::BadCertificate);
  out.signer = *signer;
  out.root_class = *root_class;
  const UnixTime at = std::min(now, signer->last);
  if (const auto error = check_chain(out.certificates, Algorithms::Nvidia, at, cache)) {
    return failure(*error);
  }
  if (!is_named(out, kind)) return failure(ChainError::WrongName);
  return out;
}

std::string chain_text(const SignerChain& chain) {
  std::string out;
  for (const Certificate& certificate : chain.certificates) {
    out += (out.empty() ? "" : " <- ") + common_name(certificate);
  }
  return out;
}

}  // namespace

/// Borrowing goes downwards. Not movable.
struct ParsedRim::Parts {
  Bytes xml;
  XmlDocument document;
  XmlSignature signature;
  Rim rim;
};

/// Of one manifest, once.
class RimExamination {
 public:
  RimExamination(RimKind kind, const RimPolicy& policy, Checklist& checks,
                 std::vector<Claim>& claims, ChainCache& cache)
      : kind_(kind), policy_(policy), checks_(checks), claims_(claims), cache_(cache) {}

  std::optional<VerifiedRim> run(const ParsedRim& manifest, const TrustRoots& roots, UnixTime now) {
    const ParsedRim::Parts& parts = *manifest.parts_;
    if (!check_kind(parts.rim)) return std::nullopt;
    claim(parts.rim);
    if (!check_signature(parts)) return std::nullopt;
    VerifiedRim out;
    if (!check_chain(parts, roots, now, out)) return std::nullopt;
    out.rim = parts.rim;
    return out;
  }

  void refuse(RimError error) {
    record("format", false, std::string(to_string(error)), wanted_format());
  }

 private:
  [[nodiscard]] std::string name(std::string_view what) const {
    return fmt::format("{}_rim_{}", to_string(kind_), what);
  }

  bool record(std::string_view what, bool passed, std::string found, std::string wanted) {
    return checks_.record(name(what), passed, std::move(found), std::move(wanted));
  }

  [[nodiscard]] std::string wanted_format() const {
    return fmt::format("a manifest of a GPU's {}", to_string(kind_));
  }

  bool check_kind(const Rim& rim) {
    return record(
        "format", rim.kind == kind_,
        fmt::format("manifest of {} {} for {}", to_string(rim.kind), rim.version, rim.product),
        wanted_format());
  }

  void claim(const Rim& rim) {
    const auto add = [&](std::string_view what, Claim::Value value, std::string source) {
      claims_.push_back({fmt::format("{}_rim.{}", to_string(kind_), what), std::move(value),
                         fmt::format("{} RIM, {}", to_string(kind_), source)});
    };
    add("version", rim.version, "Meta, colloquialVersion");
    add("product", rim.product, "Meta, product");
    if (!rim.id.empty()) add("id", rim.id, "id of the service's answer");
    add("tag", rim.tag_id, "tagId");
    add("measurements", static_cast<std::int64_t>(rim.measurements.size()),
        "Payload, active Resources");
  }

  bool check_signature(const ParsedRim::Parts& parts) {
    const Sha384 digest = digest_signed_content(parts.document, parts.signature);
    if (!checks_.compare(name("digest"), parts.signature.digest, digest)) return false;
    const auto signer = cache_.parse(parts.signature.certificates.front());
    const bool good =
        signer && verify_signed_info(parts.document, parts.signature, p384_key_of(*signer));
    return record("signature", good, good ? "signature of the first certificate" : "no signature",
                  "SignedInfo signed by the first certificate's key");
  }

  bool check_chain(const ParsedRim::Parts& parts, const TrustRoots& roots, UnixTime now,
                   VerifiedRim& out) {
    const std::string wanted = "signer, two CAs and a trusted root";
    const auto chain = check_signer_chain(parts.signature.certificates, kind_, roots, now, cache_);
    if (!chain) return record("chain", false, std::string(to_string(chain.error())), wanted);
    const bool test = chain->root_class == TrustRoots::Class::Test;
    const bool world = (parts.rim.manufacturer == kSimulatedVendor) == test;
    record("chain", world, chain_text(*chain) + (world ? "" : ", of " + parts.rim.manufacturer),
           wanted);
    out.root_class = chain->root_class;
    out.signer_expired = now > chain->signer.last;
    out.chain = chain->certificates;
    const bool taken = !out.signer_expired || !policy_.refuse_expired_signer;
    record("signer", taken,
           fmt::format("{} until {}", out.signer_expired ? "expired, valid" : "valid",
                       format_iso_utc(chain->signer.last)),
           policy_.refuse_expired_signer ? "valid now" : "any; the policy takes expired signers");
    return world && taken;
  }

  const RimKind kind_;
  const RimPolicy& policy_;
  Checklist& checks_;
  std::vector<Claim>& claims_;
  ChainCache& cache_;
};

std::string_view to_string(RimKind kind) {
  switch (kind) {
    case RimKind::Driver:
      return "driver";
    case RimKind::Vbios:
      return "vbios";
    case RimKind::Switch:
      return "switch";
  }
  return "unknown";
}

std::string_view to_string(RimError error) {
  switch (error) {
    case RimError::TooLarge:
      return "manifest too large";
    case RimError::NotXml:
      return "not XML of the form that is taken";
    case RimError::BadSignature:
      return "no signature of the form that is taken";
    case RimError::BadAnswer:
      return "malformed answer of the manifest service";
    case RimError::BadTag:
      return "no manifest of a GPU or a switch";
    case RimError::BadMeasurement:
      return "malformed measurement";
    case RimError::BadVersion:
      return "neither a driver's nor a VBIOS's version";
    case RimError::BadId:
      return "id of another manifest";
  }
  return "unknown";
}

const RimMeasurement* Rim::find(std::uint8_t index) const {
  const auto found = std::find_if(measurements.begin(), measurements.end(),
                                  [index](const auto& item) { return item.index == index; });
  return found == measurements.end() ? nullptr : &*found;
}

ParsedRim::ParsedRim(std::unique_ptr<const Parts> parts) : parts_(std::move(parts)) {}

ParsedRim::~ParsedRim() = default;
ParsedRim::ParsedRim(ParsedRim&&) noexcept = default;
ParsedRim& ParsedRim::operator=(ParsedRim&&) noexcept = default;

const Rim& ParsedRim::rim() const {
  return parts_->rim;
}

ByteSpan ParsedRim::xml() const {
  return parts_->xml;
}

std::vector<Certificate> ParsedRim::certificates() const {
  std::vector<Certificate> out;
  for (const Bytes& der : parts_->signature.certificates) {
    auto certificate = parse_certificate(der);
    if (certificate) out.push_back(std::move(*certificate));
  }
  return out;
}

Result<ParsedRim, RimError> ParsedRim::parse(ByteSpan bytes) {
  Envelope envelope;
  if (as_text(bytes).starts_with('{')) {
    if (const auto error = open_answer(as_text(bytes), envelope)) return failure(*error);
    bytes = envelope.xml;
  }
  if (bytes.size() > kRimBytesMax) return failure(RimError::TooLarge);
  Bytes xml(bytes.begin(), bytes.end());
  auto document = XmlDocument::parse(as_text(xml));
  if (!document) return failure(RimError::NotXml);
  auto signature = read_xml_signature(*document);
  if (!signature) return failure(RimError::BadSignature);
  auto rim = TagReader(*document).read();
  if (!rim) return failure(rim.error());
  rim->id = std::move(envelope.id);
  if (!rim->id.empty() && !is_id_of(rim->id, *rim)) return failure(RimError::BadId);
  // A moved vector keeps its memory, from which the document borrows.
  return ParsedRim(std::make_unique<const Parts>(
      Parts{std::move(xml), std::move(*document), std::move(*signature), std::move(*rim)}));
}

Result<Rim, RimError> parse_rim(ByteSpan bytes) {
  const auto parsed = ParsedRim::parse(bytes);
  if (!parsed) return failure(parsed.error());
  return parsed->rim();
}

void list_rim_checks(Checklist& checks, RimKind kind) {
  const auto add = [&](std::string_view what, std::string_view source) {
    checks.add(fmt::format("{}_rim_{}", to_string(kind), what), true,
               fmt::format("{} RIM{}{}", to_string(kind), source.empty() ? "" : ", ", source));
  };
  add("format", "");
  add("digest", "DigestValue; all but Signature");
  add("signature", "SignatureValue over SignedInfo; first X509Certificate");
  add("chain", "X509Certificates");
  add("signer", "first X509Certificate, validity");
}

std::optional<VerifiedRim> examine_rim(ByteSpan bytes, RimKind kind, const TrustRoots& roots,
                                       UnixTime now, const RimPolicy& policy, Checklist& checks,
                                       std::vector<Claim>& claims) {
  ChainCache cache;
  const auto manifest = ParsedRim::parse(bytes);
  if (manifest) return examine_rim(*manifest, kind, roots, now, policy, checks, claims, cache);
  RimExamination(kind, policy, checks, claims, cache).refuse(manifest.error());
  return std::nullopt;
}

std::optional<VerifiedRim> examine_rim(const ParsedRim& manifest, RimKind kind,
                                       const TrustRoots& roots, UnixTime now,
                                       const RimPolicy& policy, Checklist& checks,
                                       std::vector<Claim>& claims, ChainCache& cache) {
  return RimExamination(kind, policy, checks, claims, cache).run(manifest, roots, now);
}

}  // namespace nostril::attestation
