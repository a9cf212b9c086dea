#include "client/gateway/exchange.h"

#include "base/hex.h"
#include "events/nip19.h"

#include <algorithm>
#include <utility>

namespace nostril::client {

namespace {

int status_of(const QueryResult& result) {
  switch (result.failure) {
    case QueryFailure::NotOffered:
      return 404;
    case QueryFailure::NobodyListens:
    case QueryFailure::NotTaken:
    case QueryFailure::NoAnswer:
      return 503;
    case QueryFailure::Refused:
      return result.error ? error_code_info(result.error->code).http_status : 400;
    case QueryFailure::None:
      return 502;  // recorded, but broken off
    default:
      return 424;  // the node can't be trusted: repeating would pay it again
  }
}

std::string type_of(const QueryResult& result) {
  if (result.error) return std::string(to_string(result.error->code));
  if (result.failure == QueryFailure::NotOffered) return "model_not_found";
  if (result.failure == QueryFailure::None) return "incomplete_answer";
  return result.failure == QueryFailure::NoAnswer || result.failure == QueryFailure::NobodyListens
             ? "node_unavailable"
             : "verification_failed";
}

/// Whole seconds that the node asked for, upwards; else one.
std::uint64_t retry_after_s(const QueryResult& result) {
  const std::uint64_t wait_ms = result.error ? result.error->retry_after_ms : 0;
  return std::max<std::uint64_t>(1, wait_ms / 1000 + (wait_ms % 1000 == 0 ? 0 : 1));
}

std::string detail_of(const QueryResult& result) {
  if (!result.detail.empty()) return result.detail;
  return result.failure == QueryFailure::None ? "the answer broke off; see its record"
                                              : std::string(to_string(result.failure));
}

void write_brief(JsonWriter& w, const QueryResult& result, const VerifiedOffer& offer) {
  w.key("node").string(nip19::encode(nip19::Npub{offer.offer().node}));
  w.key("level").string(to_string(offer.verdict().level));
  w.key("simulated").boolean(offer.verdict().simulated);
  if (!result.record) return;
  w.key("status").string(to_string(result.record->status));
  w.key("cost").string(result.record->cost.to_string());
  w.key("spent").string(result.record->spent.to_string());
  w.key("asset").string(result.record->asset);
}

/// The engine's refusal in the application's language.
net::HttpResponse refusal_of(const Exchange& exchange) {
  const Protocol protocol = exchange.protocol();
  const auto body = Json::parse(exchange.engine_body);
  const std::string said = body ? error_text(*body) : std::string();
  const int status = exchange.head->status;
  return error_response(protocol,
                        {.status = status,
                         .type = status < 500 ? "invalid_request_error" : "engine_error",
                         .message = said.empty() ? "the engine refused" : said,
                         .final = status < 500 && status != 408 && status != 409 && status != 429});
}

}  // namespace

bool Exchange::passes() const {
  return stream && head && head->status == 200 &&
         (head->content_type.starts_with("text/event-stream") ||
          head->content_type.starts_with("application/x-ndjson"));
}

bool is_answer(const QueryResult& result) {
  return result.failure == QueryFailure::None && result.record &&
         (result.record->status == RecordStatus::Ok ||
          result.record->status == RecordStatus::Error);
}

ApiError error_of(const QueryResult& result) {
  ApiError out;
  out.status = status_of(result);
  out.type = type_of(result);
  out.message = detail_of(result);
  out.final = out.status < 500 && out.status != 429;
  if (out.status == 429 || out.status == 503) out.retry_after_s = retry_after_s(result);
  return out;
}

Proof proof_of(const QueryResult& result, const VerifiedOffer& offer) {
  JsonWriter full;
  full.begin_object();
  write_brief(full, result, offer);
  JsonWriter brief;
  brief.begin_object();
  write_brief(brief, result, offer);
  if (result.record_event) {
    full.key("record").raw(to_json(*result.record_event));
    brief.key("record").string(encode_hex(result.record_event->id));
  }
  if (result.receipt) {
    full.key("receipt").raw(to_json(*result.receipt));
    brief.key("receipt").string(encode_hex(result.receipt->id));
  }
  full.end_object();
  brief.end_object();
  return {std::move(full).take(), std::move(brief).take()};
}

net::HttpResponse response_of(Exchange& exchange, const QueryResult& result) {
  if (exchange.error) return error_response(exchange.protocol(), *exchange.error);
  if (!is_answer(result) || !exchange.head || exchange.part == nullptr) {
    return error_response(exchange.protocol(), error_of(result));
  }
  net::HttpResponse out;
  const bool native = speaks(exchange.part->offer->offer(), *exchange.route);
  if (exchange.head->status == 200) {
    auto body = exchange.part->form->whole(exchange.engine_body);
    if (!body) {
      return error_response(exchange.protocol(),
                            {.status = 422,
                             .type = "unreadable_answer",
                             .message = "the engine's answer has another form than was asked for"});
    }
    out = json_response(200, *std::move(body));
    if (native) out.headers = {{"Content-Type", exchange.head->content_type}};
  } else if (native) {
    out = {exchange.head->status,
           {{"Content-Type", exchange.head->content_type}},
           std::move(exchange.engine_body)};
  } else {
    out = refusal_of(exchange);
  }
  const VerifiedOffer& offer = *exchange.part->offer;
  out.headers.add("X-Nostril-Record", encode_hex(result.record_event->id));
  out.headers.add("X-Nostril-Cost", result.record->cost.to_string() + " " + result.record->asset);
  out.headers.add("X-Nostril-Node", nip19::encode(nip19::Npub{offer.offer().node}));
  out.headers.add("X-Nostril-Verification", std::string(to_string(offer.verdict().level)) +
                                                (offer.verdict().simulated ? "; simulated" : ""));
  return out;
}

}  // namespace nostril::client
