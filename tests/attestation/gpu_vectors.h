#pragma once

#include "attestation/gpu_simulator.h"
#include "base/base64.h"
#include "base/hex.h"
#include "base/json.h"
#include "tests/attestation/gpu_fixtures.h"

#include <string>
#include <string_view>

namespace nostril::attestation::test {

/// spec/vectors/gpu.json: the evidence of a simulated GPU (root, report, chain, manifests, OCSP
/// answers; base64), and changes of one bit with the check that each must fail. Same bytes each
/// time.
inline std::string make_gpu_vectors() {
  const GpuSimulator simulator = gpu_simulator();
  const auto nonce = filled(0x66);
  const auto gpu = simulator.evidence(1, nonce).front();
  JsonWriter json;
  const auto list = [&json](std::string_view name, const std::vector<Bytes>& items) {
    json.key(name).begin_array();
    for (const Bytes& item : items) json.string(encode_base64(item));
    json.end_array();
  };
  json.begin_object().key("now").integer(kNow).key("nonce").string(encode_hex(nonce));
  json.key("root").string(encode_base64(simulator.root_der()));
  json.key("report")
      .string(encode_base64(gpu.report))
      .key("chain")
      .string(encode_base64(gpu.chain));
  list("manifests", simulator.manifests());
  list("ocsp", simulator.ocsp_answers(0, {}));

  struct Change {
    const char* part;
    std::size_t offset;
    const char* check;
  };

  json.key("changes").begin_array();
  for (const Change& change :
       {Change{"report", 4, "gpu_nonce"}, Change{"report", 0, "gpu_report"},
        Change{"report", 200, "gpu_signature"}, Change{"report", 200, "gpu_measurements"},
        Change{"chain", gpu.chain.size() - 1, "gpu_chain"},
        Change{"manifest", 4000, "driver_rim_digest"}, Change{"ocsp", 60, "gpu_revocation"}}) {
    json.begin_object()
        .key("part")
        .string(change.part)
        .key("offset")
        .integer(static_cast<std::int64_t>(change.offset));
    json.key("fails").string(change.check).end_object();
  }
  json.end_array().end_object();
  return std::move(json).take() + "\n";
}

}  // namespace nostril::attestation::test
