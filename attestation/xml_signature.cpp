#include "attestation/xml_signature.h"

#include "attestation/ecdsa.h"
#include "attestation/x509.h"
#include "base/base64.h"
#include "base/check.h"

#include <algorithm>
#include <initializer_list>

namespace nostril::attestation {

namespace {

constexpr std::string_view kDsUri = "http://www.w3.org/2000/09/xmldsig#";
constexpr std::string_view kC14n11 = "http://www.w3.org/2006/12/xml-c14n11";
constexpr std::string_view kEcdsaSha384 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
constexpr std::string_view kEnveloped = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
constexpr std::string_view kSha384 = "http://www.w3.org/2001/04/xmldsig-more#sha384";

/// Steps through a Signature; after the first thing that is not as it must be, nothing is.
class SignatureReader {
 public:
  explicit SignatureReader(const XmlDocument& document)
      : document_(document), nodes_(document.nodes()) {}

  std::optional<XmlSignature> read() && {
    XmlSignature out;
    out.element = find_signature();
    const auto parts = children(out.element, {"SignedInfo", "SignatureValue", "KeyInfo"});
    if (!good_) return std::nullopt;
    out.signed_info = parts[0];
    read_signed_info(out);
    read_fixed(parts[1], out.value);
    read_key_info(parts[2], out);
    return good_ ? std::optional(std::move(out)) : std::nullopt;
  }

 private:
  void require(bool condition) { good_ = good_ && condition; }

  std::size_t find_signature() {
    std::size_t found = 0;
    std::size_t count = 0;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (!nodes_[i].is(kDsUri, "Signature")) continue;
      found = i;
      ++count;
    }
    require(count == 1 && found != 0 && nodes_[found].parent == 0 &&
            nodes_[found].attributes.empty());
    return found;
  }

  /// The element's children, which are exactly elements of these names.
  std::vector<std::size_t> children(std::size_t element,
                                    std::initializer_list<std::string_view> names) {
    std::vector<std::size_t> out;
    if (!good_) return out;
    std::size_t at = element + 1;
    for (const std::string_view name : names) {
      require(at < nodes_[element].end && nodes_[at].is(kDsUri, name) &&
              nodes_[at].namespaces.empty());
      if (!good_) return out;
      out.push_back(at);
      at = nodes_[at].end;
    }
    require(at == nodes_[element].end);
    return out;
  }

  /// The element has this attribute and no other.
  void require_only(std::size_t element, std::string_view name, std::string_view value) {
    require(nodes_[element].attributes.size() == 1 && nodes_[element].attribute(name) == value);
  }

  /// An element that says its algorithm and nothing more.
  void require_algorithm(std::size_t element, std::string_view algorithm) {
    require_only(element, "Algorithm", algorithm);
    children(element, {});
  }

  void require_bare(std::size_t element) { require(nodes_[element].attributes.empty()); }

  void read_signed_info(XmlSignature& out) {
    require_bare(out.signed_info);
    const auto parts =
        children(out.signed_info, {"CanonicalizationMethod", "SignatureMethod", "Reference"});
    if (!good_) return;
    require_algorithm(parts[0], kC14n11);
    require_algorithm(parts[1], kEcdsaSha384);
    require_only(parts[2], "URI", "");
    read_reference(children(parts[2], {"Transforms", "DigestMethod", "DigestValue"}), out);
  }

  void read_reference(const std::vector<std::size_t>& parts, XmlSignature& out) {
    if (!good_) return;
    require_bare(parts[0]);
    const auto transforms = children(parts[0], {"Transform", "Transform"});
    if (!good_) return;
    require_algorithm(transforms[0], kEnveloped);
    require_algorithm(transforms[1], kC14n11);
    require_algorithm(parts[1], kSha384);
    read_fixed(parts[2], out.digest);
  }

  template <std::size_t kSize>
  void read_fixed(std::size_t element, std::array<std::uint8_t, kSize>& out) {
    const auto text = good_ ? document_.text_of(element) : std::nullopt;
    const auto bytes = text ? decode_base64(*text) : std::nullopt;
    require(bytes && bytes->size() == kSize);
    if (good_) std::copy(bytes->begin(), bytes->end(), out.begin());
  }

  void read_key_info(std::size_t key_info, XmlSignature& out) {
    if (!good_) return;
    require_bare(key_info);
    const auto data = children(key_info, {"X509Data"});
    if (!good_) return;
    require_bare(data[0]);
    for (std::size_t at = data[0] + 1; good_ && at < nodes_[data[0]].end; at = nodes_[at].end) {
      require(nodes_[at].is(kDsUri, "X509Certificate") && nodes_[at].namespaces.empty() &&
              out.certificates.size() < kChainCountMax);
      if (good_) out.certificates.push_back(read_certificate(at));
    }
    require(!out.certificates.empty());
  }

  Bytes read_certificate(std::size_t element) {
    const auto text = document_.text_of(element);
    require(text && text->size() <= 2 * kCertificateBytesMax);
    if (!good_) return {};
    auto der = text->find('\n') == std::string_view::npos ? decode_base64(*text)
                                                          : decode_base64_lines(*text);
    require(der.has_value());
    return std::move(der).value_or(Bytes{});
  }

  const XmlDocument& document_;
  std::span<const XmlNode> nodes_;
  bool good_ = true;
};

}  // namespace

std::optional<XmlSignature> read_xml_signature(const XmlDocument& document) {
  return SignatureReader(document).read();
}

Sha384 digest_signed_content(const XmlDocument& document, const XmlSignature& signature) {
  const std::string content = canonicalize(document, 0, signature.element);
  Sha384 out{};
  CHECK(EVP_Digest(content.data(), content.size(), out.data(), nullptr, EVP_sha384(), nullptr) ==
        1);
  return out;
}

bool verify_signed_info(const XmlDocument& document, const XmlSignature& signature, EVP_PKEY* key) {
  const std::string signed_info = canonicalize(document, signature.signed_info);
  return verify_p384(key, as_bytes(signed_info), signature.value);
}

}  // namespace nostril::attestation
