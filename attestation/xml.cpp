#include "attestation/xml.h"

#include "base/check.h"

#include <algorithm>
#include <array>
#include <utility>

namespace nostril::attestation {

namespace {

constexpr std::string_view kXmlUri = "http://www.w3.org/XML/1998/namespace";
constexpr std::string_view kXmlnsUri = "http://www.w3.org/2000/xmlns/";
constexpr std::string_view kWhiteSpace = " \t\r\n";

bool is_space(char c) {
  return kWhiteSpace.find(c) != std::string_view::npos;
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(kWhiteSpace) == std::string_view::npos;
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool begins_name(char c) {
  return is_letter(c) || c == '_';
}

bool continues_name(char c) {
  return begins_name(c) || is_digit(c) || c == '-' || c == '.';
}

/// XML 1.0, production 2.
bool is_character(std::uint32_t code) {
  return code == 0x9 || code == 0xa || code == 0xd || (code >= 0x20 && code <= 0xd7ff) ||
         (code >= 0xe000 && code <= 0xfffd) || (code >= 0x10000 && code <= 0x10ffff);
}

/// Takes one code point of UTF-8 off the front; nothing for an overlong or broken one.
std::optional<std::uint32_t> take_code_point(std::string_view& text) {
  const auto first = static_cast<unsigned char>(text.front());
  const std::size_t size = first < 0x80             ? 1
                           : (first & 0xe0) == 0xc0 ? 2
                           : (first & 0xf0) == 0xe0 ? 3
                           : (first & 0xf8) == 0xf0 ? 4
                                                    : 0;
  if (size == 0 || text.size() < size) return std::nullopt;
  std::uint32_t code = size == 1 ? first : first & (0x7fU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xc0) != 0x80) return std::nullopt;
    code = code << 6U | (next & 0x3fU);
  }
  constexpr std::array<std::uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kSmallest.at(size)) return std::nullopt;
  text.remove_prefix(size);
  return code;
}

bool is_xml_text(std::string_view text) {
  while (!text.empty()) {
    const auto code = take_code_point(text);
    if (!code || !is_character(*code)) return false;
  }
  return true;
}

void append_utf8(std::string& out, std::uint32_t code) {
  const auto tail = [&](unsigned shift) {
    out += static_cast<char>(0x80U | (code >> shift & 0x3fU));
  };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0U | code >> 6U);
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0U | code >> 12U);
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xf0U | code >> 18U);
    tail(12);
    tail(6);
    tail(0);
  }
}

/// RFC 3986: it begins with a scheme. Canonical XML forbids relative namespace names.
bool is_absolute_uri(std::string_view uri) {
  const std::size_t colon = uri.find(':');
  if (colon == 0 || colon == std::string_view::npos || !is_letter(uri.front())) return false;
  const std::string_view scheme = uri.substr(0, colon);
  return std::all_of(scheme.begin(), scheme.end(), [](char c) {
    return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
  });
}

struct QName {
  std::string_view prefix;
  std::string_view name;

  bool operator==(const QName&) const = default;
};

/// The code point that "&TEXT;" stands for.
std::optional<std::uint32_t> resolve(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, char>, 5> kEntities = {
      {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}}};
  for (const auto& [name, character] : kEntities) {
    if (text == name) return static_cast<unsigned char>(character);
  }
  if (!text.starts_with('#')) return std::nullopt;
  text.remove_prefix(1);
  const bool hex = text.starts_with('x');
  if (hex) text.remove_prefix(1);
  if (text.empty() || text.size() > 8) return std::nullopt;
  std::uint32_t code = 0;
  for (const char c : text) {
    std::size_t digit = std::string_view("0123456789abcdefABCDEF").find(c);
    if (digit > 15 && digit != std::string_view::npos) digit -= 6;
    if (digit >= (hex ? 16 : 10)) return std::nullopt;
    code = code * (hex ? 16 : 10) + static_cast<std::uint32_t>(digit);
  }
  return is_character(code) ? std::optional(code) : std::nullopt;
}

}  // namespace

/// Reads one document, once. Functions return false when error_ says why.
class XmlReader {
 public:
  explicit XmlReader(std::string_view text) : rest_(text) {}

  Result<XmlDocument, XmlError> read() && {
    if (rest_.size() > kXmlBytesMax) return failure(XmlError::TooLarge);
    if (!is_xml_text(rest_)) return failure(XmlError::BadEncoding);
    if (!read_declaration() || !read_content()) return failure(error_);
    return std::move(document_);
  }

 private:
  struct Open {
    std::size_t node = 0;
    std::size_t scope = 0;  ///< namespaces in scope outside of it
  };

  bool fail(XmlError error) {
    error_ = error;
    return false;
  }

  bool take(std::string_view wanted) {
    if (!rest_.starts_with(wanted)) return false;
    rest_.remove_prefix(wanted.size());
    return true;
  }

  bool skip_space() {
    const std::size_t end = std::min(rest_.find_first_not_of(kWhiteSpace), rest_.size());
    rest_.remove_prefix(end);
    return end > 0;
  }

  bool read_declaration() {
    if (!rest_.starts_with("<?xml") || rest_.size() < 6 || !is_space(rest_[5])) return true;
    rest_.remove_prefix(5);
    std::string_view value;
    if (!skip_space() || !take("version") || !read_quoted(value) || value != "1.0") {
      return fail(XmlError::Malformed);
    }
    if (skip_space() && take("encoding") &&
        (!read_quoted(value) || (value != "UTF-8" && value != "utf-8"))) {
      return fail(XmlError::BadEncoding);
    }
    skip_space();
    return take("?>") || fail(XmlError::Malformed);
  }

  /// ="value", as it is written.
  bool read_quoted(std::string_view& value) {
    skip_space();
    if (!take("=")) return fail(XmlError::Malformed);
    skip_space();
    if (rest_.empty() || (rest_.front() != '"' && rest_.front() != '\'')) {
      return fail(XmlError::Malformed);
    }
    const std::size_t end = rest_.find(rest_.front(), 1);
    if (end == std::string_view::npos) return fail(XmlError::Malformed);
    value = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return value.find('<') == std::string_view::npos || fail(XmlError::Malformed);
  }

  bool read_content() {
    bool done = false;
    while (!rest_.empty()) {
      if (rest_.front() != '<') {
        if (!read_text()) return false;
        continue;
      }
      if (rest_.starts_with("<!") || rest_.starts_with("<?")) return fail(XmlError::Forbidden);
      if (done) return fail(XmlError::Malformed);
      if (!(rest_.starts_with("</") ? read_end_tag() : read_start_tag())) return false;
      done = open_.empty();
    }
    return done || fail(XmlError::Malformed);
  }

  bool read_text() {
    const std::string_view text = rest_.substr(0, rest_.find('<'));
    rest_.remove_prefix(text.size());
    if (open_.empty()) return is_blank(text) || fail(XmlError::Malformed);
    if (text.find("]]>") != std::string_view::npos) return fail(XmlError::Malformed);
    XmlNode node;
    node.is_text = true;
    return decode(text, false, node.text) && add(std::move(node)) &&
           (document_.nodes_.back().end = document_.nodes_.size(), true);
  }

  /// Resolves references and normalises line ends, in an attribute all white space.
  bool decode(std::string_view text, bool is_attribute, std::string_view& out) {
    if (text.find_first_of(is_attribute ? "&\t\r\n" : "&\r") == std::string_view::npos) {
      out = text;
      return true;
    }
    std::string decoded;
    while (!text.empty()) {
      const char c = text.front();
      if (c == '&') {
        const std::size_t end = text.find(';');
        const auto code = resolve(text.substr(1, end == std::string_view::npos ? 0 : end - 1));
        if (!code) return fail(XmlError::BadReference);
        append_utf8(decoded, *code);
        text.remove_prefix(end + 1);
        continue;
      }
      text.remove_prefix(1);
      if (c == '\r' && text.starts_with('\n')) continue;  // the LF stands for both
      const bool is_end = c == '\r' || c == '\n';
      decoded += is_attribute && (is_end || c == '\t') ? ' ' : is_end ? '\n' : c;
    }
    out = document_.changed_.emplace_back(std::move(decoded));
    return true;
  }

  bool add(XmlNode node) {
    if (document_.nodes_.size() == kXmlNodesMax) return fail(XmlError::TooMany);
    node.parent = open_.empty() ? 0 : open_.back().node;
    document_.nodes_.push_back(std::move(node));
    return true;
  }

  bool read_name(std::string_view& out) {
    if (rest_.empty() || !begins_name(rest_.front())) return fail(XmlError::Malformed);
    std::size_t end = 1;
    while (end < rest_.size() && continues_name(rest_[end])) ++end;
    out = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return true;
  }

  bool read_qname(QName& out) {
    out.prefix = {};
    if (!read_name(out.name)) return false;
    if (!take(":")) return true;
    out.prefix = out.name;
    return read_name(out.name);
  }

  bool read_start_tag() {
    rest_.remove_prefix(1);
    if (open_.size() == kXmlDepthMax) return fail(XmlError::TooDeep);
    XmlNode node;
    QName name;
    if (!read_qname(name) || !read_attributes(node)) return false;
    node.prefix = name.prefix;
    node.name = name.name;
    const bool is_empty = take("/");
    if (!take(">")) return fail(XmlError::Malformed);
    const std::size_t outside = scope_.size();
    if (!declare(node) || !resolve_names(node) || !add(std::move(node))) return false;
    open_.push_back({document_.nodes_.size() - 1, outside});
    if (is_empty) close();
    return true;
  }

  bool read_attributes(XmlNode& node) {
    while (skip_space() && !rest_.starts_with('/') && !rest_.starts_with('>')) {
      if (node.attributes.size() + node.namespaces.size() == kXmlAttributesMax) {
        return fail(XmlError::TooMany);
      }
      QName name;
      std::string_view written;
      std::string_view value;
      if (!read_qname(name) || !read_quoted(written) || !decode(written, true, value)) return false;
      if (name == QName{{}, "xmlns"}) {
        node.namespaces.push_back({{}, value});
      } else if (name.prefix == "xmlns") {
        node.namespaces.push_back({name.name, value});
      } else if (name.prefix == "xml") {
        return fail(XmlError::Forbidden);
      } else {
        node.attributes.push_back({name.prefix, name.name, {}, value});
      }
    }
    return true;
  }

  /// Puts the element's declarations into scope.
  bool declare(XmlNode& node) {
    auto& declared = node.namespaces;
    std::sort(declared.begin(), declared.end(),
              [](const auto& a, const auto& b) { return a.prefix < b.prefix; });
    const auto twice =
        std::adjacent_find(declared.begin(), declared.end(),
                           [](const auto& a, const auto& b) { return a.prefix == b.prefix; });
    if (twice != declared.end()) return fail(XmlError::DoubleAttribute);
    for (const XmlNamespace& item : declared) {
      const bool undeclares = item.prefix.empty() && item.uri.empty();
      const bool reserved = item.prefix == "xml" || item.prefix == "xmlns" || item.uri == kXmlUri ||
                            item.uri == kXmlnsUri;
      if (reserved || (!undeclares && !is_absolute_uri(item.uri))) {
        return fail(XmlError::BadNamespace);
      }
      scope_.push_back(item);
    }
    return true;
  }

  bool look_up(std::string_view prefix, std::string_view& uri) {
    const auto found = std::find_if(scope_.rbegin(), scope_.rend(),
                                    [&](const auto& item) { return item.prefix == prefix; });
    uri = found == scope_.rend() ? std::string_view() : found->uri;
    return found != scope_.rend() || prefix.empty() || fail(XmlError::BadNamespace);
  }

  bool resolve_names(XmlNode& node) {
    if (!look_up(node.prefix, node.uri)) return false;
    auto& attributes = node.attributes;
    for (XmlAttribute& attribute : attributes) {
      if (!attribute.prefix.empty() && !look_up(attribute.prefix, attribute.uri)) return false;
    }
    const auto key = [](const XmlAttribute& item) { return std::pair(item.uri, item.name); };
    std::sort(attributes.begin(), attributes.end(),
              [&](const auto& a, const auto& b) { return key(a) < key(b); });
    const auto twice =
        std::adjacent_find(attributes.begin(), attributes.end(),
                           [&](const auto& a, const auto& b) { return key(a) == key(b); });
    return twice == attributes.end() || fail(XmlError::DoubleAttribute);
  }

  bool read_end_tag() {
    rest_.remove_prefix(2);
    QName name;
    if (!read_qname(name)) return false;
    skip_space();
    if (!take(">") || open_.empty()) return fail(XmlError::Malformed);
    const XmlNode& node = document_.nodes_[open_.back().node];
    if (name != QName{node.prefix, node.name}) return fail(XmlError::Malformed);
    close();
    return true;
  }

  void close() {
    document_.nodes_[open_.back().node].end = document_.nodes_.size();
    scope_.resize(open_.back().scope);
    open_.pop_back();
  }

  std::string_view rest_;
  XmlDocument document_;
  std::vector<Open> open_;
  std::vector<XmlNamespace> scope_;
  XmlError error_ = XmlError::Malformed;
};

namespace {

/// Writes one subtree; nothing of it is skipped but one element with all it contains, so that what
/// is in scope at a written parent is also rendered there.
class Canonicalizer {
 public:
  Canonicalizer(const XmlDocument& document, std::size_t without)
      : nodes_(document.nodes()), without_(without) {}

  std::string write(std::size_t apex) && {
    CHECK(apex < nodes_.size() && !nodes_[apex].is_text && apex != without_);
    inherit(apex);
    for (std::size_t i = apex; i < nodes_[apex].end;) {
      while (!open_.empty() && nodes_[open_.back().node].end <= i) close();
      const XmlNode& node = nodes_[i];
      if (i != without_) write(i, node);
      i = i == without_ ? node.end : i + 1;
    }
    while (!open_.empty()) close();
    return std::move(out_);
  }

 private:
  struct Open {
    std::size_t node = 0;
    std::size_t rendered = 0;
  };

  /// What the apex' ancestors declare is written out at the apex.
  void inherit(std::size_t apex) {
    std::vector<std::size_t> line;  // outwards
    for (std::size_t i = apex; i != 0; i = nodes_[i].parent) line.push_back(nodes_[i].parent);
    std::reverse(line.begin(), line.end());
    for (const std::size_t ancestor : line) {
      for (const XmlNamespace& item : nodes_[ancestor].namespaces) put(inherited_, item);
    }
  }

  static void put(std::vector<XmlNamespace>& list, const XmlNamespace& item) {
    const auto place =
        std::lower_bound(list.begin(), list.end(), item,
                         [](const auto& a, const auto& b) { return a.prefix < b.prefix; });
    if (place != list.end() && place->prefix == item.prefix) {
      place->uri = item.uri;
    } else {
      list.insert(place, item);
    }
  }

  void write(std::size_t index, const XmlNode& node) {
    if (node.is_text) {
      write_escaped(node.text, "&<>\r");
      return;
    }
    const std::size_t outside = rendered_.size();
    out_ += '<';
    write_name(node.prefix, node.name);
    if (open_.empty()) {
      for (const XmlNamespace& item : node.namespaces) put(inherited_, item);
      for (const XmlNamespace& item : inherited_) write_namespace(item);
    } else {
      for (const XmlNamespace& item : node.namespaces) write_namespace(item);
    }
    for (const XmlAttribute& attribute : node.attributes) {
      out_ += ' ';
      write_name(attribute.prefix, attribute.name);
      write_value(attribute.value);
    }
    out_ += '>';
    open_.push_back({index, outside});
  }

  void close() {
    const XmlNode& node = nodes_[open_.back().node];
    out_ += "</";
    write_name(node.prefix, node.name);
    out_ += '>';
    rendered_.resize(open_.back().rendered);
    open_.pop_back();
  }

  /// Unless an enclosing element says the same.
  void write_namespace(const XmlNamespace& item) {
    const auto last = std::find_if(rendered_.rbegin(), rendered_.rend(),
                                   [&](const auto& other) { return other.prefix == item.prefix; });
    if (item.uri == (last == rendered_.rend() ? std::string_view() : last->uri)) return;
    rendered_.push_back(item);
    out_ += item.prefix.empty() ? " xmlns" : " xmlns:";
    out_ += item.prefix;
    write_value(item.uri);
  }

  void write_name(std::string_view prefix, std::string_view name) {
    if (!prefix.empty()) {
      out_ += prefix;
      out_ += ':';
    }
    out_ += name;
  }

  void write_value(std::string_view value) {
    out_ += "=\"";
    write_escaped(value, "&<\"\t\n\r");
    out_ += '"';
  }

  void write_escaped(std::string_view text, std::string_view special) {
    for (std::size_t at = 0; (at = text.find_first_of(special)) != std::string_view::npos;) {
      out_ += text.substr(0, at);
      write_reference(text[at]);
      text.remove_prefix(at + 1);
    }
    out_ += text;
  }

  void write_reference(char c) {
    switch (c) {
      case '&':
        out_ += "&amp;";
        break;
      case '<':
        out_ += "&lt;";
        break;
      case '>':
        out_ += "&gt;";
        break;
      case '"':
        out_ += "&quot;";
        break;
      case '\t':
        out_ += "&#x9;";
        break;
      case '\n':
        out_ += "&#xA;";
        break;
      default:
        CHECK(c == '\r');
        out_ += "&#xD;";
        break;
    }
  }

  std::span<const XmlNode> nodes_;
  const std::size_t without_;
  std::vector<XmlNamespace> inherited_;
  std::vector<XmlNamespace> rendered_;
  std::vector<Open> open_;
  std::string out_;
};

}  // namespace

std::string_view to_string(XmlError error) {
  switch (error) {
    case XmlError::TooLarge:
      return "XML too large";
    case XmlError::BadEncoding:
      return "not UTF-8 of characters that XML allows";
    case XmlError::Forbidden:
      return "XML of a form that is not taken";
    case XmlError::Malformed:
      return "malformed XML";
    case XmlError::BadReference:
      return "XML entity that is not taken";
    case XmlError::DoubleAttribute:
      return "XML attribute twice";
    case XmlError::BadNamespace:
      return "XML namespace undeclared or wrongly declared";
    case XmlError::TooDeep:
      return "XML too deep";
    case XmlError::TooMany:
      return "XML of too many parts";
  }
  return "unknown";
}

std::optional<std::string_view> XmlNode::attribute(std::string_view local,
                                                   std::string_view in_uri) const {
  for (const XmlAttribute& item : attributes) {
    if (item.name == local && item.uri == in_uri) return item.value;
  }
  return std::nullopt;
}

bool XmlNode::is(std::string_view in_uri, std::string_view local) const {
  return !is_text && name == local && uri == in_uri;
}

Result<XmlDocument, XmlError> XmlDocument::parse(std::string_view text) {
  return XmlReader(text).read();
}

std::optional<std::vector<std::size_t>> XmlDocument::elements_of(std::size_t element) const {
  std::vector<std::size_t> out;
  for (std::size_t i = element + 1; i < nodes_[element].end; i = nodes_[i].end) {
    if (!nodes_[i].is_text) {
      out.push_back(i);
    } else if (!is_blank(nodes_[i].text)) {
      return std::nullopt;
    }
  }
  return out;
}

std::optional<std::string_view> XmlDocument::text_of(std::size_t element) const {
  const XmlNode& node = nodes_[element];
  if (!node.attributes.empty() || node.end > element + 2) return std::nullopt;
  if (node.end == element + 1) return std::string_view();
  const XmlNode& child = nodes_[element + 1];
  return child.is_text ? std::optional(child.text) : std::nullopt;
}

std::string canonicalize(const XmlDocument& document, std::size_t element, std::size_t without) {
  return Canonicalizer(document, without).write(element);
}

}  // namespace nostril::attestation
