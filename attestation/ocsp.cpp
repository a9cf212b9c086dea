#include "attestation/ocsp.h"

#include "attestation/der.h"
#include "attestation/utc_time.h"
#include "base/check.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <memory>

namespace nostril::attestation {

namespace {

constexpr std::array<std::uint8_t, 9> kBasicResponse = {0x2b, 0x06, 0x01, 0x05, 0x05,
                                                        0x07, 0x30, 0x01, 0x01};
constexpr std::array<std::uint8_t, 9> kNonce = {0x2b, 0x06, 0x01, 0x05, 0x05,
                                                0x07, 0x30, 0x01, 0x02};
constexpr std::array<std::uint8_t, 5> kSha1 = {0x2b, 0x0e, 0x03, 0x02, 0x1a};
constexpr std::array<std::uint8_t, 9> kSha256 = {0x60, 0x86, 0x48, 0x01, 0x65,
                                                 0x03, 0x04, 0x02, 0x01};
constexpr std::array<std::uint8_t, 9> kSha384 = {0x60, 0x86, 0x48, 0x01, 0x65,
                                                 0x03, 0x04, 0x02, 0x02};
constexpr std::uint8_t kNull = 0x05;
constexpr std::uint8_t kGood = 0x80;
constexpr std::uint8_t kRevoked = 0xa1;
constexpr std::uint8_t kUnknown = 0x82;
constexpr std::uint8_t kContext0 = 0xa0;
constexpr std::uint8_t kContext1 = 0xa1;
constexpr std::uint8_t kContext2 = 0xa2;
constexpr std::size_t kTimeBytes = 15;  // YYYYMMDDHHMMSSZ
constexpr std::uint32_t kReasonMax = 10;

template <typename Wanted>
bool equal(ByteSpan found, const Wanted& wanted) {
  return std::equal(found.begin(), found.end(), wanted.begin(), wanted.end());
}

/// Steps through an answer; after the first thing that is not as it must be, nothing is.
class AnswerReader {
 public:
  Result<OcspAnswer, OcspError> read(ByteSpan bytes) && {
    der::Reader whole(bytes);
    der::Reader in(take(whole, der::kSequence));
    const auto status = der::to_uint32(take(in, der::kEnumerated));
    require(whole.at_end() && status.has_value());
    if (good_ && *status != 0) return failure(OcspError::NotSuccessful);
    read_basic(basic_response(in));
    if (!good_) return failure(OcspError::Malformed);
    return std::move(out_);
  }

 private:
  void require(bool condition) { good_ = good_ && condition; }

  ByteSpan take(der::Reader& in, std::uint8_t tag) {
    const auto content = good_ ? in.next(tag) : std::nullopt;
    require(content.has_value());
    return content.value_or(ByteSpan());
  }

  /// The one value inside an explicit tag.
  ByteSpan take_inside(der::Reader& in, std::uint8_t outer, std::uint8_t tag) {
    der::Reader inner(take(in, outer));
    const ByteSpan out = take(inner, tag);
    require(inner.at_end());
    return out;
  }

  ByteSpan basic_response(der::Reader& in) {
    der::Reader bytes(take_inside(in, kContext0, der::kSequence));
    require(in.at_end() && equal(take(bytes, der::kOid), kBasicResponse));
    const ByteSpan out = take(bytes, der::kOctetString);
    require(bytes.at_end());
    return out;
  }

  void read_basic(ByteSpan bytes) {
    der::Reader whole(bytes);
    const ByteSpan content = take(whole, der::kSequence);
    require(whole.at_end());
    der::Reader in(content);
    const ByteSpan data = take(in, der::kSequence);
    if (!good_) return;
    out_.signed_part =
        content.first(static_cast<std::size_t>(data.data() + data.size() - content.data()));
    out_.signature_kind = read_signature_kind(take(in, der::kSequence));
    const ByteSpan bits = take(in, der::kBitString);
    require(!bits.empty() && bits.front() == 0);
    if (good_) out_.signature = bits.subspan(1);
    if (good_ && !in.at_end()) read_certificates(take_inside(in, kContext0, der::kSequence));
    require(in.at_end());
    read_data(der::Reader(data));
  }

  void read_certificates(ByteSpan list) {
    const std::uint8_t* begin = list.data();
    for (der::Reader in(list); good_ && !in.at_end();) {
      const ByteSpan content = take(in, der::kSequence);
      require(out_.certificates.size() < kChainCountMax);
      if (!good_) return;
      const std::uint8_t* end = content.data() + content.size();
      out_.certificates.emplace_back(begin, static_cast<std::size_t>(end - begin));
      begin = end;
    }
  }

  void read_data(der::Reader in) {
    read_responder(in);  // a version would stand before it: 1 is not written in DER
    out_.produced_at = read_time(in);
    for (der::Reader list(take(in, der::kSequence)); good_ && !list.at_end();) {
      require(out_.statuses.size() < kOcspStatusCountMax);
      read_status(der::Reader(take(list, der::kSequence)));
    }
    require(!out_.statuses.empty());
    if (good_ && !in.at_end()) read_extensions(take_inside(in, kContext1, der::kSequence), true);
    require(in.at_end());
  }

  void read_responder(der::Reader& in) {
    const auto id = good_ ? in.next() : std::nullopt;
    require(id && (id->tag == kContext1 || id->tag == kContext2));
    if (!good_) return;
    if (id->tag == kContext1) {
      out_.responder_name = id->content;
      require(!id->content.empty());
      return;
    }
    der::Reader hash(id->content);
    out_.responder_key_hash = take(hash, der::kOctetString);
    require(hash.at_end() && !out_.responder_key_hash.empty());
  }

  UnixTime read_time(der::Reader& in) {
    const ByteSpan text = take(in, der::kGeneralizedTime);
    require(text.size() == kTimeBytes);
    if (!good_) return 0;
    const std::string_view t = as_text(text);
    std::string iso;
    for (const std::string_view part :
         {t.substr(0, 4), std::string_view("-"), t.substr(4, 2), std::string_view("-"),
          t.substr(6, 2), std::string_view("T"), t.substr(8, 2), std::string_view(":"),
          t.substr(10, 2), std::string_view(":"), t.substr(12)}) {
      iso += part;
    }
    const auto out = parse_iso_utc(iso);
    require(out.has_value());
    return out.value_or(0);
  }

  void read_status(der::Reader in) {
    OcspStatus status;
    der::Reader id(take(in, der::kSequence));
    read_hash_algorithm(der::Reader(take(id, der::kSequence)), status);
    status.issuer_name_hash = take(id, der::kOctetString);
    status.issuer_key_hash = take(id, der::kOctetString);
    status.serial = take(id, der::kInteger);
    require(id.at_end());
    read_word(in, status);
    status.this_update = read_time(in);
    der::Reader next(take(in, kContext0));
    status.next_update = read_time(next);
    require(next.at_end() && status.this_update <= status.next_update);
    if (good_ && !in.at_end()) read_extensions(take_inside(in, kContext1, der::kSequence), false);
    require(in.at_end());
    out_.statuses.push_back(status);
  }

  void read_hash_algorithm(der::Reader in, OcspStatus& status) {
    status.hash = take(in, der::kOid);
    if (!good_ || in.at_end()) return;
    const auto parameters = in.next();
    require(parameters && parameters->tag == kNull && parameters->content.empty() && in.at_end());
  }

  void read_word(der::Reader& in, OcspStatus& status) {
    const auto word = good_ ? in.next() : std::nullopt;
    require(word.has_value());
    if (!good_) return;
    switch (word->tag) {
      case kGood:
        status.word = OcspStatus::Word::Good;
        return require(word->content.empty());
      case kUnknown:
        return require(word->content.empty());
      case kRevoked:
        status.word = OcspStatus::Word::Revoked;
        return read_revocation(der::Reader(word->content), status);
      default:
        return require(false);
    }
  }

  void read_revocation(der::Reader in, OcspStatus& status) {
    read_time(in);
    if (!good_ || in.at_end()) return;
    status.reason = der::to_uint32(take_inside(in, kContext0, der::kEnumerated));
    require(status.reason && *status.reason <= kReasonMax && in.at_end());
  }

  /// `takes_nonce`: those of the whole answer.
  void read_extensions(ByteSpan list, bool takes_nonce) {
    for (der::Reader in(list); good_ && !in.at_end();) {
      der::Reader extension(take(in, der::kSequence));
      const ByteSpan oid = take(extension, der::kOid);
      const auto value = good_ ? extension.next() : std::nullopt;  // a flag means critical
      require(value && value->tag == der::kOctetString && extension.at_end());
      if (!good_ || !takes_nonce || !equal(oid, kNonce)) continue;
      der::Reader nonce(value->content);
      require(!out_.nonce);
      out_.nonce = take(nonce, der::kOctetString);
      require(nonce.at_end());
    }
  }

  OcspAnswer out_;
  bool good_ = true;
};

Bytes digest(const EVP_MD* hash, ByteSpan data) {
  Bytes out(static_cast<std::size_t>(EVP_MD_get_size(hash)));
  CHECK(EVP_Digest(data.data(), data.size(), out.data(), nullptr, hash, nullptr) == 1);
  return out;
}

ByteSpan key_bits(const Certificate& certificate) {
  const ASN1_BIT_STRING* bits = X509_get0_pubkey_bitstr(certificate.get());
  return {ASN1_STRING_get0_data(bits), static_cast<std::size_t>(ASN1_STRING_length(bits))};
}

Bytes subject_of(const Certificate& certificate) {
  const unsigned char* der = nullptr;
  std::size_t size = 0;
  CHECK(X509_NAME_get0_der(X509_get_subject_name(certificate.get()), &der, &size) == 1);
  return {der, der + size};
}

/// The hash that a certID is made with; null for one that is not taken.
const EVP_MD* hash_of(ByteSpan oid) {
  if (equal(oid, kSha1)) return EVP_sha1();
  if (equal(oid, kSha256)) return EVP_sha256();
  return equal(oid, kSha384) ? EVP_sha384() : nullptr;
}

bool speaks_of(const OcspStatus& status, const Certificate& certificate,
               const Certificate& issuer) {
  const ASN1_INTEGER* serial = X509_get0_serialNumber(certificate.get());
  const ByteSpan magnitude(ASN1_STRING_get0_data(serial),
                           static_cast<std::size_t>(ASN1_STRING_length(serial)));
  ByteSpan stated = status.serial;
  if (stated.size() > 1 && stated.front() == 0) stated = stated.subspan(1);  // its sign
  const EVP_MD* hash = hash_of(status.hash);
  return hash != nullptr && equal(stated, magnitude) &&
         equal(status.issuer_name_hash, digest(hash, subject_of(issuer))) &&
         equal(status.issuer_key_hash, digest(hash, key_bits(issuer)));
}

bool is_named(const OcspAnswer& answer, const Certificate& signer) {
  return answer.responder_key_hash.empty()
             ? equal(answer.responder_name, subject_of(signer))
             : equal(answer.responder_key_hash, digest(EVP_sha1(), key_bits(signer)));
}

/// The issuer made it a responder, and it is one now.
bool is_delegate(const Certificate& candidate, const Certificate& issuer, UnixTime now,
                 ChainCache& cache) {
  const std::uint32_t flags = X509_get_extension_flags(candidate.get());
  const auto validity = validity_of(candidate);
  const std::uint32_t usage = X509_get_extended_key_usage(candidate.get());
  return (flags & EXFLAG_XKUSAGE) != 0 && (usage & XKU_OCSP_SIGN) != 0 &&
         (flags & EXFLAG_CA) == 0 && validity && validity->first <= now && now <= validity->last &&
         cache.is_signed_by(candidate, issuer);
}

/// Who must have signed; nothing when nobody may.
std::optional<Certificate> find_signer(const OcspAnswer& answer, const Certificate& issuer,
                                       UnixTime now, ChainCache& cache) {
  if (is_named(answer, issuer)) return issuer;
  for (const ByteSpan der : answer.certificates) {
    auto candidate = cache.parse(der);
    if (!candidate || !is_named(answer, *candidate)) continue;
    if (is_delegate(*candidate, issuer, now, cache)) return candidate;
  }
  return std::nullopt;
}

}  // namespace

std::string_view to_string(OcspError error) {
  switch (error) {
    case OcspError::Malformed:
      return "malformed OCSP answer";
    case OcspError::NotSuccessful:
      return "the responder has no answer";
    case OcspError::NoAnswer:
      return "no OCSP answer about the certificate";
    case OcspError::WrongResponder:
      return "OCSP answer of somebody else";
    case OcspError::BadSignature:
      return "OCSP answer's signature";
    case OcspError::NotYetValid:
      return "OCSP answer not yet valid";
    case OcspError::Expired:
      return "OCSP answer expired";
    case OcspError::WrongNonce:
      return "OCSP answer to another request";
    case OcspError::Revoked:
      return "certificate revoked";
    case OcspError::Unknown:
      return "certificate not known to the responder";
  }
  return "unknown";
}

Result<OcspAnswer, OcspError> parse_ocsp(ByteSpan answer) {
  if (answer.size() > kOcspBytesMax) return failure(OcspError::Malformed);
  return AnswerReader().read(answer);
}

Result<UnixTime, OcspError> judge_ocsp(const OcspAnswer& answer, const Certificate& certificate,
                                       const Certificate& issuer, UnixTime now, ByteSpan nonce,
                                       ChainCache& cache) {
  const auto status = std::find_if(
      answer.statuses.begin(), answer.statuses.end(),
      [&](const OcspStatus& candidate) { return speaks_of(candidate, certificate, issuer); });
  if (status == answer.statuses.end()) return failure(OcspError::NoAnswer);
  const auto signer = find_signer(answer, issuer, now, cache);
  if (!signer) return failure(OcspError::WrongResponder);
  const bool good =
      signer->key && answer.signature_kind &&
      verify_signature(*signer->key, *answer.signature_kind, answer.signed_part, answer.signature);
  if (!good) return failure(OcspError::BadSignature);
  if (!nonce.empty() && (!answer.nonce || !equal(*answer.nonce, nonce))) {
    return failure(OcspError::WrongNonce);
  }
  if (now < status->this_update || now < answer.produced_at) {
    return failure(OcspError::NotYetValid);
  }
  if (now > status->next_update) return failure(OcspError::Expired);
  if (status->word == OcspStatus::Word::Revoked) return failure(OcspError::Revoked);
  if (status->word == OcspStatus::Word::Unknown) return failure(OcspError::Unknown);
  return status->next_update;
}

Bytes ocsp_request(const Certificate& certificate, const Certificate& issuer) {
  const std::unique_ptr<OCSP_REQUEST, decltype(&OCSP_REQUEST_free)> request(OCSP_REQUEST_new(),
                                                                            OCSP_REQUEST_free);
  CHECK(request);
  OCSP_CERTID* id = OCSP_cert_to_id(EVP_sha384(), certificate.get(), issuer.get());
  CHECK(id != nullptr && OCSP_request_add0_id(request.get(), id) != nullptr);  // takes the id
  unsigned char* der = nullptr;
  const int size = i2d_OCSP_REQUEST(request.get(), &der);
  CHECK(size > 0);
  Bytes out(der, der + size);
  OPENSSL_free(der);
  return out;
}

OcspAnswers::OcspAnswers(std::span<const Bytes> answers, UnixTime now, ByteSpan nonce)
    : now_(now), nonce_(nonce) {
  for (const Bytes& bytes : answers) {
    auto answer = parse_ocsp(bytes);
    if (answer) {
      answers_.push_back(std::move(*answer));
    } else {
      ++unreadable_count_;
    }
  }
}

Result<UnixTime, OcspError> OcspAnswers::judge(const Certificate& certificate,
                                               const Certificate& issuer, ChainCache& cache) {
  std::pair<Bytes, Bytes> key(certificate.der, issuer.der);
  const auto known = judged_.find(key);
  if (known != judged_.end()) return known->second;
  return judged_.emplace(std::move(key), ask_all(certificate, issuer, cache)).first->second;
}

Result<UnixTime, OcspError> OcspAnswers::ask_all(const Certificate& certificate,
                                                 const Certificate& issuer,
                                                 ChainCache& cache) const {
  std::optional<UnixTime> good;
  OcspError first = OcspError::NoAnswer;
  for (const OcspAnswer& answer : answers_) {
    const auto found = judge_ocsp(answer, certificate, issuer, now_, nonce_, cache);
    if (found) {
      good = std::max(good.value_or(0), *found);
    } else if (found.error() == OcspError::Revoked) {
      return failure(OcspError::Revoked);
    } else if (first == OcspError::NoAnswer) {
      first = found.error();
    }
  }
  if (good) return *good;
  return failure(first);
}

void OcspFindings::add(std::span<const Certificate> chain, std::size_t first, OcspAnswers& answers,
                       ChainCache& cache) {
  for (std::size_t i = first; i + 1 < chain.size(); ++i) {
    const auto status = answers.judge(chain[i], chain[i + 1], cache);
    if (status) {
      ++good_count;
      valid_until = std::min(valid_until, *status);
    } else if (status.error() == OcspError::NoAnswer) {
      missing = common_name(chain[i]);
    } else {
      refusal = fmt::format("{}: {}", common_name(chain[i]), to_string(status.error()));
    }
  }
}

bool OcspFindings::record(Checklist& checks, std::string_view check) const {
  const std::string wanted = "good, by current answers of the issuers or of their responders";
  checks.at(check).wanted = wanted;
  if (!refusal.empty()) return checks.record(check, false, refusal, wanted);
  if (missing.empty()) {
    return checks.record(check, true, fmt::format("{} statuses good", good_count), wanted);
  }
  checks.at(check).found = "no answer about " + missing;
  return false;
}

}  // namespace nostril::attestation
