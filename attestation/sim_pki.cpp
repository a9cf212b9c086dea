#include "attestation/sim_pki.h"

#include "attestation/der.h"
#include "attestation/trust_roots.h"
#include "attestation/utc_time.h"
#include "attestation/x509.h"
#include "base/base64.h"
#include "base/check.h"
#include "schnorr/hash.h"

#include <array>

namespace nostril::attestation {

namespace {

constexpr std::array<std::uint8_t, 3> kCommonName = {0x55, 0x04, 0x03};
constexpr std::array<std::uint8_t, 3> kKeyUsage = {0x55, 0x1d, 0x0f};
constexpr std::array<std::uint8_t, 3> kBasicConstraints = {0x55, 0x1d, 0x13};
constexpr std::array<std::uint8_t, 3> kCrlNumber = {0x55, 0x1d, 0x14};
constexpr std::array<std::uint8_t, 9> kSgxArcs = {0x2a, 0x86, 0x48, 0x86, 0xf8,
                                                  0x4d, 0x01, 0x0d, 0x01};
constexpr std::array<std::uint8_t, 8> kAmdArcs = {0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x01};
constexpr std::array<std::uint8_t, 3> kExtendedKeyUsage = {0x55, 0x1d, 0x25};
constexpr std::array<std::uint8_t, 8> kOcspSigning = {0x2b, 0x06, 0x01, 0x05,
                                                      0x05, 0x07, 0x03, 0x09};
constexpr std::array<std::uint8_t, 9> kBasicOcsp = {0x2b, 0x06, 0x01, 0x05, 0x05,
                                                    0x07, 0x30, 0x01, 0x01};
constexpr std::array<std::uint8_t, 9> kOcspNonce = {0x2b, 0x06, 0x01, 0x05, 0x05,
                                                    0x07, 0x30, 0x01, 0x02};
constexpr std::array<std::uint8_t, 9> kSha256Arcs = {0x60, 0x86, 0x48, 0x01, 0x65,
                                                     0x03, 0x04, 0x02, 0x01};
constexpr std::uint8_t kIa5String = 0x16;
constexpr std::uint8_t kContext0 = 0xa0;
constexpr std::uint8_t kContext3 = 0xa3;

Bytes name(std::string_view common_name) {
  const Bytes attribute = der::constructed(
      der::kSequence, {der::oid(kCommonName), der::value(der::kUtf8String, as_bytes(common_name))});
  return der::constructed(der::kSequence, {der::constructed(der::kSet, {attribute})});
}

/// RFC 5280: UTCTime to the end of 2049, GeneralizedTime after.
Bytes time(UnixTime at) {
  std::string digits;
  for (const char c : format_iso_utc(at)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  digits += 'Z';
  const bool utc_time = digits < "20500101000000Z";
  const std::string_view text = std::string_view(digits).substr(utc_time ? 2 : 0);
  return der::value(utc_time ? der::kUtcTime : der::kGeneralizedTime, as_bytes(text));
}

Bytes bit_string(std::uint8_t unused_bits, ByteSpan bits) {
  Bytes content{unused_bits};
  content.insert(content.end(), bits.begin(), bits.end());
  return der::value(der::kBitString, content);
}

Bytes extension(ByteSpan arcs, bool critical, const Bytes& content) {
  const Bytes flag = critical ? Bytes{der::kBoolean, 1, 0xff} : Bytes{};
  return der::constructed(der::kSequence,
                          {der::oid(arcs), flag, der::value(der::kOctetString, content)});
}

Bytes extensions(const SimCertificate& fields) {
  // keyCertSign and cRLSign; a leaf has digitalSignature and nonRepudiation, as Intel's have.
  const Bytes usage = fields.is_ca ? bit_string(1, Bytes{0x06}) : bit_string(6, Bytes{0xc0});
  const Bytes constraints =
      fields.is_ca ? der::constructed(der::kSequence, {Bytes{der::kBoolean, 1, 0xff},
                                                       der::small_integer(fields.path_length)})
                   : der::constructed(der::kSequence, {});
  return der::constructed(der::kSequence,
                          {extension(kKeyUsage, true, usage),
                           extension(kBasicConstraints, true, constraints), fields.extensions});
}

/// SEQUENCE { body, algorithm, signature of body }.
Bytes sign(const Bytes& body, const SimCertKey& issuer) {
  return der::constructed(der::kSequence,
                          {body, issuer.algorithm(), bit_string(0, issuer.sign_certificate(body))});
}

Bytes generalized_time(UnixTime at) {
  std::string digits;
  for (const char c : format_iso_utc(at)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  return der::value(der::kGeneralizedTime, as_bytes(digits + 'Z'));
}

Bytes sha256_octets(ByteSpan data) {
  return der::value(der::kOctetString, sha256(data).bytes);
}

/// SingleResponse.
Bytes ocsp_status(const SimOcsp& fields, const Certificate& subject, const Certificate& issuer) {
  const ASN1_INTEGER* serial = X509_get0_serialNumber(subject.get());
  const ASN1_BIT_STRING* key = X509_get0_pubkey_bitstr(issuer.get());
  const auto bytes = [](const ASN1_STRING* text) {
    return ByteSpan(ASN1_STRING_get0_data(text),
                    static_cast<std::size_t>(ASN1_STRING_length(text)));
  };
  const Bytes algorithm = der::constructed(der::kSequence, {der::oid(kSha256Arcs)});
  const Bytes id = der::constructed(
      der::kSequence, {algorithm, sha256_octets(name(common_name(issuer))),
                       sha256_octets(bytes(key)), der::positive_integer(bytes(serial))});
  Bytes word = der::value(fields.word == OcspStatus::Word::Good ? 0x80 : 0x82, {});
  if (fields.word == OcspStatus::Word::Revoked) {
    const Bytes on_hold = der::constructed(kContext0, {der::value(der::kEnumerated, Bytes{6})});
    word = der::constructed(0xa1, {generalized_time(fields.this_update), on_hold});
  }
  return der::constructed(der::kSequence,
                          {id, word, generalized_time(fields.this_update),
                           der::constructed(kContext0, {generalized_time(fields.next_update)})});
}

/// responseExtensions.
Bytes ocsp_nonce(const Bytes& nonce) {
  const Bytes one = extension(kOcspNonce, false, der::value(der::kOctetString, nonce));
  return der::constructed(0xa1, {der::constructed(der::kSequence, {one})});
}

/// SEQUENCE { OID of the SGX extension with more arcs, value }.
Bytes sgx_entry(std::initializer_list<std::uint8_t> more_arcs, const Bytes& value) {
  Bytes arcs(kSgxArcs.begin(), kSgxArcs.end());
  arcs.insert(arcs.end(), more_arcs);
  return der::constructed(der::kSequence, {der::oid(arcs), value});
}

}  // namespace

Bytes make_certificate(const SimCertificate& fields, const SimCertKey& subject,
                       const SimCertKey& issuer) {
  const Bytes validity =
      der::constructed(der::kSequence, {time(fields.not_before), time(fields.not_after)});
  const Bytes version = der::constructed(kContext0, {der::small_integer(2)});
  const Bytes body =
      der::constructed(der::kSequence, {version, der::small_integer(fields.serial),
                                        issuer.algorithm(), name(fields.issuer), validity,
                                        name(fields.subject), subject.public_key_info(),
                                        der::constructed(kContext3, {extensions(fields)})});
  return sign(body, issuer);
}

SimNvidiaRoot::SimNvidiaRoot(std::span<const std::uint8_t, 32> seed)
    : key(seed, "gpu root"),
      der(make_certificate({std::string(kTestRootName),
                            std::string(kTestRootName),
                            1,
                            kSimPkiNotBefore,
                            kSimPkiNotAfter,
                            true,
                            3,
                            {}},
                           key, key)) {}

Bytes make_crl(const SimCrl& fields, const SimCertKey& issuer) {
  Bytes revoked;
  for (const std::uint32_t serial : fields.revoked_serials) {
    const Bytes entry =
        der::constructed(der::kSequence, {der::small_integer(serial), time(fields.this_update)});
    revoked.insert(revoked.end(), entry.begin(), entry.end());
  }
  if (!revoked.empty()) revoked = der::value(der::kSequence, revoked);
  const Bytes number = extension(kCrlNumber, false, der::small_integer(1));
  const Bytes more = der::constructed(kContext0, {der::constructed(der::kSequence, {number})});
  const Bytes body = der::constructed(
      der::kSequence, {der::small_integer(1), issuer.algorithm(), name(fields.issuer),
                       time(fields.this_update), time(fields.next_update), revoked, more});
  return sign(body, issuer);
}

Bytes make_ocsp_answer(const SimOcsp& fields, ByteSpan certificate, ByteSpan issuer_der,
                       const SimKey384& issuer) {
  constexpr std::uint32_t kSerialResponder = 0x0c5b;
  const auto subject = parse_certificate(certificate);
  const auto by = parse_certificate(issuer_der);
  CHECK(subject && by);
  const std::array<std::uint8_t, 32> seed{0x0c};
  const SimKey384 responder_key(seed, "ocsp responder");
  const SimKey384 stranger(seed, "ocsp stranger");
  const SimKey384& signer = fields.delegated ? responder_key : issuer;
  const Bytes purposes = der::constructed(der::kSequence, {der::oid(kOcspSigning)});
  const std::string responder_name = "NOSTRIL TEST OCSP Responder";
  const Bytes responder = make_certificate(
      {responder_name, common_name(*by), kSerialResponder, kSimPkiNotBefore,
       fields.responder_not_after, false, 0,
       fields.responder_has_purpose ? extension(kExtendedKeyUsage, false, purposes) : Bytes{}},
      responder_key, fields.wrong_issuer ? stranger : issuer);
  const Bytes data = der::constructed(
      der::kSequence,
      {der::constructed(0xa1, {name(fields.delegated ? responder_name : common_name(*by))}),
       generalized_time(fields.this_update),
       der::constructed(der::kSequence, {ocsp_status(fields, *subject, *by)}),
       fields.nonce.empty() ? Bytes{} : ocsp_nonce(fields.nonce)});
  Bytes signature = signer.sign_certificate(data);
  if (fields.wrong_signature) signature.back() ^= 1;
  const Bytes basic = der::constructed(
      der::kSequence,
      {data, signer.algorithm(), bit_string(0, signature),
       fields.delegated
           ? der::constructed(kContext0, {der::constructed(der::kSequence, {responder})})
           : Bytes{}});
  const Bytes bytes = der::constructed(
      der::kSequence, {der::oid(kBasicOcsp), der::value(der::kOctetString, basic)});
  return der::constructed(der::kSequence, {der::value(der::kEnumerated, Bytes{0}),
                                           der::constructed(kContext0, {bytes})});
}

Bytes make_sgx_extension(const SimPlatformTcb& tcb) {
  Bytes levels;
  const auto append = [&levels](const Bytes& entry) {
    levels.insert(levels.end(), entry.begin(), entry.end());
  };
  for (std::uint8_t i = 0; i < 16; ++i) {
    append(sgx_entry({2, static_cast<std::uint8_t>(i + 1)},
                     der::small_integer(tcb.component_svn.at(i))));
  }
  append(sgx_entry({2, 17}, der::small_integer(tcb.pce_svn)));
  append(sgx_entry({2, 18}, der::value(der::kOctetString, tcb.component_svn)));

  const Bytes content =
      der::constructed(der::kSequence, {sgx_entry({1}, der::value(der::kOctetString, tcb.ppid)),
                                        sgx_entry({2}, der::value(der::kSequence, levels)),
                                        sgx_entry({3}, der::value(der::kOctetString, Bytes{0, 0})),
                                        sgx_entry({4}, der::value(der::kOctetString, tcb.fmspc)),
                                        sgx_entry({5}, der::value(der::kEnumerated, Bytes{1}))});
  return extension(kSgxArcs, false, content);
}

Bytes make_vek_extensions(const SimVek& vek) {
  Bytes out;
  const auto append = [&out](std::initializer_list<std::uint8_t> more_arcs, const Bytes& content) {
    Bytes arcs(kAmdArcs.begin(), kAmdArcs.end());
    arcs.insert(arcs.end(), more_arcs);
    const Bytes whole = extension(arcs, false, content);
    out.insert(out.end(), whole.begin(), whole.end());
  };
  append({1}, der::small_integer(vek.turin ? 1 : 0));
  append({2}, der::value(kIa5String, as_bytes(vek.product)));
  if (vek.turin) append({3, 9}, der::small_integer(vek.fmc));
  append({3, 1}, der::small_integer(vek.bootloader));
  append({3, 2}, der::small_integer(vek.tee));
  append({3, 3}, der::small_integer(vek.snp));
  for (std::uint8_t reserved = 4; reserved <= 7; ++reserved)
    append({3, reserved}, der::small_integer(0));
  append({3, 8}, der::small_integer(vek.microcode));
  if (!vek.hwid.empty()) append({4}, vek.hwid);
  if (!vek.csp_id.empty()) append({5}, der::value(kIa5String, as_bytes(vek.csp_id)));
  return out;
}

std::string to_pem(std::span<const Bytes> certificates) {
  std::string out;
  for (const Bytes& certificate : certificates) {
    out += "-----BEGIN CERTIFICATE-----\n";
    const std::string base64 = encode_base64(certificate);
    for (std::size_t i = 0; i < base64.size(); i += 64) out += base64.substr(i, 64) + "\n";
    out += "-----END CERTIFICATE-----\n";
  }
  return out;
}

}  // namespace nostril::attestation
