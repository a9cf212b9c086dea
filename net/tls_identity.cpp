#include "net/tls_identity.h"

#include "base/check.h"
#include "net/tls.h"
#include "net/tls_error.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>
#include <ctime>
#include <stdexcept>
#include <utility>

namespace nostril::net {

namespace {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* held) const {
    Free(held);
  }
};

using BioPtr = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using X509Ptr = std::unique_ptr<X509, Freed<X509_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;
using ObjectPtr = std::unique_ptr<ASN1_OBJECT, Freed<ASN1_OBJECT_free>>;
using OctetsPtr = std::unique_ptr<ASN1_OCTET_STRING, Freed<ASN1_OCTET_STRING_free>>;
using NumberPtr = std::unique_ptr<BIGNUM, Freed<BN_free>>;
using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>>;

constexpr int kSerialBits = 127;
constexpr int kChainCountMax = 16;

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(what + ": " + take_tls_error("no PEM of that kind"));
}

void need(bool done, const char* what) {
  if (!done) fail(what);
}

std::shared_ptr<stack_st_X509> new_chain() {
  STACK_OF(X509)* made = sk_X509_new_null();
  CHECK(made != nullptr);
  return {made, [](stack_st_X509* chain) { sk_X509_pop_free(chain, X509_free); }};
}

void append(stack_st_X509& chain, X509Ptr certificate) {
  CHECK(sk_X509_push(&chain, certificate.get()) > 0);
  static_cast<void>(certificate.release());
}

/// A password prompt would block the start on a terminal.
int no_password(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) {
  return -1;
}

void add_extension(X509& certificate, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, &certificate, &certificate, nullptr, nullptr, 0);
  const ExtensionPtr made(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  need(made && X509_add_ext(&certificate, made.get(), -1) == 1, "certificate extension");
}

void append_name(GENERAL_NAMES& names, const std::string& name) {
  std::array<unsigned char, 16> address{};
  const bool v4 = inet_pton(AF_INET, name.c_str(), address.data()) == 1;
  const bool v6 = !v4 && inet_pton(AF_INET6, name.c_str(), address.data()) == 1;
  GENERAL_NAME* entry = GENERAL_NAME_new();
  CHECK(entry != nullptr && sk_GENERAL_NAME_push(&names, entry) > 0);
  if (v4 || v6) {
    OctetsPtr octets(ASN1_OCTET_STRING_new());
    CHECK(ASN1_OCTET_STRING_set(octets.get(), address.data(), v4 ? 4 : 16) == 1);
    GENERAL_NAME_set0_value(entry, GEN_IPADD, octets.release());
    return;
  }
  ASN1_IA5STRING* text = ASN1_IA5STRING_new();
  CHECK(text != nullptr && ASN1_STRING_set(text, name.data(), static_cast<int>(name.size())) == 1);
  GENERAL_NAME_set0_value(entry, GEN_DNS, text);
}

void add_names(X509& certificate, const std::vector<std::string>& names) {
  const GeneralNamesPtr list(GENERAL_NAMES_new());
  CHECK(list != nullptr);
  for (const std::string& name : names) append_name(*list, name);
  need(
      X509_add1_ext_i2d(&certificate, NID_subject_alt_name, list.get(), 0, X509V3_ADD_DEFAULT) == 1,
      "certificate names");
}

OctetsPtr octets_of(const std::vector<std::uint8_t>& bytes) {
  OctetsPtr out(ASN1_OCTET_STRING_new());
  const bool set =
      out && ASN1_OCTET_STRING_set(out.get(), bytes.data(), static_cast<int>(bytes.size())) == 1;
  need(set, "certificate extension");
  return out;
}

void add_own_extension(X509& certificate, const CertificateExtension& extension) {
  const ObjectPtr oid(OBJ_txt2obj(extension.oid.c_str(), 1));
  unsigned char* der = nullptr;
  const int size = i2d_ASN1_OCTET_STRING(octets_of(extension.octets).get(), &der);
  need(oid && size > 0, "certificate extension");
  const OctetsPtr value = octets_of({der, der + size});
  OPENSSL_free(der);
  const ExtensionPtr made(X509_EXTENSION_create_by_OBJ(nullptr, oid.get(), 0, value.get()));
  need(made && X509_add_ext(&certificate, made.get(), -1) == 1, "certificate extension");
}

/// Random, and positive as RFC 5280 has it.
void set_serial(X509& certificate) {
  const NumberPtr serial(BN_new());
  need(serial && BN_rand(serial.get(), kSerialBits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
           BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(&certificate)) != nullptr,
       "certificate serial");
}

bool is_host_name(const std::string& name) {
  constexpr std::size_t kHostBytesMax = 253;
  return !name.empty() && name.size() <= kHostBytesMax && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == ':' || c == '*';
  });
}

}  // namespace

TlsIdentity TlsIdentity::load(const std::string& certificate_path, const std::string& key_path) {
  TlsIdentity out;
  const BioPtr certificates(BIO_new_file(certificate_path.c_str(), "r"));
  if (!certificates) fail("cannot read the certificate " + certificate_path);
  out.chain_ = new_chain();
  while (sk_X509_num(out.chain_.get()) < kChainCountMax) {
    X509Ptr next(PEM_read_bio_X509(certificates.get(), nullptr, no_password, nullptr));
    if (!next) break;
    append(*out.chain_, std::move(next));
  }
  if (sk_X509_num(out.chain_.get()) == 0) fail("cannot use the certificate " + certificate_path);
  ERR_clear_error();
  const BioPtr key(BIO_new_file(key_path.c_str(), "r"));
  if (!key) fail("cannot read the key " + key_path);
  out.key_.reset(PEM_read_bio_PrivateKey(key.get(), nullptr, no_password, nullptr),
                 Freed<EVP_PKEY_free>{});
  if (!out.key_) fail("cannot use the key " + key_path);
  if (X509_check_private_key(sk_X509_value(out.chain_.get(), 0), out.key_.get()) != 1) {
    fail("the key " + key_path + " is not the one of " + certificate_path);
  }
  return out;
}

TlsIdentity TlsIdentity::generate() {
  TlsIdentity out;
  out.key_.reset(EVP_EC_gen("P-256"), Freed<EVP_PKEY_free>{});
  need(out.key_ != nullptr, "cannot make a key");
  return out;
}

TlsIdentity TlsIdentity::self_signed(const CertificateDraft& draft) const {
  CHECK(!draft.names.empty());
  for (const std::string& name : draft.names) {
    if (!is_host_name(name)) throw std::runtime_error(name + " is no host name");
  }
  X509Ptr made(X509_new());
  need(made && X509_set_version(made.get(), X509_VERSION_3) == 1, "certificate");
  set_serial(*made);
  need(ASN1_TIME_set(X509_getm_notBefore(made.get()), draft.not_before) != nullptr &&
           ASN1_TIME_set(X509_getm_notAfter(made.get()), draft.not_after) != nullptr,
       "certificate times");
  // A common name is 64 bytes at most; clients read the alternative names.
  constexpr std::size_t kCommonNameBytesMax = 64;
  const std::string common = draft.names.front().substr(0, kCommonNameBytesMax);
  X509_NAME* subject = X509_get_subject_name(made.get());
  const std::vector<unsigned char> common_bytes(common.begin(), common.end());
  need(X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_ASC, common_bytes.data(),
                                  static_cast<int>(common_bytes.size()), -1, 0) == 1 &&
           X509_set_issuer_name(made.get(), subject) == 1 &&
           X509_set_pubkey(made.get(), key_.get()) == 1,
       "certificate subject");
  add_names(*made, draft.names);
  add_extension(*made, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(*made, NID_key_usage, "critical,digitalSignature");
  add_extension(*made, NID_ext_key_usage, "serverAuth");
  if (!draft.comment.empty()) {
    add_extension(*made, NID_netscape_comment, draft.comment.c_str());
  }
  for (const CertificateExtension& extension : draft.extensions) {
    add_own_extension(*made, extension);
  }
  need(X509_sign(made.get(), key_.get(), EVP_sha256()) > 0, "certificate signature");
  TlsIdentity out;
  out.key_ = key_;
  out.chain_ = new_chain();
  append(*out.chain_, std::move(made));
  return out;
}

std::vector<std::uint8_t> TlsIdentity::spki() const {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key_.get(), &der);
  CHECK(size > 0);
  std::vector<std::uint8_t> out(der, der + size);
  OPENSSL_free(der);
  return out;
}

std::array<std::uint8_t, 32> TlsIdentity::spki_digest() const {
  const std::vector<std::uint8_t> der = spki();
  std::array<std::uint8_t, 32> out{};
  CHECK(EVP_Digest(der.data(), der.size(), out.data(), nullptr, EVP_sha256(), nullptr) == 1);
  return out;
}

std::string TlsIdentity::certificate_pem() const {
  const BioPtr out(BIO_new(BIO_s_mem()));
  CHECK(out != nullptr);
  for (int i = 0; chain_ && i < sk_X509_num(chain_.get()); ++i) {
    CHECK(PEM_write_bio_X509(out.get(), sk_X509_value(chain_.get(), i)) == 1);
  }
  std::string text(BIO_ctrl_pending(out.get()), '\0');
  CHECK(BIO_read(out.get(), text.data(), static_cast<int>(text.size())) ==
        static_cast<int>(text.size()));
  return text;
}

std::int64_t TlsIdentity::not_after() const {
  CHECK(chain_ != nullptr);
  std::tm end{};
  need(ASN1_TIME_to_tm(X509_get0_notAfter(sk_X509_value(chain_.get(), 0)), &end) == 1, "its end");
  return timegm(&end);
}

std::shared_ptr<TlsContext> TlsIdentity::server_context() const {
  CHECK(chain_ != nullptr);
  auto made = TlsContext::server();
  need(SSL_CTX_use_certificate(made->get(), sk_X509_value(chain_.get(), 0)) == 1,
       "cannot use the certificate");
  for (int i = 1; i < sk_X509_num(chain_.get()); ++i) {
    need(SSL_CTX_add1_chain_cert(made->get(), sk_X509_value(chain_.get(), i)) == 1,
         "cannot use the certificate's chain");
  }
  need(SSL_CTX_use_PrivateKey(made->get(), key_.get()) == 1, "cannot use the key");
  return made;
}

}  // namespace nostril::net
