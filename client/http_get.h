#pragma once

#include "base/result.h"
#include "net/http.h"
#include "net/loop.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

/// One document over HTTP, for commands that wait for it.
namespace nostril::client {

struct GetCall {
  std::string url;
  net::HttpHeaders headers;
  std::string ca_file;  ///< PEM roots; empty: the system's
  bool wants_peer_certificate = false;
  std::uint64_t ms_max = 30'000;  ///< from the start to the last byte
  std::size_t bytes_max = 1U << 20U;
};

struct GetReply {
  net::HttpHeaders headers;
  std::string body;
  std::string peer_certificate;  ///< PEM, of an https connection, when wanted
};

/// Asks and waits: runs `loop` until the answer is whole, or refused. Only a status of 200 is an
/// answer; redirects are not followed. An error is a line for the user.
[[nodiscard]] Result<GetReply, std::string> http_get(net::Loop& loop, const GetCall& call);

/// https, or http to 127.0.0.1, ::1 or localhost: nobody between could answer.
[[nodiscard]] bool is_safe_url(std::string_view url);

}  // namespace nostril::client
