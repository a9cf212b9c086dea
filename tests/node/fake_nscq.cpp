// A library with the names of NVIDIA's NSCQ, for tests of what loads it. Answers are set by the
// test through fake_nscq(), found in the same library. Switch i has the label "SWX-i".
#include "tests/node/fake_nscq.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace nscq = nostril::node::nscq;
using nostril::test::FakeNscq;

namespace {

constexpr nscq::Code kNoSuchPath = -5;

FakeNscq& fake() {
  static FakeNscq instance;
  return instance;
}

std::string label_of(std::size_t index) {
  return "SWX-" + std::to_string(index);
}

void list(nscq::Callback callback, void* user) {
  for (std::size_t i = 0; i < fake().count; ++i) {
    nscq::Uuid uuid{};
    uuid.bytes[0] = static_cast<std::uint8_t>(i);
    reinterpret_cast<nscq::OnUuid>(callback)(&uuid, 0, &uuid, user);
  }
}

void give_certificate(std::size_t index, nscq::Callback callback, void* user) {
  nscq::Certificate out{};
  const std::string pem = fake().chain(index);
  std::copy(pem.begin(), pem.end(), out.chain.begin());
  out.chain_bytes = static_cast<std::uint32_t>(pem.size());
  reinterpret_cast<nscq::OnCertificate>(callback)(nullptr, 0, out, user);
}

void give_report(std::size_t index, nscq::Callback callback, void* user) {
  nscq::Report out{};
  const auto report = fake().report(index, fake().nonce);
  std::copy(report.begin(), report.end(), out.report.begin());
  out.report_bytes = fake().lies ? 0x2001 : static_cast<std::uint32_t>(report.size());
  reinterpret_cast<nscq::OnReport>(callback)(nullptr, fake().callback_error, out, user);
}

}  // namespace

extern "C" {

FakeNscq* fake_nscq() {
  return &fake();
}

nscq::SessionResult nscq_session_create(std::uint32_t flags) {
  if (flags != nscq::kMountDevices) return {-1, nullptr};
  if (fake().session_error != 0) return {fake().session_error, nullptr};
  ++fake().sessions;
  return {0, &fake()};
}

void nscq_session_destroy(nscq::Session /*session*/) {
  --fake().sessions;
}

nscq::Code nscq_uuid_to_label(const nscq::Uuid* uuid, nscq::Label* label, std::uint32_t /*flags*/) {
  const std::string text = label_of(uuid->bytes[0]);
  std::copy(text.begin(), text.end(), label->text.begin());
  return 0;
}

nscq::Code nscq_session_set_input(nscq::Session /*session*/, std::uint32_t /*flags*/, void* input,
                                  std::uint32_t bytes) {
  if (bytes != fake().nonce.size()) return -1;
  std::memcpy(fake().nonce.data(), input, bytes);
  return 0;
}

nscq::Code nscq_session_path_observe(nscq::Session /*session*/, const char* path,
                                     nscq::Callback callback, void* user, std::uint32_t /*flags*/) {
  if (std::string_view(path) == nscq::kUuidsPath) {
    list(callback, user);
    return 0;
  }
  for (std::size_t i = 0; i < fake().count; ++i) {
    if (path == "/" + label_of(i) + nscq::kCertificatePath) {
      give_certificate(i, callback, user);
      return 0;
    }
    if (path == "/" + label_of(i) + nscq::kReportPath) {
      if (fake().report_error < 0) return fake().report_error;
      give_report(i, callback, user);
      return 0;
    }
  }
  return kNoSuchPath;
}
}
