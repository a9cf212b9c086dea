#include "base/hex.h"
#include "client/cli/answer_output.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/show.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <utility>

namespace nostril::client::cli {

namespace {

void say_failure(const QueryResult& result) {
  const std::string why = result.error ? result.error->message : result.detail;
  fmt::print(stderr, "nostril: {}: {}\n", to_string(result.failure), why);
}

/// One after the other: their answers go to one standard output.
class Fetching {
 public:
  Fetching(Process& process, ClientHome& home, const PickupOptions& options)
      : process_(process), home_(home), options_(options), pending_(home.pending().all()) {}

  [[nodiscard]] int status() const { return status_; }

  void next() {
    if (at_ == pending_.size()) {
      process_.loop.stop();
      return;
    }
    PendingAnswer& pending = pending_[at_];
    fmt::print(stderr, "request  {} of {}\n", encode_hex(pending.request), pending.offer.model);
    request_ = pending.request;
    body_ = pending.body;
    current_ = home_.pick_up(std::move(pending), [this](const PickedUp& got) { on_done(got); });
    current_->start();
  }

 private:
  void on_done(const PickedUp& got) {
    const bool good = got.result.failure == QueryFailure::None && got.result.record;
    if (good) {
      AnswerPrinter printer;
      printer.feed(as_bytes(got.body));
      printer.end();
      fmt::print(stderr, "\n{}from     {}\n", result_lines(got.result),
                 got.stored ? "relays that stored it" : "the node");
      if (!options_.save.empty()) {
        save_answer(std::filesystem::path(options_.save) / encode_hex(request_), body_, got.body,
                    got.result);
      }
    } else {
      say_failure(got.result);
    }
    if (good && got.receipt_delivered) {
      home_.pending().remove(request_);
    } else {
      status_ = 1;
      if (good) fmt::print(stderr, "the node was not reached to be paid; pick up again later\n");
    }
    ++at_;
    // In a later turn: this one belongs to what was fetched.
    process_.loop.after(0, [this] { next(); });
  }

  Process& process_;
  ClientHome& home_;
  const PickupOptions& options_;
  std::vector<PendingAnswer> pending_;
  std::size_t at_ = 0;
  RequestId request_;
  std::string body_;
  std::shared_ptr<Pickup> current_;
  int status_ = 0;
};

int list(const PickupStore& store) {
  for (const PendingAnswer& pending : store.all()) {
    fmt::print("{} {} {}\n", encode_hex(pending.request), pending.sent_at_s, pending.offer.model);
  }
  return 0;
}

}  // namespace

int pickup(Process& process, const ClientSettings& settings, const PickupOptions& options) {
  if (options.list) return list(PickupStore(settings.home / "pickup"));
  ClientHome home(settings, process.loop, process.clock, process.rng);
  Fetching fetching(process, home, options);
  process.loop.after(0, [&] { fetching.next(); });
  process.loop.on_signal(SIGINT, [&] { process.loop.stop(); });
  process.loop.on_signal(SIGTERM, [&] { process.loop.stop(); });
  process.loop.run();
  return fetching.status();
}

void add_pickup(CLI::App& app, Options& o, Command& run) {
  auto* pickup_app = app.add_subcommand(
      "pickup", "fetch, check and pay answers of `chat --durable` and `--detach`");
  add_client(*pickup_app, o.client, o.home);
  pickup_app->add_option("--save", o.pickup.save,
                         "folder for the answers, their records and receipts");
  pickup_app->add_flag("--list", o.pickup.list, "only say what waits");
  pickup_app->callback(
      [&] { run = [&o](Process& process) { return pickup(process, settings_of(o), o.pickup); }; });
}

}  // namespace nostril::client::cli
