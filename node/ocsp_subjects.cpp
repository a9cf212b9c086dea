#include "node/ocsp_subjects.h"

#include "attestation/gpu_certificates.h"
#include "attestation/ocsp.h"
#include "attestation/rim.h"
#include "base/bytes.h"
#include "base/hex.h"
#include "schnorr/hash.h"

#include <set>
#include <utility>

namespace nostril::node {

namespace {

using attestation::Certificate;
using attestation::OcspError;

/// An answer must outlive the offers that it is in by a while.
constexpr std::int64_t kAheadS = 7'200;

class Collector {
 public:
  void add(std::span<const Certificate> chain, std::size_t first) {
    for (std::size_t i = first; i + 1 < chain.size(); ++i) {
      if (!seen_.insert(chain[i].der).second) continue;
      auto certificate = attestation::parse_certificate(chain[i].der);
      auto issuer = attestation::parse_certificate(chain[i + 1].der);
      if (certificate && issuer) out_.push_back({std::move(*certificate), std::move(*issuer)});
    }
  }

  void add_devices(const std::vector<GpuAnswer>& devices) {
    for (const GpuAnswer& device : devices) {
      if (const auto chain = attestation::parse_gpu_chain(device.chain)) add(*chain, 1);
    }
  }

  std::vector<OcspSubject> take() && { return std::move(out_); }

 private:
  std::set<Bytes> seen_;
  std::vector<OcspSubject> out_;
};

}  // namespace

std::vector<OcspSubject> ocsp_subjects(const BoardAnswer& board, std::span<const Bytes> manifests) {
  Collector out;
  out.add_devices(board.gpus);
  out.add_devices(board.switches);
  for (const Bytes& manifest : manifests) {
    if (const auto rim = attestation::ParsedRim::parse(manifest)) out.add(rim->certificates(), 0);
  }
  return std::move(out).take();
}

VendorRequest ocsp_vendor_request(const OcspSubject& subject, const std::string& url) {
  VendorRequest out;
  out.name = "ocsp-" + encode_hex(sha256(ByteSpan(subject.certificate.der)).bytes).substr(0, 32);
  out.url = url;
  out.body = as_text(attestation::ocsp_request(subject.certificate, subject.issuer));
  out.content_type = "application/ocsp-request";
  out.ahead_s = kAheadS;
  out.is_good = [&subject](const VendorDocument& document, std::int64_t now_s) {
    const auto answer = attestation::parse_ocsp(document.body);
    if (!answer) return false;
    attestation::ChainCache cache;
    const auto word =
        attestation::judge_ocsp(*answer, subject.certificate, subject.issuer, now_s, {}, cache);
    return word || word.error() == OcspError::Revoked;
  };
  return out;
}

}  // namespace nostril::node
