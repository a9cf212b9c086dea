#pragma once

#include "net/loop.h"
#include "net/server.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::test {

/// What a scripted engine does with one request.
struct EngineAnswer {
  enum class End : std::uint8_t {
    Whole,  ///< as HTTP wants it
    Cut,    ///< the connection is dropped after the last piece
    Hang,   ///< nothing more comes, the connection stays
  };

  int status = 200;
  std::string content_type = "text/event-stream";
  std::vector<std::string> pieces;  ///< of the body
  std::uint64_t piece_ms = 0;       ///< pause before each piece after the first; 0: all at once
  End end = End::Whole;
  bool silent = false;  ///< not even a head

  [[nodiscard]] std::string body() const;
};

struct EngineUsage {
  int input = 10;
  int cached = 0;
  int output = 0;
};

/// The stream of a healthy engine, with the quirks of real ones: a first delta with content:null,
/// a usage chunk with choices:[] after the finish chunk, [DONE].
[[nodiscard]] EngineAnswer stream_answer(const std::vector<std::string>& tokens, EngineUsage usage);
/// A healthy answer that is no stream.
[[nodiscard]] EngineAnswer plain_answer(const std::string& text, EngineUsage usage);
/// Refusal as real engines word it: JSON also when a stream was asked for.
[[nodiscard]] EngineAnswer refusal(int status, const std::string& message);
/// One SSE event with a delta of this text.
[[nodiscard]] std::string delta_event(const std::string& text);

/// An OpenAI-like engine that answers from a script, on the test's own loop.
class ScriptedEngine final : public net::ServerHandler {
 public:
  using Script = std::function<EngineAnswer(const net::HttpRequest& request)>;

  explicit ScriptedEngine(net::Loop& loop);
  ~ScriptedEngine() override;

  [[nodiscard]] std::string url() const;

  /// How completions are answered from now on.
  void set_answer(EngineAnswer answer);

  void set_script(Script script) { script_ = std::move(script); }

  /// `owned_by` of /v1/models and the members beside it, as an engine of that name writes them.
  void set_models(std::string json) { models_ = std::move(json); }

  /// What /version says, as vLLM does; empty: there is no such path.
  void set_version(std::string version) { version_ = std::move(version); }

  /// No listening socket, no connections; come_back() takes the same port.
  void go_away();
  void come_back();

  /// Requests of completions, answered or not.
  [[nodiscard]] std::size_t asked() const { return asked_; }

  [[nodiscard]] std::size_t running() const { return running_.size(); }

  /// Completions whose client went away before the end.
  [[nodiscard]] std::size_t aborted() const { return aborted_; }

  [[nodiscard]] const std::string& last_body() const { return last_body_; }

  [[nodiscard]] const net::HttpHeaders& last_headers() const { return last_headers_; }

  void on_http(net::ConnectionId id, const net::HttpRequest& request) override;
  void on_http_closed(net::ConnectionId id) override;

  bool accept_websocket(const net::PeerAddress&, const net::HttpRequest&) override { return false; }

 private:
  struct Run {
    EngineAnswer answer;
    std::size_t next = 0;
    net::TimerId timer = net::TimerId::None;
  };

  void step(net::ConnectionId id);

  net::Loop& loop_;
  std::unique_ptr<net::Server> server_;
  std::uint16_t port_ = 0;
  std::string models_;
  std::string version_ = "0.9.1";
  Script script_;
  std::map<net::ConnectionId, Run> running_;
  std::size_t asked_ = 0;
  std::size_t aborted_ = 0;
  std::string last_body_;
  net::HttpHeaders last_headers_;
};

inline constexpr std::string_view kTestModel = "test-model";

}  // namespace nostril::test
