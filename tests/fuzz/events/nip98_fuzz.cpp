// Authorisation headers: what reads is for the target and in time; nothing reads without its
// signature, so the corpus holds one that is right.
#include "events/nip98.h"

#include "base/check.h"

#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace nostril;
  static nostril::Verifier verifier;
  constexpr std::int64_t kNow = 1'790'000'000;
  const auto token = read_nip98({reinterpret_cast<const char*>(data), size},
                                {"https://node.example:8443/v1/models", "GET"}, kNow, verifier);
  if (!token) return 0;
  CHECK(token->created_at >= kNow - kNip98PastSeconds);
  CHECK(token->created_at <= kNow + kNip98FutureSeconds);
  Nip98Replays replays(kNow - 1000);
  CHECK(replays.admit(*token, kNow));
  CHECK(!replays.admit(*token, kNow));
  return 0;
}
