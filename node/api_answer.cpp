#include "node/api_answer.h"

#include "base/json.h"
#include "base/log.h"
#include "node/endpoint.h"
#include "node/engine_request.h"
#include "node/exchange_store.h"
#include "node/form_body.h"
#include "settlement/price.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace nostril::node {

namespace {

constexpr std::string_view kEvents = "text/event-stream";
constexpr std::string_view kLines = "application/x-ndjson";
/// Clients ask for the signature as soon as they read it.
constexpr std::string_view kLastWord = "data: [DONE]";

std::uint64_t seconds_up(std::int64_t wait_ms) {
  constexpr std::int64_t kMsPerSecond = 1000;
  return static_cast<std::uint64_t>(
      std::max<std::int64_t>(1, (wait_ms + kMsPerSecond - 1) / kMsPerSecond));
}

ApiRefusal refusal_with(int status, std::string_view message) {
  return {status, api_error_type(status), message};
}

ApiRefusal come_again(int status, std::string_view message, std::int64_t wait_ms) {
  ApiRefusal out = refusal_with(status, message);
  out.headers.add("Retry-After", std::to_string(seconds_up(wait_ms)));
  return out;
}

/// Who comes too early is told when to come; who comes where nothing is served, that it may be
/// served elsewhere.
ApiRefusal to_api(const AnswerRefusal& refusal) {
  if (refusal.code == ErrorCode::Busy) {
    return come_again(refusal.retry_after_ms > 0 ? 429 : 503, refusal.message,
                      refusal.retry_after_ms);
  }
  if (refusal.code == ErrorCode::EngineRefused) return come_again(503, refusal.message, 0);
  return refusal_with(error_code_info(refusal.code).http_status, refusal.message);
}

/// Of an answer that ended before its time.
ApiRefusal why_ended(RecordStatus status, bool stopping) {
  if (stopping) return come_again(503, "this node ends; ask another", 0);
  if (status == RecordStatus::Unpaid) return refusal_with(402, "the credit is used up");
  return refusal_with(502, "the engine broke off");
}

ApiRefusal engine_refused(const ResponseHead& head) {
  return refusal_with(head.status, "the engine refused the request");
}

RequestId draw_request_id(Rng& rng) {
  RequestId out;
  rng.fill(out.bytes);
  return out;
}

/// The model that a request asks for.
Result<std::string, ApiRefusal> model_in(std::string_view path, std::string_view body) {
  const Endpoint* endpoint = find_endpoint(path);
  if (endpoint != nullptr && endpoint->is_form) {
    const auto form = parse_form_body(body);
    if (!form) return failure(refusal_with(400, to_string(RequestError::NotAForm)));
    const auto part = std::ranges::find_if(
        form->parts, [](const FormPart& each) { return each.name == "model" && !each.is_file; });
    if (part != form->parts.end()) return std::string(part->content);
  } else {
    const auto json = Json::parse(body);
    if (!json || !json->is_object()) {
      return failure(refusal_with(400, "the body must be a JSON object"));
    }
    if (const auto model = json->find_string("model")) return std::string(*model);
  }
  return failure(refusal_with(400, "the body must name a model"));
}

bool is_whole(RecordStatus status) {
  return status == RecordStatus::Ok || status == RecordStatus::Error;
}

}  // namespace

ApiAnswer::ApiAnswer(ApiContext context, std::shared_ptr<ApiWire> wire, std::function<void()> over)
    : context_(context), wire_(std::move(wire)), over_(std::move(over)) {}

// ---- The request --------------------------------------------------------------------------------

void ApiAnswer::begin(const net::HttpRequest& request, const net::PeerAddress& peer) {
  exchange_.method = request.method;
  exchange_.path = request.path;
  exchange_.received_at_s = context_.parts.clock.unix_s();
  exchange_.wire_request = sha256(request.body);
  for (ApiHook* hook : context_.hooks) hook->on_begin(exchange_);
  auto caller = context_.parts.access.admit(request, peer);
  if (!caller) {
    // Who sealed the request reads no answer that is not: the refusal is sealed, if it can be.
    (void)open_body(request);
    return refuse(caller.error());
  }
  exchange_.caller = *std::move(caller);
  auto body = open_body(request);
  if (!body) return refuse(body.error());
  exchange_.opened_request = sha256(*body);
  const auto place = place_of(*body);
  if (!place) return refuse(place.error());
  auto booking = context_.parts.access.book(exchange_.caller, place->offer, *body);
  if (!booking) return refuse(booking.error());
  hold_ = std::move(booking->hold);
  AnswerRequest asked;
  asked.id = draw_request_id(context_.parts.rng);
  asked.path = request.path;
  asked.body = *body;
  asked.hash = exchange_.wire_request;
  asked.line = exchange_.caller.line;
  asked.cache_salt = exchange_.caller.cache_salt;
  answering_ = std::make_shared<Answering>(place->services, place->queue, place->offer,
                                           std::move(booking->book));
  answering_->start(weak_from_this(), asked);
}

Result<std::string, ApiRefusal> ApiAnswer::open_body(const net::HttpRequest& request) {
  for (const ApiTransformMaker& maker : context_.transforms) {
    auto made = maker(request);
    if (!made) return failure(std::move(made.error()));
    if (*made) transforms_.push_back(*std::move(made));
  }
  std::string body = request.body;
  for (const auto& transform : transforms_) {
    auto opened = transform->open(request.path, std::move(body));
    if (!opened) return opened;
    body = *std::move(opened);
    ++opened_;
  }
  return body;
}

Result<ModelPlace, ApiRefusal> ApiAnswer::place_of(std::string_view body) {
  auto model = model_in(exchange_.path, body);
  if (!model) return failure(std::move(model.error()));
  exchange_.model = *std::move(model);
  auto place = context_.parts.models.find_model(exchange_.model);
  if (place) return *std::move(place);
  ApiRefusal refusal = refusal_with(404, "this node serves no such model at present");
  refusal.code = "model_not_found";
  return failure(std::move(refusal));
}

void ApiAnswer::on_closed() {
  closed_ = true;
  if (answering_) answering_->end_early(RecordStatus::ClientLost);
}

void ApiAnswer::on_drained() {
  if (answering_) answering_->pump();
}

void ApiAnswer::stop() {
  stopping_ = true;
  if (answering_) answering_->end_early(RecordStatus::EngineDied);
}

void ApiAnswer::on_changed() {
  if (answering_) answering_->pump();
}

// ---- The answer ---------------------------------------------------------------------------------

bool ApiAnswer::wants_more() const {
  return !started_ || wire_->pending_bytes() < context_.limits.unsent_bytes_max;
}

void ApiAnswer::on_bytes(std::string_view bytes) {
  const bool streamed = head_.status == 200 && (head_.content_type.starts_with(kEvents) ||
                                                head_.content_type.starts_with(kLines));
  if (streamed) {
    if (!started_) start_stream();
    stream(bytes);
  } else {
    broken_ = broken_ || whole_.size() + bytes.size() > context_.limits.whole_bytes_max;
    if (!broken_) whole_ += bytes;
  }
  if (broken_) answering_->end_early(RecordStatus::Error);
}

void ApiAnswer::start_stream() {
  started_ = true;
  exchange_.stream = true;
  exchange_.status = head_.status;
  headers_.add("Content-Type", head_.content_type);
  headers_.add("Cache-Control", "no-cache");
  begin_transforms(headers_);
  for (ApiHook* hook : context_.hooks) hook->add_headers(exchange_, headers_);
  if (!closed_) wire_->start_stream(head_.status, headers_);
}

void ApiAnswer::stream(std::string_view bytes) {
  std::string out;
  if (!seal(bytes, out)) {
    broken_ = true;
    return;
  }
  hash_.update(out);
  if (!held_.empty() || bytes.starts_with(kLastWord)) {
    held_ += out;
    return;
  }
  if (!closed_) wire_->write(out);
}

void ApiAnswer::begin_transforms(net::HttpHeaders& headers) {
  for (std::size_t i = opened_; i > 0; --i) {
    transforms_[i - 1]->begin(exchange_.status, exchange_.stream, headers);
  }
}

bool ApiAnswer::seal(std::string_view bytes, std::string& out) {
  std::string next(bytes);
  for (std::size_t i = opened_; i > 0; --i) {
    std::string sealed;
    if (!transforms_[i - 1]->seal(next, sealed)) return false;
    next = std::move(sealed);
  }
  out += next;
  return true;
}

/// What is left in each transform goes through those around it.
bool ApiAnswer::seal_rest(std::string& out) {
  std::string next;
  for (std::size_t i = opened_; i > 0; --i) {
    std::string sealed;
    ApiTransform& transform = *transforms_[i - 1];
    if (!transform.seal(next, sealed) || !transform.finish(sealed)) return false;
    next = std::move(sealed);
  }
  out += next;
  return true;
}

/// The body, its head and its hash, as they will leave.
void ApiAnswer::seal_whole(std::string_view plain) {
  std::string sealed;
  begin_transforms(headers_);
  if (!seal(plain, sealed) || !seal_rest(sealed)) {
    // Of what could not be sealed nothing is told.
    const net::HttpResponse response =
        to_response(refusal_with(500, "the answer could not be encrypted"));
    exchange_.status = response.status;
    headers_ = response.headers;
    sealed = response.body;
  }
  whole_ = std::move(sealed);
  hash_ = {};
  if (!closed_) hash_.update(whole_);
}

bool ApiAnswer::may_tell_errors() const {
  return std::ranges::all_of(transforms_,
                             [](const auto& transform) { return transform->hides_errors(); });
}

void ApiAnswer::drop_unsent() {
  whole_.clear();
}

/// Nobody can be asked for a receipt in the middle of an HTTP answer.
void ApiAnswer::on_receipt_needed(const Event& /*record*/) {
  answering_->end_early(RecordStatus::Unpaid);
}

void ApiAnswer::on_ending(RecordStatus status, const EngineOutcome& outcome) {
  exchange_.answer_id = outcome.answer_id;
  if (started_) {
    if (!is_whole(status) || broken_) {
      held_.clear();
      stream_error(broken_ ? refusal_with(500, "the answer could not be encrypted")
                           : why_ended(status, stopping_));
    }
    std::string rest;
    if (!broken_ && seal_rest(rest)) {
      hash_.update(rest);
      held_ += rest;
    }
    return;
  }
  if (is_whole(status) && !broken_ && head_.status != 0) {
    if (head_.status != 200 && !may_tell_errors()) whole_ = to_response(engine_refused(head_)).body;
    exchange_.status = head_.status;
    headers_.add("Content-Type", head_.content_type);
    seal_whole(whole_);
    return;
  }
  const net::HttpResponse response =
      to_response(broken_ ? refusal_with(502, "the engine's answer is too large")
                          : why_ended(status, stopping_));
  exchange_.status = response.status;
  headers_ = response.headers;
  seal_whole(response.body);
}

/// Ends whatever event the stream broke off in.
void ApiAnswer::stream_error(const ApiRefusal& refusal) {
  if (!head_.content_type.starts_with(kEvents) || closed_) return;
  const std::string event = "\n\ndata: " + to_response(refusal).body + "\n\n";
  std::string out;
  if (broken_) {
    out = event;  // it holds nothing of the answer
  } else if (!seal(event, out)) {
    return;
  }
  hash_.update(out);
  held_ += out;
}

void ApiAnswer::add_changes(const ResponseRecord& record, const Event& event,
                            std::vector<client::JournalChange>& changes) {
  exchange_.forwarded = answering_->forwarded_hash();
  exchange_.record = &record;
  exchange_.record_event = &event;
  if (hold_) hold_->settle(record, changes);
  keep(changes);
  exchange_.record = nullptr;
  exchange_.record_event = nullptr;
}

void ApiAnswer::keep(std::vector<client::JournalChange>& changes) {
  exchange_.wire_response = hash_.peek();
  Exchange kept;
  kept.id = exchange_.answer_id;
  kept.receipt_id = exchange_.receipt_id;
  kept.caller = exchange_.caller.id;
  kept.at_s = context_.parts.clock.unix_s();
  kept.model = exchange_.model;
  kept.request = exchange_.wire_request;
  kept.response = exchange_.wire_response;
  if (!kept.id.empty()) kept.signatures = sign_exchange(kept, context_.parts.signer);
  for (ApiHook* hook : context_.hooks) hook->on_finish(exchange_, &kept, changes);
  if (kept.id.empty() && kept.receipt_id.empty()) return;
  for (client::JournalChange& change : context_.parts.store.put(std::move(kept))) {
    changes.push_back(std::move(change));
  }
}

void ApiAnswer::on_end(const ResponseRecord& record, const Event& event) {
  if (started_) {
    if (!closed_) {
      wire_->write(held_);
      wire_->end_stream();
    }
    return over();
  }
  exchange_.record = &record;
  exchange_.record_event = &event;
  for (ApiHook* hook : context_.hooks) hook->add_headers(exchange_, headers_);
  exchange_.record = nullptr;
  exchange_.record_event = nullptr;
  if (!closed_) wire_->respond({exchange_.status, headers_, std::move(whole_)});
  over();
}

void ApiAnswer::on_refused(const AnswerRefusal& refusal) {
  if (started_) {
    // Without a record the stream must not look whole.
    if (!closed_) wire_->drop();
    return over();
  }
  refuse(to_api(refusal));
}

/// Without a record; receipts are kept of refusals, too.
void ApiAnswer::refuse(const ApiRefusal& refusal) {
  net::HttpResponse response = to_response(refusal);
  exchange_.status = response.status;
  headers_ = std::move(response.headers);
  seal_whole(response.body);
  std::vector<client::JournalChange> changes;
  keep(changes);
  if (!changes.empty() && !context_.parts.journal.commit(std::move(changes), {})) {
    log(LogLevel::Warning, "the journal is full; nothing is kept of a refusal");
  }
  for (ApiHook* hook : context_.hooks) hook->add_headers(exchange_, headers_);
  if (!closed_) wire_->respond({exchange_.status, headers_, std::move(whole_)});
  over();
}

void ApiAnswer::over() {
  if (over_) std::exchange(over_, nullptr)();
}

}  // namespace nostril::node
