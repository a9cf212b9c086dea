#pragma once

// A fresh self-signed certificate in a temporary directory.

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

namespace nostril::net {

struct TestCertificate {
  std::string directory;
  std::string certificate_path;
  std::string key_path;

  /// `names`: an OpenSSL subjectAltName value, e.g. "DNS:localhost,IP:127.0.0.1".
  explicit TestCertificate(const std::string& names) {
    std::string pattern = (std::filesystem::temp_directory_path() / "nostril-tls-XXXXXX").string();
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    directory = pattern;
    certificate_path = directory + "/certificate.pem";
    key_path = directory + "/key.pem";

    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"),
                                                                  EVP_PKEY_free);
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), X509_free);
    X509_set_version(certificate.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
    X509_set_pubkey(certificate.get(), key.get());
    X509_NAME* name = X509_get_subject_name(certificate.get());
    const unsigned char text[] = "test";
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0);
    X509_set_issuer_name(certificate.get(), name);
    X509_EXTENSION* extension =
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str());
    X509_add_ext(certificate.get(), extension, -1);
    X509_EXTENSION_free(extension);
    EXPECT_GT(X509_sign(certificate.get(), key.get(), EVP_sha256()), 0);

    std::FILE* file = std::fopen(certificate_path.c_str(), "w");
    EXPECT_EQ(PEM_write_X509(file, certificate.get()), 1);
    std::fclose(file);
    file = std::fopen(key_path.c_str(), "w");
    EXPECT_EQ(PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr), 1);
    std::fclose(file);
  }

  ~TestCertificate() { std::filesystem::remove_all(directory); }

  TestCertificate(const TestCertificate&) = delete;
  TestCertificate& operator=(const TestCertificate&) = delete;
  TestCertificate(TestCertificate&&) = delete;
  TestCertificate& operator=(TestCertificate&&) = delete;
};

}  // namespace nostril::net
