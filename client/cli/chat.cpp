#include "base/hex.h"
#include "base/json.h"
#include "client/cli/commands.h"
#include "client/cli/show.h"
#include "net/sse.h"

#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace nostril::client::cli {

namespace {

constexpr const char* kChatPath = "/v1/chat/completions";

std::string chat_body(const ChatOptions& options) {
  JsonWriter w;
  w.begin_object();
  w.key("model").string(options.model);
  w.key("messages").begin_array();
  if (!options.system.empty()) {
    w.begin_object()
        .key("role")
        .string("system")
        .key("content")
        .string(options.system)
        .end_object();
  }
  w.begin_object().key("role").string("user").key("content").string(options.question).end_object();
  w.end_array();
  w.key("max_tokens").integer(options.tokens_max);
  w.key("temperature").integer(0);
  w.key("stream").boolean(true);
  w.end_object();
  return std::move(w).take();
}

/// Prints the words of a streamed answer as they come. Control characters but newline and tab are
/// replaced: an answer must not drive the terminal.
class AnswerPrinter {
 public:
  void feed(ByteSpan bytes) {
    std::vector<net::SseEvent> events;
    if (!parser_.feed(as_text(bytes), events)) return;
    for (const net::SseEvent& event : events) {
      const auto chunk = Json::parse(event.data);
      if (!chunk) continue;
      const Json* choices = chunk->find("choices");
      if (choices == nullptr || choices->items().empty()) continue;
      const Json* delta = choices->items().front().find("delta");
      if (const auto text = delta == nullptr ? std::nullopt : delta->find_string("content")) {
        print(*text);
      }
    }
  }

  void end() const {
    if (printed_) fmt::print("\n");
    std::fflush(stdout);
  }

 private:
  void print(std::string_view text) {
    std::string clean(text);
    for (char& c : clean) {
      const auto byte = static_cast<unsigned char>(c);
      if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) c = '?';
    }
    fmt::print("{}", clean);
    std::fflush(stdout);
    printed_ = printed_ || !clean.empty();
  }

  net::SseParser parser_;
  bool printed_ = false;
};

void save(const std::filesystem::path& folder, const char* name, std::string_view text) {
  std::ofstream file(folder / name, std::ios::binary | std::ios::trunc);
  file << text;
  if (!file.flush()) throw std::runtime_error((folder / name).string() + ": can't be written");
}

}  // namespace

int chat(Process& process, const ClientSettings& settings, const ChatOptions& options) {
  ClientHome home(settings, process.loop, process.clock, process.rng);
  AnswerPrinter printer;
  std::string response;
  std::string sent_body;
  std::string verdict_text;
  EventId offer_id;
  int status = 1;
  const std::string body = chat_body(options);

  AskCallbacks callbacks;
  callbacks.on_offer = [&](const VerifiedOffer& offer) {
    fmt::print(stderr, "{}\n", offer_lines(offer));
    verdict_text = attestation::explain(offer.verdict());
    sent_body = with_model(body, offer.offer().model);
    offer_id = offer.offer().id;
  };
  callbacks.on_data = [&](ByteSpan bytes) {
    response += as_text(bytes);
    printer.feed(bytes);
  };
  callbacks.on_progress = [](const ProgressFrame& progress) {
    if (progress.stage == ProgressStage::Queued) {
      fmt::print(stderr, "waiting behind {} requests\n", progress.position);
    }
  };
  callbacks.on_end = [&](const QueryResult& result) {
    printer.end();
    fmt::print(stderr, "\n{}", result_lines(result));
    if (result.verified()) {
      status = 0;
    } else {
      std::string why = result.detail;
      if (why.empty() && result.record) {
        why = "the answer ended as " + std::string(to_string(result.record->status));
        // An engine's refusal is its own JSON: show it.
        if (result.record->status == RecordStatus::Error) why += ": " + response.substr(0, 500);
      }
      if (result.failure != QueryFailure::None) {
        fmt::print(stderr, "nostril: {}: {}\n", to_string(result.failure), why);
      } else {
        fmt::print(stderr, "nostril: {}\n", why);
      }
    }
    if (!options.save.empty()) {
      const std::filesystem::path folder = options.save;
      std::filesystem::create_directories(folder);
      save(folder, "request.json", sent_body);
      save(folder, "response.txt", response);
      save(folder, "verdict.txt", verdict_text);
      if (result.record_event) save(folder, "record.json", to_json(*result.record_event) + "\n");
      if (result.receipt) save(folder, "receipt.json", to_json(*result.receipt) + "\n");
    }
    process.loop.stop();
  };
  const AskId ask = home.asker().ask(options.model, kChatPath, body, std::move(callbacks));
  // The first Ctrl-C stops the engine and waits for the record; the second one does not wait.
  int interrupts = 0;
  const auto interrupt = [&] {
    if (++interrupts > 1) {
      process.loop.stop();
      return;
    }
    fmt::print(stderr, "\nstopping the answer (again: leave at once)\n");
    home.asker().cancel(ask, "interrupted by the user");
  };
  process.loop.on_signal(SIGINT, interrupt);
  process.loop.on_signal(SIGTERM, interrupt);
  process.loop.run();
  return status;
}

}  // namespace nostril::client::cli
