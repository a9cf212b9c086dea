#pragma once

#include "base/result.h"
#include "net/http_client.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace nostril::node {

struct HttpReply {
  int status = 0;
  net::HttpHeaders headers;
  std::string body;
};

/// One HTTP exchange on the calling thread, which waits for it: for threads that have no loop and
/// nothing else to do. `call` brings its bounds of bytes and of single waits; `total_ms_max` bounds
/// the whole of it. The error is one line for the operator.
[[nodiscard]] Result<HttpReply, std::string> http_request(net::HttpCall call,
                                                          std::uint64_t total_ms_max);

}  // namespace nostril::node
