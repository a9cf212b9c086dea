#include "node/http_request.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace nostril::node {

Result<HttpReply, std::string> http_request(net::HttpCall call, std::uint64_t total_ms_max) {
  net::Loop loop;
  net::HttpClient client(loop, 1);
  HttpReply reply;
  std::optional<net::HttpCallResult> ended;
  net::HttpCallbacks callbacks;
  callbacks.on_status = [&reply](int status, const net::HttpHeaders& headers) {
    reply.status = status;
    reply.headers = headers;
  };
  callbacks.on_data = [&reply](std::string_view bytes) {
    reply.body += bytes;
    return true;
  };
  callbacks.on_done = [&](const net::HttpCallResult& result) {
    ended = result;
    loop.stop();
  };
  const net::CallId id = client.start(std::move(call), std::move(callbacks));
  const net::TimerId late = loop.after(total_ms_max, [&loop] { loop.stop(); });
  loop.run();
  loop.cancel(late);
  if (!ended) {
    client.cancel(id);
    return failure(fmt::format("no whole answer within {} ms", total_ms_max));
  }
  if (!ended->ok()) {
    return failure(fmt::format("{}{}{}", to_string(ended->error), ended->detail.empty() ? "" : ": ",
                               ended->detail));
  }
  return reply;
}

}  // namespace nostril::node
