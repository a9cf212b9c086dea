#pragma once

#include "attestation/collateral_json.h"
#include "attestation/event_log.h"
#include "attestation/gpu_certificates.h"
#include "base/base64.h"
#include "tests/attestation/fixtures.h"
#include "tests/attestation/vector_case.h"

#include <string>

namespace nostril::attestation::test {

/// What a dstack node of these answers would hand over: quote, collateral, GPUs, log and compose
/// text of a live service. The statement is not theirs.
inline Evidence live_evidence(const std::string& folder) {
  const Json report = read_vector_json("combined/" + folder + "/report.json");
  const Json* models = report.find("model_attestations");
  const Json& node = models == nullptr ? report : models->items().front();
  Evidence out = simulator().evidence(statement(), kNow);
  out.kind = kKindTdx;
  out.collateral =
      parse_collateral_json(read_vector("combined/" + folder + "/collateral-90c06f000000.json"))
          .value();
  out.cpu_quote = decode_hex(*node.find_string("intel_quote")).value();
  const Json payload = Json::parse(*node.find_string("nvidia_payload")).value();
  for (const Json& gpu : payload.find("evidence_list")->items()) {
    out.gpu_reports.push_back(decode_base64(*gpu.find_string("evidence")).value());
    const Bytes pem = decode_base64(*gpu.find_string("certificate")).value();
    out.gpu_chains.push_back(join_chain(parse_gpu_chain(pem).value()));
  }
  const Json* tcb_info = node.find("info")->find("tcb_info");
  out.app = AppDocuments{to_json(read_event_log(*node.find("event_log")).value()),
                         std::string(*tcb_info->find_string("app_compose")),
                         {}};
  return out;
}

}  // namespace nostril::attestation::test
