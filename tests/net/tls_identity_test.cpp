#include "net/tls_identity.h"

#include "net/http_client.h"
#include "net/server.h"
#include "net/tls.h"
#include "tests/net/test_certificate.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <array>
#include <ctime>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace nostril::net {
namespace {

CertificateDraft draft(const std::string& name) {
  const std::int64_t now = std::time(nullptr);
  return {{name, "127.0.0.1", "::1"}, now - 60, now + 3600, {}};
}

/// Says hello to everybody, over TLS, and asks itself.
class TlsIdentityTest : public testing::Test, public ServerHandler {
 protected:
  void on_http(ConnectionId id, const HttpRequest&) override {
    server_->respond(id, {200, {}, "hello"});
  }

  void serve(const TlsIdentity& identity) {
    ListenConfig listen;
    listen.tls.context = identity.server_context();
    server_ = std::make_unique<Server>(loop_, *this, listen);
  }

  /// Trusting only `roots`, on a fresh connection.
  HttpCallResult get(const std::string& roots, const std::string& host = "localhost") {
    const std::string file = (folder_.path() / "roots.pem").string();
    std::ofstream(file, std::ios::trunc) << roots;
    HttpClient client(loop_);
    HttpCall call;
    call.url = "https://" + host + ":" + std::to_string(server_->local_port()) + "/";
    call.ca_path = file;
    call.wants_peer_certificate = true;
    std::optional<HttpCallResult> result;
    client.start(call, {[](int, const HttpHeaders&) {}, [](std::string_view) { return true; },
                        [&](const HttpCallResult& ended) {
                          result = ended;
                          loop_.stop();
                        }});
    loop_.run();
    return *result;
  }

  test::TempDir folder_;
  Loop loop_;
  std::unique_ptr<Server> server_;
};

std::array<std::uint8_t, 32> spki_of(const std::string& pem) {
  BIO* in = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* certificate = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
  BIO_free(in);
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(X509_get0_pubkey(certificate), &der);
  std::array<std::uint8_t, 32> out{};
  EVP_Digest(der, static_cast<std::size_t>(size), out.data(), nullptr, EVP_sha256(), nullptr);
  OPENSSL_free(der);
  X509_free(certificate);
  return out;
}

TEST_F(TlsIdentityTest, ServesWithACertificateThatItSignedItself) {
  const TlsIdentity identity = TlsIdentity::generate().self_signed(draft("localhost"));
  serve(identity);
  for (const char* host : {"localhost", "127.0.0.1"}) {
    const HttpCallResult result = get(identity.certificate_pem(), host);
    EXPECT_TRUE(result.ok()) << host << ": " << result.detail;
    EXPECT_EQ(spki_of(result.peer_certificate), identity.spki_digest());
  }
}

TEST_F(TlsIdentityTest, IsRefusedUnderAnotherNameOrRoot) {
  const TlsIdentity identity = TlsIdentity::generate().self_signed(draft("node.example"));
  serve(identity);
  EXPECT_EQ(get(identity.certificate_pem()).error, HttpCallError::Tls);
  const TlsIdentity other = TlsIdentity::generate().self_signed(draft("localhost"));
  EXPECT_EQ(get(other.certificate_pem(), "127.0.0.1").error, HttpCallError::Tls);
}

TEST_F(TlsIdentityTest, TakesANewCertificateWhileItRuns) {
  const TlsIdentity key = TlsIdentity::generate();
  const TlsIdentity first = key.self_signed(draft("localhost"));
  const TlsIdentity second = key.self_signed(draft("localhost"));
  EXPECT_EQ(first.spki_digest(), second.spki_digest());
  ASSERT_NE(first.certificate_pem(), second.certificate_pem());
  serve(first);
  EXPECT_EQ(get(first.certificate_pem()).peer_certificate, first.certificate_pem());
  server_->set_tls(second.server_context());
  EXPECT_EQ(get(second.certificate_pem()).peer_certificate, second.certificate_pem());
}

/// The bytes of an extension's value; empty: there is none.
std::vector<std::uint8_t> extension_of(const std::string& pem, const char* dotted) {
  BIO* in = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* certificate = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
  BIO_free(in);
  ASN1_OBJECT* oid = OBJ_txt2obj(dotted, 1);
  const int at = X509_get_ext_by_OBJ(certificate, oid, -1);
  std::vector<std::uint8_t> out;
  if (at >= 0) {
    const ASN1_OCTET_STRING* octets = X509_EXTENSION_get_data(X509_get_ext(certificate, at));
    out.assign(ASN1_STRING_get0_data(octets),
               ASN1_STRING_get0_data(octets) + ASN1_STRING_length(octets));
  }
  ASN1_OBJECT_free(oid);
  X509_free(certificate);
  return out;
}

TEST(TlsIdentity, CarriesExtensionsOfOctets) {
  CertificateDraft with = draft("localhost");
  with.extensions = {{"1.3.6.1.4.1.62397.1.1", {1, 2, 3, 0, 255}},
                     {"2.25.329800735698586629295641978511506172918", {7}}};
  with.comment = "a\nb";
  const std::string pem = TlsIdentity::generate().self_signed(with).certificate_pem();
  const std::vector<std::uint8_t> comment = {0x16, 3, 'a', '\n', 'b'};  // IA5String
  EXPECT_EQ(extension_of(pem, "2.16.840.1.113730.1.13"), comment);
  const std::vector<std::uint8_t> first = {4, 5, 1, 2, 3, 0, 255};  // OCTET STRING of five bytes
  EXPECT_EQ(extension_of(pem, with.extensions[0].oid.c_str()), first);
  const std::vector<std::uint8_t> second = {4, 1, 7};
  EXPECT_EQ(extension_of(pem, with.extensions[1].oid.c_str()), second);
  EXPECT_TRUE(extension_of(pem, "1.3.6.1.4.1.62397.1.2").empty());
}

TEST(TlsIdentity, RefusesWhatIsNoHostName) {
  const TlsIdentity key = TlsIdentity::generate();
  for (const char* name : {"", "a b", "a,DNS:evil", "a\nb", "ü"}) {
    EXPECT_THROW(static_cast<void>(key.self_signed(draft(name))), std::runtime_error) << name;
  }
}

TEST(TlsIdentity, LoadsFilesThatBelongTogether) {
  const TestCertificate a("DNS:localhost");
  const TestCertificate b("DNS:localhost");
  EXPECT_NO_THROW(static_cast<void>(TlsIdentity::load(a.certificate_path, a.key_path)));
  EXPECT_THROW(static_cast<void>(TlsIdentity::load(a.certificate_path, b.key_path)),
               std::runtime_error);
  EXPECT_THROW(static_cast<void>(TlsIdentity::load(a.key_path, a.key_path)), std::runtime_error);
  EXPECT_THROW(static_cast<void>(TlsIdentity::load(a.certificate_path, "/nonexistent")),
               std::runtime_error);
}

TEST(TlsStream, EndsAHandshakeThatOnlyGrows) {
  const TlsIdentity identity = TlsIdentity::generate().self_signed(draft("localhost"));
  TlsStream stream(identity.server_context(), {});
  // A handshake record that announces 16 KiB of a ClientHello of 16 MiB, over and over.
  std::vector<std::uint8_t> record = {22, 3, 1, 0x40, 0, 1, 0xFF, 0xFF, 0xFF};
  record.resize(5 + 0x4000);
  TlsStream::Status status = TlsStream::Status::Ok;
  std::size_t sent = 0;
  while (status == TlsStream::Status::Ok && sent < 4 * TlsStream::kHandshakeBytesMax) {
    status = stream.receive(record);
    sent += record.size();
  }
  EXPECT_EQ(status, TlsStream::Status::Failed);
}

}  // namespace
}  // namespace nostril::net
