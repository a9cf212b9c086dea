#include "net/tls.h"

#include "base/check.h"
#include "net/tls_error.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>

#include <array>
#include <limits>
#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace nostril::net {

namespace {

constexpr std::string_view kNoError = "unknown TLS error";

SSL_CTX* new_context(const SSL_METHOD* method) {
  SSL_CTX* context = SSL_CTX_new(method);
  if (context == nullptr) throw std::runtime_error("OpenSSL: " + take_tls_error(kNoError));
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
  // Renegotiation is a way to make us work for nothing.
  SSL_CTX_set_options(
      context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  return context;
}

// SSL_set_tlsext_host_name is a macro with a C cast.
bool set_server_name(SSL* ssl, const std::string& host) {
  return SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                  const_cast<char*>(host.c_str())) == 1;
}

/// Who offers other protocols only is told nothing, and may speak HTTP/1.1 all the same.
int choose_protocol(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* offered, unsigned offered_size, void* /*user*/) noexcept {
  static constexpr std::array<unsigned char, 9> kHttp = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* chosen = nullptr;
  const int found =
      SSL_select_next_proto(&chosen, out_size, kHttp.data(), kHttp.size(), offered, offered_size);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

bool is_ip_address(const std::string& host) {
  std::array<unsigned char, 16> scratch{};
  return inet_pton(AF_INET, host.c_str(), scratch.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), scratch.data()) == 1;
}

}  // namespace

std::shared_ptr<TlsContext> TlsContext::server() {
  std::shared_ptr<TlsContext> made(new TlsContext(new_context(TLS_server_method()), true));
  SSL_CTX_set_alpn_select_cb(made->get(), choose_protocol, nullptr);
  return made;
}

std::shared_ptr<TlsContext> TlsContext::client(const std::string& ca_path) {
  // Reading the system's roots takes tens of milliseconds: connections share one context for as
  // long as one of them lives. OpenSSL allows that between threads once a context is set up.
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<TlsContext>> shared;
  const std::lock_guard lock(mutex);
  if (auto known = shared[ca_path].lock()) return known;
  std::shared_ptr<TlsContext> made(new TlsContext(new_context(TLS_client_method()), false));
  SSL_CTX_set_verify(made->get(), SSL_VERIFY_PEER, nullptr);
  const int loaded = ca_path.empty()
                         ? SSL_CTX_set_default_verify_paths(made->get())
                         : SSL_CTX_load_verify_locations(made->get(), ca_path.c_str(), nullptr);
  if (loaded != 1)
    throw std::runtime_error("cannot load TLS roots " + ca_path + ": " + take_tls_error(kNoError));
  shared[ca_path] = made;
  return made;
}

TlsContext::~TlsContext() {
  SSL_CTX_free(context_);
}

TlsStream::TlsStream(std::shared_ptr<TlsContext> context, const std::string& host)
    : context_(std::move(context)), ssl_(SSL_new(context_->get())) {
  CHECK(ssl_ != nullptr);
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  CHECK(in != nullptr && out != nullptr);
  BIO_set_mem_eof_return(in, -1);
  SSL_set_bio(ssl_, in, out);
  if (context_->is_server()) {
    SSL_set_accept_state(ssl_);
    return;
  }
  CHECK(!host.empty());
  X509_VERIFY_PARAM* verify = SSL_get0_param(ssl_);
  if (is_ip_address(host)) {
    CHECK(X509_VERIFY_PARAM_set1_ip_asc(verify, host.c_str()) == 1);
  } else {
    X509_VERIFY_PARAM_set_hostflags(verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    CHECK(X509_VERIFY_PARAM_set1_host(verify, host.c_str(), host.size()) == 1);
    CHECK(SSL_set1_host(ssl_, host.c_str()) == 1 && set_server_name(ssl_, host));
  }
  SSL_set_connect_state(ssl_);
  handshake();
}

TlsStream::~TlsStream() {
  SSL_free(ssl_);
}

TlsStream::Status TlsStream::receive(std::span<const std::uint8_t> bytes) {
  CHECK(bytes.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max()));
  if (status_ != Status::Ok || bytes.empty()) return status_;
  if (!established_) {
    handshake_bytes_ += bytes.size();
    if (handshake_bytes_ > kHandshakeBytesMax) {
      error_ = "handshake too large";
      return status_ = Status::Failed;
    }
  }
  CHECK(BIO_write(SSL_get_rbio(ssl_), bytes.data(), static_cast<int>(bytes.size())) ==
        static_cast<int>(bytes.size()));
  return established_ ? status_ : handshake();
}

TlsStream::Status TlsStream::handshake() {
  ERR_clear_error();
  const int done = SSL_do_handshake(ssl_);
  if (done == 1) {
    established_ = true;
    return status_;
  }
  const int why = SSL_get_error(ssl_, done);
  if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return status_;
  status_ = Status::Failed;
  const long verified = SSL_get_verify_result(ssl_);
  error_ = verified == X509_V_OK
               ? take_tls_error(kNoError)
               : std::string("certificate: ") + X509_verify_cert_error_string(verified);
  return status_;
}

std::size_t TlsStream::read(std::span<std::uint8_t> out) {
  if (!established_ || status_ != Status::Ok) return 0;
  ERR_clear_error();
  std::size_t got = 0;
  const int done = SSL_read_ex(ssl_, out.data(), out.size(), &got);
  if (done == 1) return got;
  const int why = SSL_get_error(ssl_, done);
  if (why == SSL_ERROR_ZERO_RETURN) {
    status_ = Status::Closed;
  } else if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
    status_ = Status::Failed;
    error_ = take_tls_error(kNoError);
  }
  return 0;
}

bool TlsStream::write(std::string_view bytes) {
  CHECK(established_);
  if (status_ == Status::Failed) return false;
  ERR_clear_error();
  std::size_t written = 0;
  if (!bytes.empty() &&
      (SSL_write_ex(ssl_, bytes.data(), bytes.size(), &written) != 1 || written != bytes.size())) {
    status_ = Status::Failed;
    error_ = take_tls_error(kNoError);
    return false;
  }
  return true;
}

void TlsStream::take_output(std::string& out) {
  BIO* source = SSL_get_wbio(ssl_);
  const std::size_t pending = BIO_ctrl_pending(source);
  if (pending == 0) return;
  const std::size_t start = out.size();
  out.resize(start + pending);
  CHECK(BIO_read(source, out.data() + start, static_cast<int>(pending)) ==
        static_cast<int>(pending));
}

void TlsStream::close() {
  if (!established_ || status_ == Status::Failed) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);
  ERR_clear_error();
}

std::string TlsStream::error() const {
  return error_;
}

}  // namespace nostril::net
