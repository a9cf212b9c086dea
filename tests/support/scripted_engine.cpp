#include "tests/support/scripted_engine.h"

#include "base/json.h"

#include <utility>

namespace nostril::test {

namespace {

void write_usage(JsonWriter& w, EngineUsage usage) {
  w.key("usage").begin_object();
  w.key("prompt_tokens").integer(usage.input).key("completion_tokens").integer(usage.output);
  w.key("total_tokens").integer(usage.input + usage.output);
  w.key("prompt_tokens_details").begin_object();
  w.key("cached_tokens").integer(usage.cached).end_object();
  w.end_object();
}

JsonWriter chunk(std::string_view object) {
  JsonWriter w;
  w.begin_object().key("id").string("cmpl-1").key("object").string(object);
  w.key("created").integer(1700000000).key("model").string(kTestModel);
  return w;
}

std::string event(JsonWriter w) {
  return "data: " + std::move(w).take() + "\n\n";
}

}  // namespace

std::string EngineAnswer::body() const {
  std::string out;
  for (const std::string& piece : pieces) out += piece;
  return out;
}

std::string delta_event(const std::string& text) {
  JsonWriter w = chunk("chat.completion.chunk");
  w.key("choices").begin_array().begin_object().key("index").integer(0);
  w.key("delta").begin_object().key("content").string(text).end_object();
  w.key("finish_reason").null().end_object().end_array().end_object();
  return event(std::move(w));
}

EngineAnswer stream_answer(const std::vector<std::string>& tokens, EngineUsage usage) {
  EngineAnswer out;
  JsonWriter first = chunk("chat.completion.chunk");
  first.key("choices").begin_array().begin_object().key("index").integer(0);
  first.key("delta").begin_object().key("role").string("assistant").key("content").null();
  first.end_object().key("finish_reason").null().end_object().end_array().end_object();
  out.pieces.push_back(event(std::move(first)));
  for (const std::string& token : tokens) out.pieces.push_back(delta_event(token));
  JsonWriter last = chunk("chat.completion.chunk");
  last.key("choices").begin_array().begin_object().key("index").integer(0);
  last.key("delta").begin_object().end_object().key("finish_reason").string("stop");
  last.end_object().end_array().end_object();
  out.pieces.push_back(event(std::move(last)));
  JsonWriter counted = chunk("chat.completion.chunk");
  counted.key("choices").begin_array().end_array();
  write_usage(counted, usage);
  counted.end_object();
  out.pieces.push_back(event(std::move(counted)));
  out.pieces.emplace_back("data: [DONE]\n\n");
  return out;
}

EngineAnswer plain_answer(const std::string& text, EngineUsage usage) {
  EngineAnswer out;
  out.content_type = "application/json";
  JsonWriter w = chunk("chat.completion");
  w.key("choices").begin_array().begin_object().key("index").integer(0);
  w.key("message").begin_object().key("role").string("assistant").key("content").string(text);
  w.end_object().key("finish_reason").string("stop").end_object().end_array();
  write_usage(w, usage);
  w.end_object();
  out.pieces.push_back(std::move(w).take());
  return out;
}

EngineAnswer refusal(int status, const std::string& message) {
  EngineAnswer out;
  out.status = status;
  out.content_type = "application/json; charset=utf-8";
  JsonWriter w;
  w.begin_object().key("error").begin_object().key("code").integer(status);
  w.key("message").string(message).key("type").string("invalid_request_error");
  w.end_object().end_object();
  out.pieces.push_back(std::move(w).take());
  return out;
}

ScriptedEngine::ScriptedEngine(net::Loop& loop) : loop_(loop) {
  come_back();
  port_ = server_->local_port();
  set_models(R"({"object":"list","data":[{"id":")" + std::string(kTestModel) +
             R"(","object":"model","owned_by":"vllm","max_model_len":4096}]})");
  set_answer(plain_answer("hello", {10, 0, 1}));
}

ScriptedEngine::~ScriptedEngine() {
  for (const auto& [id, run] : running_) loop_.cancel(run.timer);
}

std::string ScriptedEngine::url() const {
  return "http://127.0.0.1:" + std::to_string(port_);
}

void ScriptedEngine::set_answer(EngineAnswer answer) {
  script_ = [answer = std::move(answer)](const net::HttpRequest&) { return answer; };
}

void ScriptedEngine::go_away() {
  for (const auto& [id, run] : running_) loop_.cancel(run.timer);
  running_.clear();
  server_.reset();
}

void ScriptedEngine::come_back() {
  net::ListenConfig config;
  config.port = port_;
  server_ = std::make_unique<net::Server>(loop_, *this, config);
}

void ScriptedEngine::on_http(net::ConnectionId id, const net::HttpRequest& request) {
  if (request.path == "/v1/models") {
    server_->respond(id, {200, {{"Content-Type", "application/json"}}, models_});
    return;
  }
  if (request.path == "/version") {
    const bool known = !version_.empty();
    server_->respond(id, {known ? 200 : 404,
                          {{"Content-Type", "application/json"}},
                          R"({"version":")" + version_ + "\"}"});
    return;
  }
  ++asked_;
  last_body_ = request.body;
  last_headers_ = request.headers;
  Run run{script_(request)};
  const bool silent = run.answer.silent;
  running_.insert_or_assign(id, std::move(run));
  if (silent) return;
  const EngineAnswer& answer = running_.at(id).answer;
  server_->start_stream(id, answer.status, {{"Content-Type", answer.content_type}});
  step(id);
}

void ScriptedEngine::step(net::ConnectionId id) {
  const auto found = running_.find(id);
  if (found == running_.end()) return;
  Run& run = found->second;
  while (run.next < run.answer.pieces.size()) {
    server_->write_stream(id, run.answer.pieces[run.next++]);
    if (run.answer.piece_ms == 0) continue;
    run.timer = loop_.after(run.answer.piece_ms, [this, id] { step(id); });
    return;
  }
  if (run.answer.end == EngineAnswer::End::Hang) return;
  const bool cut = run.answer.end == EngineAnswer::End::Cut;
  running_.erase(found);
  if (cut) {
    // After a pause, so that what was written has left.
    loop_.after(30, [this, id] {
      if (server_) server_->drop(id);
    });
  } else {
    server_->end_stream(id);
  }
}

void ScriptedEngine::on_http_closed(net::ConnectionId id) {
  const auto found = running_.find(id);
  if (found == running_.end()) return;
  loop_.cancel(found->second.timer);
  running_.erase(found);
  ++aborted_;
}

}  // namespace nostril::test
