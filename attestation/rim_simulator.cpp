#include "attestation/rim_simulator.h"

#include "attestation/xml_signature.h"
#include "base/base64.h"
#include "base/check.h"
#include "base/hex.h"
#include "schnorr/hash.h"

#include <fmt/format.h>
#include <openssl/evp.h>

namespace nostril::attestation {

namespace {

constexpr std::size_t kResourceCount = 64;
constexpr std::uint32_t kSerialCa = 11;  // the root has 1
constexpr std::uint32_t kSerialL3 = 12;
constexpr std::uint32_t kSerialSigner = 13;
constexpr const char* kDebugRoot = "NOSTRIL TEST DEBUG ROOT - NOT A TEE";
constexpr const char* kCa = "NOSTRIL TEST Reference Value CA";
constexpr const char* kL3 = "NOSTRIL TEST Reference Value L3";

std::string resource(std::size_t index, const RimMeasurement* measurement) {
  const std::vector<Measurement> none(1);
  const auto& accepted = measurement == nullptr ? none : measurement->accepted;
  std::string hashes;
  for (std::size_t i = 0; i < accepted.size(); ++i) {
    hashes += fmt::format(" ns2:Hash{}=\"{}\"", i, encode_hex(accepted[i]));
  }
  return fmt::format(
      "    <ns0:Resource type=\"Measurement\" index=\"{}\" active=\"{}\" alternatives=\"{}\"{} "
      "name=\"Measurement_{}\" size=\"48\"/>\n",
      index, measurement == nullptr ? "False" : "True", accepted.size(), hashes, index);
}

std::string meta(const RimSimulatorTag& tag) {
  return fmt::format(
      "  <ns0:Meta xmlns:ns1=\"https://trustedcomputinggroup.org/resource/"
      "tcg-reference-integrity-manifest-rim-information-model/\" colloquialVersion=\"{}\" "
      "edition=\"{}\" product=\"{}\" PayloadType=\"direct\" ns1:BindingSpec=\"RIMIM\" "
      "ns1:PlatformManufacturerId=\"5703\" ns1:PlatformManufacturerStr=\"{}\" "
      "ns1:PlatformModel=\"{}\"/>\n",
      tag.version, tag.edition, tag.product, tag.manufacturer, tag.product);
}

std::string signature_element(ByteSpan digest, const std::string& value,
                              const std::vector<Bytes>& chain) {
  std::string certificates;
  for (const Bytes& der : chain) {
    certificates += fmt::format("<ds:X509Certificate>{}</ds:X509Certificate>", encode_base64(der));
  }
  return fmt::format(
      "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:SignedInfo>"
      "<ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\"/>"
      "<ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384\"/>"
      "<ds:Reference URI=\"\"><ds:Transforms>"
      "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/>"
      "<ds:Transform Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\"/></ds:Transforms>"
      "<ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#sha384\"/>"
      "<ds:DigestValue>{}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
      "<ds:SignatureValue>{}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>{}</ds:X509Data>"
      "</ds:KeyInfo></ds:Signature>",
      encode_base64(digest), value, certificates);
}

}  // namespace

RimSimulator::RimSimulator(std::span<const std::uint8_t, 32> seed,
                           const RimSimulatorOptions& options)
    : root_(seed), signer_(seed, "rim signer"), l3_(seed, "rim l3"), ca_(seed, "rim ca") {
  const SimKey384 debug(seed, "rim debug root");
  const SimKey384& root_key = options.debug_root ? debug : root_.key;
  const std::string root_name = options.debug_root ? kDebugRoot : std::string(kTestRootName);
  const auto issuer = [](const std::string& subject, const std::string& by, std::uint32_t serial,
                         std::uint32_t path_length, bool is_ca) {
    return SimCertificate{subject,         by,    serial,      kSimPkiNotBefore,
                          kSimPkiNotAfter, is_ca, path_length, {}};
  };
  chain_.push_back(make_certificate({options.signer_name,
                                     kL3,
                                     kSerialSigner,
                                     options.signer_not_before,
                                     options.signer_not_after,
                                     false,
                                     0,
                                     {}},
                                    signer_, l3_));
  chain_.push_back(
      make_certificate(issuer(kL3, kCa, kSerialL3, 0, options.issuer_is_ca), l3_, ca_));
  chain_.push_back(make_certificate(issuer(kCa, root_name, kSerialCa, 1, true), ca_, root_key));
  chain_.push_back(options.debug_root ? make_certificate(issuer(root_name, root_name, 1, 2, true),
                                                         root_key, root_key)
                                      : root_.der);
}

std::string RimSimulator::unsigned_tag(const RimSimulatorTag& tag) {
  std::string resources;
  for (std::size_t i = 0; i < kResourceCount; ++i) {
    const RimMeasurement* active = nullptr;
    for (const RimMeasurement& item : tag.measurements) active = item.index == i ? &item : active;
    resources += resource(i, active);
  }
  return fmt::format(
      "<SoftwareIdentity xmlns=\"http://standards.iso.org/iso/19770/-2/2015/schema.xsd\" "
      "xmlns:ns0=\"http://standards.iso.org/iso/19770/-2/2015/schema.xsd\" "
      "xmlns:ns2=\"http://www.w3.org/2001/04/xmlenc#sha384\" corpus=\"false\" name=\"{}\" "
      "patch=\"false\" supplemental=\"false\" tagId=\"{}\" version=\"1.0\" tagVersion=\"0\">\n"
      "  <ns0:Entity name=\"{}\" role=\"softwareCreator tagCreator\"/>\n{}  <ns0:Payload>\n"
      "{}  </ns0:Payload>\n</SoftwareIdentity>\n",
      tag.product, encode_hex(sha256(resources + tag.version)), tag.manufacturer, meta(tag),
      resources);
}

Bytes RimSimulator::sign(std::string_view document) const {
  const auto bare = XmlDocument::parse(document);
  CHECK(bare);
  const std::string content = canonicalize(*bare, 0);
  Sha384 digest{};
  CHECK(EVP_Digest(content.data(), content.size(), digest.data(), nullptr, EVP_sha384(), nullptr) ==
        1);
  std::string out(document);
  const std::size_t place = out.rfind("</");
  CHECK(place != std::string::npos);
  const auto with_value = [&](ByteSpan value) {
    std::string whole = out;
    return whole.insert(place, signature_element(digest, encode_base64(value), chain_));
  };
  const std::string draft = with_value(std::array<std::uint8_t, 96>{});
  const auto parsed = XmlDocument::parse(draft);
  CHECK(parsed);
  const auto signature = read_xml_signature(*parsed);
  CHECK(signature);
  const std::string signed_info = canonicalize(*parsed, signature->signed_info);
  out = with_value(signer_.sign(as_bytes(signed_info)));
  return {out.begin(), out.end()};
}

std::vector<Bytes> RimSimulator::ocsp_answers(const SimOcsp& fields) const {
  return {make_ocsp_answer(fields, chain_[0], chain_[1], l3_),
          make_ocsp_answer(fields, chain_[1], chain_[2], ca_),
          make_ocsp_answer(fields, chain_[2], chain_[3], root_.key)};
}

Bytes RimSimulator::manifest(const RimSimulatorTag& tag) const {
  return sign(unsigned_tag(tag));
}

}  // namespace nostril::attestation
