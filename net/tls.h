#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct ssl_ctx_st;
struct ssl_st;

namespace nostril::net {

/// TLS settings shared by many connections: TLS 1.2 and later, OpenSSL's default ciphers. One
/// thread.
class TlsContext {
 public:
  /// Without a certificate yet: TlsIdentity::server_context() adds its own. Of what a client offers
  /// by ALPN it takes http/1.1.
  static std::shared_ptr<TlsContext> server();
  /// Verifies the peer against `ca_path` or, when empty, the system's roots. Shared while in use.
  static std::shared_ptr<TlsContext> client(const std::string& ca_path);

  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  TlsContext(TlsContext&&) = delete;
  TlsContext& operator=(TlsContext&&) = delete;

  [[nodiscard]] ssl_ctx_st* get() const { return context_; }

  [[nodiscard]] bool is_server() const { return server_; }

 private:
  TlsContext(ssl_ctx_st* context, bool server) : context_(context), server_(server) {}

  ssl_ctx_st* context_;
  bool server_;
};

/// One TLS connection between memory buffers: whoever owns the socket moves the bytes.
class TlsStream {
 public:
  /// `host` (client only): the name or IP address that the certificate must carry; also sent as SNI
  /// when a name.
  TlsStream(std::shared_ptr<TlsContext> context, const std::string& host);
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;
  TlsStream(TlsStream&&) = delete;
  TlsStream& operator=(TlsStream&&) = delete;

  enum class Status : std::uint8_t { Ok, Closed, Failed };

  /// Takes all bytes that came from the network and goes on with the handshake.
  Status receive(std::span<const std::uint8_t> bytes);
  /// Decrypted bytes into `out`; 0 when there are no more for now. Check status() after 0.
  std::size_t read(std::span<std::uint8_t> out);
  /// Encrypts all of it. Only once established.
  bool write(std::string_view bytes);
  /// Moves what must go to the network to the end of `out`.
  void take_output(std::string& out);
  /// Says goodbye (close_notify); take_output() then.
  void close();

  [[nodiscard]] bool established() const { return established_; }

  [[nodiscard]] Status status() const { return status_; }

  /// Why it failed; for a log line.
  [[nodiscard]] std::string error() const;

  /// What a peer may send before the handshake is done.
  static constexpr std::size_t kHandshakeBytesMax = 256U << 10;

 private:
  Status handshake();

  std::shared_ptr<TlsContext> context_;
  ssl_st* ssl_;
  Status status_ = Status::Ok;
  bool established_ = false;
  std::size_t handshake_bytes_ = 0;
  std::string error_;
};

}  // namespace nostril::net
