#pragma once

#include "net/server.h"

#include <cstddef>
#include <string_view>

namespace nostril::node {

/// Where the answer to one request goes. Threads: the loop's only.
class ApiWire {
 public:
  virtual ~ApiWire() = default;

  /// The whole answer, at once.
  virtual void respond(net::HttpResponse response) = 0;
  /// Or in parts: head, bodies, end.
  virtual void start_stream(int status, net::HttpHeaders headers) = 0;
  virtual void write(std::string_view bytes) = 0;
  virtual void end_stream() = 0;
  /// It must not look whole.
  virtual void drop() = 0;
  /// Written, but not on its way to the client yet.
  [[nodiscard]] virtual std::size_t pending_bytes() const = 0;
};

/// A connection of a server, which is borrowed. Pages of any origin may read what it answers, for
/// verifiers that run in a browser: nothing here is granted by a cookie or by who is logged in.
class ConnectionWire final : public ApiWire {
 public:
  ConnectionWire(net::Server& server, net::ConnectionId id) : server_(server), id_(id) {}

  void respond(net::HttpResponse response) override {
    allow_pages(response.headers);
    server_.respond(id_, response);
  }

  void start_stream(int status, net::HttpHeaders headers) override {
    allow_pages(headers);
    server_.start_stream(id_, status, headers);
  }

  void write(std::string_view bytes) override { server_.write_stream(id_, bytes); }

  void end_stream() override { server_.end_stream(id_); }

  void drop() override { server_.drop(id_); }

  [[nodiscard]] std::size_t pending_bytes() const override { return server_.pending_bytes(id_); }

 private:
  static void allow_pages(net::HttpHeaders& headers) {
    headers.add("Access-Control-Allow-Origin", "*");
    headers.add("Access-Control-Expose-Headers", "*");
  }

  net::Server& server_;
  net::ConnectionId id_;
};

}  // namespace nostril::node
