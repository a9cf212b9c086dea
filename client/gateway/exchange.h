#pragma once

#include "client/asker.h"
#include "client/gateway/access.h"
#include "client/gateway/routes.h"
#include "net/server.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace nostril::client {

/// One request of an application, from its POST to the last byte of its answer, and a while longer
/// for an application that sends it again. Threads: the loop's only.
struct Exchange {
  /// More of a stream than this is not kept, and a repeat is a new request then.
  static constexpr std::size_t kReplayBytesMax = 1U << 20;
  /// Of an answer that is no stream.
  static constexpr std::size_t kBodyBytesMax = 64U << 20;

  /// A node that was asked.
  struct Part {
    std::shared_ptr<const VerifiedOffer> offer;
    std::unique_ptr<AnswerForm> form;
  };

  // What was asked: constant.
  const Route* route = nullptr;
  Json body;
  std::string model;
  std::size_t said_bytes = 0;
  bool stream = false;
  Caller caller;
  Digest fingerprint;           ///< of caller, path and body
  std::string idempotency_key;  ///< as the application sent it; empty: none
  std::string origin;           ///< page of this machine that asks; empty: no page
  AnswerEcho echo;

  // Its answer.
  AskId ask = AskId::None;
  std::map<EventId, Part> parts;  ///< by offer, of the nodes that were asked
  Part* part = nullptr;           ///< of the node that answers, or was asked last
  std::optional<ResponseHead> head;
  std::string engine_body;        ///< of what is no stream
  std::optional<ApiError> error;  ///< our own: nothing was sent
  ApiSpending reserved;
  std::size_t tries = 0;  ///< for which a node was chosen

  // Its way to the application.
  net::ConnectionId connection = net::ConnectionId::None;  ///< None: it went away
  bool started = false;                                    ///< a stream has begun
  bool fed = false;                                        ///< the application has got bytes of it
  std::string sent;                                        ///< all bytes of the stream so far
  bool replayable = true;                                  ///< `sent` is all of it
  bool cancelled = false;
  std::optional<net::HttpResponse> response;  ///< of what was no stream, or never began
  bool ended = false;
  std::uint64_t ended_at_ms = 0;  ///< loop time
  net::TimerId linger = net::TimerId::None;

  [[nodiscard]] Protocol protocol() const { return protocol_of(route->path); }

  /// Only a good answer to a streamed request is passed on as it comes.
  [[nodiscard]] bool passes() const;
};

/// HTTP status and words of a query without a whole answer. SDKs repeat 408, 409, 429 and 5xx by
/// themselves, so what is final gets another code.
[[nodiscard]] ApiError error_of(const QueryResult& result);
/// Whether the engine's own words may be handed on: its whole answer, or a refusal of its own.
[[nodiscard]] bool is_answer(const QueryResult& result);
/// What an application may want to keep.
[[nodiscard]] Proof proof_of(const QueryResult& result, const VerifiedOffer& offer);
/// The whole answer, or the error, as one response.
[[nodiscard]] net::HttpResponse response_of(Exchange& exchange, const QueryResult& result);

}  // namespace nostril::client
