#pragma once

#include "base/result.h"
#include "net/peer_address.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nostril::net {

enum class ProxyError : std::uint8_t {
  NoHeader,     ///< something else
  BadLine,      ///< version 1, not as it is written
  BadAddress,   ///< version 1
  BadVersion,   ///< not 2
  BadCommand,   ///< neither LOCAL nor PROXY
  BadFamily,    ///< version 2: not TCP over IPv4 or IPv6
  WrongLength,  ///< version 2: too short for its addresses
  TooLong,
};
std::string_view to_string(ProxyError error);

/// All of a PROXY protocol header, version 2 with its extensions.
inline constexpr std::size_t kProxyHeaderBytesMax = 2'048;

/// What a proxy says of the connection it passes on.
struct ProxyHeader {
  /// Who connected to it. Nothing: the proxy speaks for itself (LOCAL, a health check) or does not
  /// know (UNKNOWN); the socket's own address holds.
  std::optional<PeerAddress> source;
};

/// Reads the PROXY protocol's header, version 1 or 2, fed in pieces cut anywhere. Strict: one way
/// to write each; version 1 with its exact spaces, decimal ports and CRLF; TCP only. The extensions
/// of version 2 are skipped. Takes no byte of what follows the header. Memory:
/// kProxyHeaderBytesMax. Pure; one thread.
class ProxyHeaderReader {
 public:
  /// Takes bytes off the front of `bytes`. Nothing: more are needed. After an error or a header it
  /// must not be used further.
  Result<std::optional<ProxyHeader>, ProxyError> feed(std::string_view& bytes);

 private:
  [[nodiscard]] std::size_t wanted_bytes() const;
  [[nodiscard]] std::optional<ProxyError> check_start() const;

  std::string head_;
};

}  // namespace nostril::net
