#include "attestation/sim_pki.h"

#include "attestation/der.h"
#include "attestation/trust_roots.h"
#include "attestation/utc_time.h"
#include "base/base64.h"

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
