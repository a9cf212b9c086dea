#include "client/chat.h"

#include "client/cli/answer_output.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/show.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <csignal>
#include <filesystem>

namespace nostril::client::cli {

namespace {

constexpr std::uint64_t kPublishTurnMs = 50;
constexpr int kPublishTurnsMax = 40;

/// A proof of fraud that was found is worth a moment.
void leave(Process& process, ClientHome& home, int turns = kPublishTurnsMax) {
  if (turns == 0 || home.reputation_feed().publishing() == 0) {
    process.loop.stop();
    return;
  }
  process.loop.after(kPublishTurnMs, [&process, &home, turns] { leave(process, home, turns - 1); });
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
  const std::string body = chat_body({.model = options.model,
                                      .system = options.system,
                                      .question = options.question,
                                      .tokens_max = options.tokens_max});

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
    leave(process, home);
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

void add_chat(CLI::App& app, Options& o, Command& run) {
  auto* chat_app =
      app.add_subcommand("chat", "ask one question; nothing is sent before the verdict");
  add_client(*chat_app, o.client, o.home);
  chat_app->add_option("-m,--model", o.chat.model, "any verified node's when not given");
  chat_app->add_option("--system", o.chat.system, "system message");
  chat_app->add_option("--max-tokens", o.chat.tokens_max)
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  chat_app->add_option("--save", o.chat.save, "folder for request, response, record and receipt");
  chat_app->add_flag("--durable", o.chat.durable,
                     "the node goes on should we be lost; `nostril pickup` fetches the answer");
  chat_app->add_flag("--quiet", o.chat.quiet,
                     "hide when and how much is said: frames of one size at a fixed rate");
  chat_app->add_flag("--detach", o.chat.detach,
                     "leave once the node has the request; `nostril pickup` fetches the answer");
  chat_app->add_option("question", o.chat.question)->required();
  chat_app->callback(
      [&] { run = [&o](Process& process) { return chat(process, settings_of(o), o.chat); }; });
}

}  // namespace nostril::client::cli
