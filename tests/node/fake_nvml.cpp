// A library with the names of NVIDIA's, for tests of what loads it. Answers are set by the test
// through fake_nvml(), found in the same library.
#include "tests/node/fake_nvml.h"

#include <algorithm>
#include <cstdio>

using nostril::node::nvml::ConfComputeState;
using nostril::node::nvml::Device;
using nostril::node::nvml::GpuCertificate;
using nostril::node::nvml::GpuReport;
using nostril::node::nvml::kSuccess;
using nostril::test::FakeNvml;

namespace {

FakeNvml& fake() {
  static FakeNvml instance;
  return instance;
}

}  // namespace

extern "C" {

FakeNvml* fake_nvml() {
  return &fake();
}

int nvmlInit_v2() {
  ++fake().users;
  return fake().init_error;
}

int nvmlShutdown() {
  --fake().users;
  return kSuccess;
}

int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = fake().count;
  return kSuccess;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device* device) {
  if (index >= fake().count) return 6;
  *device = reinterpret_cast<Device>(static_cast<std::uintptr_t>(index) + 1);
  return kSuccess;
}

int nvmlSystemGetConfComputeState(ConfComputeState* state) {
  *state = {2, fake().cc_feature, fake().dev_tools};
  return kSuccess;
}

int nvmlSystemGetConfComputeGpusReadyState(unsigned* ready) {
  *ready = fake().ready ? 1 : 0;
  return kSuccess;
}

int nvmlSystemGetDriverVersion(char* out, unsigned bytes) {
  std::snprintf(out, bytes, "570.86.15");
  return kSuccess;
}

int nvmlDeviceGetName(Device, char* out, unsigned bytes) {
  std::snprintf(out, bytes, "NVIDIA H200");
  return kSuccess;
}

int nvmlDeviceGetVbiosVersion(Device, char* out, unsigned bytes) {
  std::snprintf(out, bytes, "96.00.CF.00.01");
  return kSuccess;
}

int nvmlDeviceGetConfComputeGpuCertificate(Device device, GpuCertificate* out) {
  const auto index = reinterpret_cast<std::uintptr_t>(device) - 1;
  const std::string pem = fake().chain(index);
  std::copy(pem.begin(), pem.end(), out->attestation_chain.begin());
  out->attestation_chain_bytes =
      fake().lies ? 0x1401 : static_cast<unsigned>(out->attestation_chain.size());
  return kSuccess;
}

int nvmlDeviceGetConfComputeGpuAttestationReport(Device device, GpuReport* out) {
  if (fake().report_error != kSuccess) return fake().report_error;
  const auto index = reinterpret_cast<std::uintptr_t>(device) - 1;
  const auto report = fake().report(index, out->nonce);
  std::copy(report.begin(), report.end(), out->report.begin());
  out->report_bytes = static_cast<unsigned>(report.size());
  return kSuccess;
}
}
