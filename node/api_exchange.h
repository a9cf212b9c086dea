#pragma once

#include "base/result.h"
#include "client/journal.h"
#include "events/event.h"
#include "events/frames.h"
#include "events/inference.h"
#include "net/http.h"
#include "net/peer_address.h"
#include "node/api_wire.h"
#include "node/channel_book.h"
#include "node/publisher.h"
#include "schnorr/types.h"

#include "face/api_error.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Where the parts of the HTTPS face meet: what a part adds to one exchange, in the order of use:
///
///   ApiAccess::admit  ->  ApiTransform::open (outermost first)  ->  ApiAccess::book  ->  the
///   engine
///   ->  ApiHook::add_headers  ->  ApiTransform::seal (innermost first)  ->  ApiHook::on_finish
///
/// Threads: the loop's only. Parts outlive the ApiServer that they are given to.
namespace nostril::node {

struct Exchange;  // node/exchange_store.h

/// What a client is told instead of an answer, in OpenAI's form.
struct ApiRefusal {
  int status = 400;
  std::string type = "bad_request";
  std::string message;
  net::HttpHeaders headers = {};  ///< `Retry-After`, `WWW-Authenticate`
  std::string code = {};          ///< `code` of the error; empty: null
  std::string_view content_type = "application/json";
  std::string body = {};  ///< sent in place of OpenAI's form; empty: none

  ApiRefusal() = default;

  ApiRefusal(int status_in, std::string_view type_in, std::string_view message_in)
      : status(status_in), type(type_in), message(message_in) {}

  explicit ApiRefusal(const face::ApiError& error)
      : ApiRefusal(error.status, error.type, error.message) {}
};

/// `type` of an error of that status, as clients of these services know them.
[[nodiscard]] std::string_view api_error_type(int status);
[[nodiscard]] net::HttpResponse to_response(const ApiRefusal& refusal);
[[nodiscard]] net::HttpResponse json_response(int status, std::string body);

/// Who asks, as the node books it.
struct ApiCaller {
  Digest id;       ///< who may read its signatures and receipts; zero: anybody
  PublicKey line;  ///< whose line it waits in at the engine; no key has to stand behind it
  std::string
      cache_salt;  ///< those with the same may find each other's prompts in the engine's cache
  std::optional<PaymentTerms> payer = {};  ///< who pays by signed receipts; none: a budget, or none
  std::optional<SignedReceipt> receipt = {};  ///< of that payer, for an earlier answer
};

/// What an exchange holds of its caller's budget while it runs; its destructor gives it back.
class ApiHold {
 public:
  virtual ~ApiHold() = default;

  /// What the exchange came to is charged; `changes` reach the disk with `record`, the last one.
  virtual void settle(const ResponseRecord& record,
                      std::vector<client::JournalChange>& changes) = 0;
};

/// How an answer is paid.
struct ApiBooking {
  std::shared_ptr<ChannelBook> book;
  std::unique_ptr<ApiHold> hold;  ///< lives as long as the exchange; null: none
};

/// One request to an engine, as far as it has come.
struct ApiExchange {
  std::string method;
  std::string path;
  std::int64_t received_at_s = 0;  ///< Unix seconds
  ApiCaller caller;
  std::string model;                       ///< that the request names; empty: not known yet
  std::string receipt_id;                  ///< X-Receipt-Id; a hook's to set in on_begin()
  Digest wire_request;                     ///< SHA-256 of the body as it came
  Digest opened_request;                   ///< after all transforms
  std::optional<Digest> forwarded;         ///< of the body that the engine got
  int status = 0;                          ///< of the answer, once it has a head
  bool stream = false;                     ///< the answer is sent as it comes
  std::string answer_id;                   ///< its `id`; empty: it has none
  Digest wire_response;                    ///< of all bytes sent: final in on_finish()
  const ResponseRecord* record = nullptr;  ///< in on_finish(), and in add_headers() of what is no
                                           ///< stream; null: refused
  const Event* record_event = nullptr;     ///< the same, signed
};

/// Who may ask, and who pays for it.
class ApiAccess {
 public:
  virtual ~ApiAccess() = default;

  /// By the request's head (and body, for signatures over it); before anything is decrypted.
  [[nodiscard]] virtual Result<ApiCaller, ApiRefusal> admit(const net::HttpRequest& request,
                                                            const net::PeerAddress& peer) = 0;
  /// The channel that an answer under `offer` is booked to. What its credit does not cover is not
  /// delivered: the answer ends as unpaid. `body`: as opened, for what it may come to at most.
  [[nodiscard]] virtual Result<ApiBooking, ApiRefusal> book(const ApiCaller& caller,
                                                            const LiveOffer& offer,
                                                            std::string_view body) = 0;
};

/// An encryption of bodies that this exchange's client asked for. One object an exchange.
/// The order of calls: open, begin, seal as often as there are bytes, finish.
class ApiTransform {
 public:
  virtual ~ApiTransform() = default;

  /// The request's body as the engine, or the transform within, shall read it.
  [[nodiscard]] virtual Result<std::string, ApiRefusal> open(std::string_view path,
                                                             std::string body) = 0;
  /// The answer begins; headers may be added. Also for refusals (after open() only).
  virtual void begin(int status, bool stream, net::HttpHeaders& headers) = 0;

  /// It hides an engine's own words of refusal, too, which may repeat a prompt. Else the client is
  /// told the status only.
  [[nodiscard]] virtual bool hides_errors() const { return false; }

  /// Appends what may leave. False: nothing more may, least of all the plaintext.
  [[nodiscard]] virtual bool seal(std::string_view bytes, std::string& out) = 0;
  [[nodiscard]] virtual bool finish(std::string& out) = 0;
};

/// Nothing when the headers ask for none; a refusal when they ask for it wrongly.
using ApiTransformMaker =
    std::function<Result<std::unique_ptr<ApiTransform>, ApiRefusal>(const net::HttpRequest&)>;

/// What a part adds to every exchange with an engine.
class ApiHook {
 public:
  virtual ~ApiHook() = default;

  virtual void on_begin(ApiExchange& /*exchange*/) {}

  /// Before the answer's head leaves, a refusal's too.
  virtual void add_headers(const ApiExchange& /*exchange*/, net::HttpHeaders& /*headers*/) {}

  /// It is over; `changes` reach the disk before the last byte leaves. `kept`: what the signature
  /// store will have of it, to be filled in further; null: it keeps nothing of this one.
  virtual void on_finish(const ApiExchange& /*exchange*/, Exchange* /*kept*/,
                         std::vector<client::JournalChange>& /*changes*/) {}
};

/// A request that came inside of another one's body, and where its answer goes.
struct ApiInner {
  net::HttpRequest request;
  std::shared_ptr<ApiWire> wire;
};

/// An encryption of whole requests, at one path.
struct ApiEnvelope {
  std::string path;
  /// `wire`: where the outer answer goes; the inner one may hold it.
  std::function<Result<ApiInner, ApiRefusal>(const net::HttpRequest& request,
                                             const std::shared_ptr<ApiWire>& wire)>
      open;
};

/// Answers one request; at once or later, once. Nothing happens when the client is gone.
using ApiReply = std::function<void(net::HttpResponse)>;

/// A request that needs no engine.
struct ApiRoute {
  std::string method;
  std::string path;
  bool below = false;  ///< all paths that begin with `path`, too: `/v1/signature/`
  std::function<void(const net::HttpRequest& request, const net::PeerAddress& peer, ApiReply reply)>
      answer;
};

}  // namespace nostril::node
