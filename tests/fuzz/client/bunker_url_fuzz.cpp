// bunker:// URLs, which people paste and files hold. What is refused shows none of its bytes: it
// may hold a secret.
#include "base/bytes.h"
#include "base/check.h"
#include "base/hex.h"
#include "base/percent.h"
#include "client/remote_signer.h"

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using nostril::client::BunkerUrl;
  static std::set<std::string> reasons;  // texts of ours, whatever comes in
  const auto url = nostril::client::parse_bunker_url(nostril::as_text({data, size}));
  if (!url) {
    reasons.insert(url.error());
    CHECK(reasons.size() <= 8);
    return 0;
  }
  CHECK(!url->relays.empty() && url->relays.size() <= BunkerUrl::kRelaysMax);
  // Written again it says the same.
  std::string again = "bunker://" + nostril::encode_hex(url->signer) + "?";
  for (const std::string& relay : url->relays) {
    again += "relay=" + nostril::percent_encode(relay) + "&";
  }
  again += "secret=" + nostril::percent_encode(url->secret.expose());
  if (again.size() > 4'096) return 0;
  const auto second = nostril::client::parse_bunker_url(again);
  CHECK(second && second->signer == url->signer && second->relays == url->relays);
  CHECK(second->secret.expose() == url->secret.expose());
  return 0;
}
