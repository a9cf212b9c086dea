// Headers of proxies: whatever a client writes, what the proxy adds in a field of its own counts;
// and in the same field the client can at most hide behind the proxy, never be somebody else.
#include "net/forwarded.h"

#include "base/check.h"

#include <cstdint>
#include <string>

namespace {

using nostril::net::AddressRange;
using nostril::net::AddressRanges;
using nostril::net::ForwardedHeader;
using nostril::net::HttpHeaders;
using nostril::net::PeerAddress;

struct Case {
  ForwardedHeader header;
  const char* name;
  const char* added;
};

constexpr Case kCases[] = {
    {ForwardedHeader::XForwardedFor, "X-Forwarded-For", "192.0.2.1"},
    {ForwardedHeader::XRealIp, "X-Real-IP", "192.0.2.1"},
    {ForwardedHeader::Forwarded, "Forwarded", R"(for="192.0.2.1:99";proto=https)"},
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const PeerAddress proxy = *PeerAddress::parse("10.0.0.1");
  const PeerAddress client = *PeerAddress::parse("192.0.2.1");
  for (const Case& one : kCases) {
    const nostril::net::TrustedProxies trusted{AddressRanges({*AddressRange::parse("10.0.0.1")}),
                                               one.header};
    (void)client_of(proxy, {{one.name, text}}, trusted);
    CHECK(client_of(proxy, {{one.name, text}, {one.name, one.added}}, trusted).ip == client.ip);
    if (one.header == ForwardedHeader::XRealIp) continue;
    const auto found = client_of(proxy, {{one.name, text + ", " + one.added}}, trusted);
    CHECK(found.ip == client.ip || found.ip == proxy.ip);
  }
  return 0;
}
