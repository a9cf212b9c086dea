#include "base/json.h"
#include "client/cli/answer_output.h"
#include "client/cli/commands.h"
#include "client/cli/show.h"

#include <fmt/format.h>

#include <csignal>
#include <filesystem>

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
      save_answer(folder, sent_body, response, result);
      save_file(folder / "verdict.txt", verdict_text);
    }
    process.loop.stop();
  };
  callbacks.on_delivered = [&] {
    if (!options.detach) return;
    fmt::print(stderr, "the node has the request; fetch its answer with: nostril pickup\n");
    status = 0;
    process.loop.stop();
  };
  const AskId ask =
      home.asker().ask(options.model, kChatPath, body, std::move(callbacks),
                       {.durable = options.durable || options.detach, .quiet = options.quiet});
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
  home.finish_paying();
  return status;
}

}  // namespace nostril::client::cli
