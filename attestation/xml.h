#pragma once

#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// XML as signed documents need it: a small strict reader, and Canonical XML. No DTD, CDATA,
/// comment or processing instruction, so that what is read is what stands there; none of them has a
/// place in a document that a machine signed.
namespace nostril::attestation {

inline constexpr std::size_t kXmlBytesMax = 256U << 10U;
inline constexpr std::size_t kXmlDepthMax = 64;
/// Elements and texts of a document; attributes and namespace declarations of an element.
inline constexpr std::size_t kXmlNodesMax = 16U << 10U;
inline constexpr std::size_t kXmlAttributesMax = 128;

enum class XmlError : std::uint8_t {
  TooLarge,
  BadEncoding,  ///< not UTF-8, or a character that XML does not allow
  Forbidden,    ///< DTD, CDATA, comment, processing instruction, or an attribute xml:…
  Malformed,
  BadReference,     ///< an entity that is not one of XML's five, or a number that is no character
  DoubleAttribute,  ///< by name, or by namespace and local name
  BadNamespace,     ///< undeclared prefix, or a declaration that Namespaces in XML forbids
  TooDeep,
  TooMany,
};

std::string_view to_string(XmlError error);

struct XmlNamespace {
  std::string_view prefix;  ///< empty: the default namespace
  std::string_view uri;     ///< empty: none (of the default only)
};

struct XmlAttribute {
  std::string_view prefix;
  std::string_view name;  ///< without the prefix
  std::string_view uri;   ///< empty without a prefix
  std::string_view value;
};

/// An element or a run of text.
struct XmlNode {
  bool is_text = false;
  std::string_view prefix;
  std::string_view name;  ///< of the element, without the prefix
  std::string_view uri;
  std::string_view text;
  std::vector<XmlNamespace> namespaces;  ///< declared here; by prefix
  std::vector<XmlAttribute> attributes;  ///< by namespace, then local name
  std::size_t parent = 0;                ///< the root is its own
  std::size_t end = 0;                   ///< one past its last descendant

  /// The attribute's value, or nothing.
  [[nodiscard]] std::optional<std::string_view> attribute(std::string_view local,
                                                          std::string_view in_uri = {}) const;
  /// An element of this name in this namespace.
  [[nodiscard]] bool is(std::string_view in_uri, std::string_view local) const;
};

/// A parsed document: its nodes in document order, the root first. References are resolved, line
/// ends and white space of attributes normalised (XML 1.0, 2.11 and 3.3.3). Names are ASCII; a
/// declaration may only say version 1.0 and UTF-8.
/// Threads: immutable after parse(). Borrows the text that it was parsed from.
class XmlDocument {
 public:
  static Result<XmlDocument, XmlError> parse(std::string_view text);

  XmlDocument(XmlDocument&&) = default;
  XmlDocument& operator=(XmlDocument&&) = default;
  XmlDocument(const XmlDocument&) = delete;
  XmlDocument& operator=(const XmlDocument&) = delete;
  ~XmlDocument() = default;

  [[nodiscard]] std::span<const XmlNode> nodes() const { return nodes_; }

  /// The element's child elements, by index. Nothing when there is text between them other than
  /// white space.
  [[nodiscard]] std::optional<std::vector<std::size_t>> elements_of(std::size_t element) const;

  /// The element's text when it has no attribute and no child element; nothing otherwise.
  [[nodiscard]] std::optional<std::string_view> text_of(std::size_t element) const;

 private:
  friend class XmlReader;
  XmlDocument() = default;

  std::vector<XmlNode> nodes_;
  /// Texts and values that differ from what is written. A deque: their memory does not move.
  std::deque<std::string> changed_;
};

inline constexpr std::size_t kNoXmlNode = static_cast<std::size_t>(-1);

/// Canonical XML 1.1 (W3C, 2008-05-02) of an element with all it contains, but without the element
/// `without`. All namespaces in scope at the element are written out at it, used or not. The rules
/// for xml:… attributes do not arise: the reader refuses them.
std::string canonicalize(const XmlDocument& document, std::size_t element,
                         std::size_t without = kNoXmlNode);

}  // namespace nostril::attestation
