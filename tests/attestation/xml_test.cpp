// The reader's rules and Canonical XML's, each on a document small enough to see them.
#include "attestation/xml.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nostril::attestation {
namespace {

/// The root's canonical form, or the error's text.
std::string c14n(std::string_view text) {
  const auto document = XmlDocument::parse(text);
  return document ? canonicalize(*document, 0) : std::string(to_string(document.error()));
}

/// The canonical form of the element of this name.
std::string c14n_of(std::string_view text, std::string_view name) {
  const auto document = XmlDocument::parse(text);
  if (!document) return std::string(to_string(document.error()));
  for (std::size_t i = 0; i < document->nodes().size(); ++i) {
    if (document->nodes()[i].name == name) return canonicalize(*document, i);
  }
  return "no such element";
}

std::optional<XmlError> error_of(std::string_view text) {
  const auto document = XmlDocument::parse(text);
  return document ? std::nullopt : std::optional(document.error());
}

void expect_errors(XmlError error, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) EXPECT_EQ(error_of(text), error) << text;
}

TEST(Canonicalize, DropsWhatStandsOutsideOfTheRoot) {
  EXPECT_EQ(c14n("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<a/>\n\n"), "<a></a>");
  EXPECT_EQ(c14n("<?xml version = '1.0'?> <a />"), "<a></a>");
}

TEST(Canonicalize, KeepsWhiteSpaceOfTextAndNoneOfTags) {
  EXPECT_EQ(c14n("<a\n  x = '1'\t>\n <b >\t</b\n>  c </a >"), "<a x=\"1\">\n <b>\t</b>  c </a>");
}

TEST(Canonicalize, WritesEmptyElementsAsPairs) {
  EXPECT_EQ(c14n("<a><b/><c></c></a>"), "<a><b></b><c></c></a>");
}

TEST(Canonicalize, SortsAttributesByNamespaceThenName) {
  EXPECT_EQ(
      c14n("<a xmlns:p='u:z' xmlns:q='u:y' p:a='1' q:b='2' q:a='3' z='4' b='5'/>"),
      "<a xmlns:p=\"u:z\" xmlns:q=\"u:y\" b=\"5\" z=\"4\" q:a=\"3\" q:b=\"2\" p:a=\"1\"></a>");
}

TEST(Canonicalize, SortsNamespacesByPrefixTheDefaultFirst) {
  EXPECT_EQ(c14n("<b:a xmlns:c='u:1' xmlns:b='u:2' xmlns='u:3'/>"),
            "<b:a xmlns=\"u:3\" xmlns:b=\"u:2\" xmlns:c=\"u:1\"></b:a>");
}

TEST(Canonicalize, LeavesOutDeclarationsThatAnElementInherits) {
  EXPECT_EQ(c14n("<a xmlns='u:1' xmlns:p='u:2'><b xmlns='u:1' xmlns:p='u:2'/>"
                 "<c xmlns:p='u:3'><d xmlns:p='u:2'/></c></a>"),
            "<a xmlns=\"u:1\" xmlns:p=\"u:2\"><b></b>"
            "<c xmlns:p=\"u:3\"><d xmlns:p=\"u:2\"></d></c></a>");
}

TEST(Canonicalize, WritesTheUndeclaredDefaultOnlyWhereOneIsInScope) {
  EXPECT_EQ(c14n("<a xmlns=''><b xmlns='u:1'><c xmlns=''><d xmlns=''/></c></b></a>"),
            "<a><b xmlns=\"u:1\"><c xmlns=\"\"><d></d></c></b></a>");
}

TEST(Canonicalize, KeepsUnusedDeclarations) {
  EXPECT_EQ(c14n("<a xmlns:unused='u:1'/>"), "<a xmlns:unused=\"u:1\"></a>");
}

TEST(Canonicalize, EscapesTextAndValuesEachInItsWay) {
  EXPECT_EQ(c14n("<a x='&lt;&gt;&amp;&quot;&apos;\"'>&lt;>&amp;\"'</a>"),
            "<a x=\"&lt;>&amp;&quot;'&quot;\">&lt;&gt;&amp;\"'</a>");
  EXPECT_EQ(c14n("<a x='&#9;&#10;&#xD;&#x20;'>&#9;&#10;&#xd;</a>"),
            "<a x=\"&#x9;&#xA;&#xD; \">\t\n&#xD;</a>");
}

TEST(Canonicalize, NormalisesLineEndsAndWhiteSpaceOfValues) {
  EXPECT_EQ(c14n("<a x='1\r\n2\n3\r4\t5  6'>1\r\n2\r3\r\r\n4</a>"),
            "<a x=\"1 2 3 4 5  6\">1\n2\n3\n\n4</a>");
}

TEST(Canonicalize, ResolvesNumbersToUtf8) {
  EXPECT_EQ(c14n("<a x='&#65;&#x42;'>&#xA9;&#x20ac;&#x10FFFF;\xc3\xa9</a>"),
            "<a x=\"AB\">\xc2\xa9\xe2\x82\xac\xf4\x8f\xbf\xbf\xc3\xa9</a>");
}

TEST(Canonicalize, GivesAPartTheNamespacesAroundIt) {
  const std::string text =
      "<a xmlns='u:1' xmlns:p='u:2' xmlns:q='u:3'><b xmlns:p='u:4'>"
      "<p:c y='2' xmlns:r='u:5'><d/><e xmlns:p='u:2'/></p:c></b></a>";
  EXPECT_EQ(c14n_of(text, "c"),
            "<p:c xmlns=\"u:1\" xmlns:p=\"u:4\" xmlns:q=\"u:3\" xmlns:r=\"u:5\" y=\"2\">"
            "<d></d><e xmlns:p=\"u:2\"></e></p:c>");
  EXPECT_EQ(c14n_of("<a xmlns='u:1'><b xmlns=''><c/></b></a>", "c"), "<c></c>");
}

TEST(Canonicalize, LeavesOneElementOutAndTheTextAroundItIn) {
  const auto document = XmlDocument::parse("<a>1<b><c/></b>2<d/></a>");
  ASSERT_TRUE(document.has_value());
  EXPECT_EQ(canonicalize(*document, 0, 2), "<a>12<d></d></a>");
}

TEST(Canonicalize, IsItsOwnCanonicalForm) {
  const std::string once = c14n("<a xmlns='u:1' b='&#10;&quot;'>x&#13;&gt;<c d='e'/> y</a>");
  EXPECT_EQ(c14n(once), once);
}

TEST(ParseXml, RefusesFormsThatNoSignedDocumentNeeds) {
  expect_errors(
      XmlError::Forbidden,
      {"<!DOCTYPE a><a/>", "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "<!-- c --><a/>",
       "<a><!-- c --></a>", "<a/><!-- c -->", "<a><![CDATA[x]]></a>", "<?pi?><a/>", "<?xml?><a/>",
       "<a><?pi x?></a>", "<a/><?pi?>", "<a xml:space='preserve'/>", "<a xml:id='1'/>"});
}

TEST(ParseXml, RefusesMalformedText) {
  expect_errors(XmlError::Malformed,
                {"",
                 " ",
                 "x",
                 "<",
                 "<a",
                 "<a>",
                 "<a/",
                 "</a>",
                 "<a></b>",
                 "<a></p:a>",
                 "<a/>x",
                 "x<a/>",
                 "<a/><b/>",
                 "<a><b></a></b>",
                 "<a x></a>",
                 "<a x=1/>",
                 "<a x='1/>",
                 "<a x='1'y='2'/>",
                 "<a x='<'/>",
                 "<1a/>",
                 "<a:/>",
                 "<:a/>",
                 "<a:b:c xmlns:a='u:1'/>",
                 "< a/>",
                 "<a / >",
                 "<a>]]></a>",
                 "<a/></a>",
                 "<a \xc3\xa9='1'/>",
                 "<a></a",

                 "<?xml version='1.1'?><a/>",
                 "<?xml version='1.0' x='y'?><a/>",
                 "<?xml version='1.0' encoding='UTF-8' standalone='yes'?><a/>"});
  expect_errors(XmlError::Forbidden, {" <?xml version='1.0'?><a/>"});
}

TEST(ParseXml, RefusesTextThatIsNotUtf8OrNoCharacter) {
  expect_errors(
      XmlError::BadEncoding,
      {"<a>\x80</a>", "<a>\xc0\x80</a>", "<a>\xed\xa0\x80</a>", "<a>\xf4\x90\x80\x80</a>",
       "<a>\xe2\x82</a>", "<a>\x01</a>", "<a>\x0b</a>", "<a>\xef\xbf\xbe</a>",
       "<?xml version='1.0' encoding='UTF-16'?><a/>", std::string("<a>\0</a>", 8), "<a>\xff</a>"});
  EXPECT_EQ(error_of("\xef\xbb\xbf<a/>"), XmlError::Malformed);  // a byte order mark
}

TEST(ParseXml, RefusesReferencesToAnythingButCharacters) {
  expect_errors(
      XmlError::BadReference,
      {"<a>&nbsp;</a>", "<a>&</a>", "<a>&amp</a>", "<a>&;</a>", "<a>&#;</a>", "<a>&#x;</a>",
       "<a>&#0;</a>", "<a>&#xD800;</a>", "<a>&#x110000;</a>", "<a>&#xFFFE;</a>",
       "<a>&#1114112;</a>", "<a>&#-1;</a>", "<a>&#12a;</a>", "<a>&#x000000041;</a>", "<a x='&b;'/>",
       "<a>&AMP;</a>", "<a>&#X41;</a>", "<a>& amp;</a>"});
}

TEST(ParseXml, RefusesAttributesGivenTwice) {
  expect_errors(XmlError::DoubleAttribute,
                {"<a x='1' x='2'/>", "<a xmlns:p='u:1' xmlns:q='u:1' p:x='1' q:x='2'/>",
                 "<a xmlns='u:1' xmlns='u:1'/>", "<a xmlns:p='u:1' xmlns:p='u:2'/>"});
  EXPECT_EQ(error_of("<a xmlns='u:1' xmlns:p='u:1' p:x='1' x='2'/>"), std::nullopt);
}

TEST(ParseXml, RefusesNamespacesThatAreNone) {
  expect_errors(XmlError::BadNamespace,
                {"<p:a/>", "<a p:x='1'/>", "<a><b xmlns:p='u:1'/><p:c/></a>", "<a xmlns:p=''/>",
                 "<a xmlns='relative'/>", "<a xmlns:p='../x'/>", "<a xmlns:xmlns='u:1'/>",
                 "<a xmlns:xml='u:1'/>", "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>",
                 "<a xmlns='http://www.w3.org/2000/xmlns/'/>", "<xmlns:a/>", "<xml:a/>"});
}

TEST(ParseXml, BoundsDepthPartsAndSize) {
  const auto nested = [](std::size_t depth) {
    std::string out;
    for (std::size_t i = 0; i < depth; ++i) out += "<a>";
    for (std::size_t i = 0; i < depth; ++i) out += "</a>";
    return out;
  };
  EXPECT_EQ(error_of(nested(kXmlDepthMax)), std::nullopt);
  EXPECT_EQ(error_of(nested(kXmlDepthMax + 1)), XmlError::TooDeep);

  const auto with_attributes = [](std::size_t count) {
    std::string out = "<a xmlns='u:1'";
    for (std::size_t i = 1; i < count; ++i) out += " x" + std::to_string(i) + "=''";
    return out + "/>";
  };
  EXPECT_EQ(error_of(with_attributes(kXmlAttributesMax)), std::nullopt);
  EXPECT_EQ(error_of(with_attributes(kXmlAttributesMax + 1)), XmlError::TooMany);

  const auto with_children = [](std::size_t count) {
    std::string out = "<a>";
    for (std::size_t i = 1; i < count; ++i) out += "<b/>";
    return out + "</a>";
  };
  EXPECT_EQ(error_of(with_children(kXmlNodesMax)), std::nullopt);
  EXPECT_EQ(error_of(with_children(kXmlNodesMax + 1)), XmlError::TooMany);

  const std::string largest = "<a>" + std::string(kXmlBytesMax - 7, 'x') + "</a>";
  EXPECT_EQ(error_of(largest), std::nullopt);
  EXPECT_EQ(error_of(largest + " "), XmlError::TooLarge);
}

TEST(XmlDocument, TellsElementsFromText) {
  const auto document = XmlDocument::parse("<a> <b x='1'>t</b>\n<c/><d>1<e/></d></a>");
  ASSERT_TRUE(document.has_value());
  const auto children = document->elements_of(0);
  ASSERT_TRUE(children.has_value());
  ASSERT_EQ(children->size(), 3U);
  const std::size_t b = children->at(0);
  EXPECT_TRUE(document->nodes()[b].is("", "b"));
  EXPECT_EQ(document->nodes()[b].attribute("x"), "1");
  EXPECT_EQ(document->nodes()[b].attribute("y"), std::nullopt);
  EXPECT_EQ(document->text_of(b), std::nullopt);  // it has an attribute
  EXPECT_EQ(document->text_of(children->at(1)), "");
  EXPECT_EQ(document->text_of(children->at(2)), std::nullopt);
  EXPECT_EQ(document->elements_of(children->at(2)), std::nullopt);  // "1" is no white space
}

}  // namespace
}  // namespace nostril::attestation
