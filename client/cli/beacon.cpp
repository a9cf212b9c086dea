#include "events/beacon.h"

#include "base/hex.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/key_file.h"
#include "events/nip19.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <stdexcept>

namespace nostril::client::cli {

namespace {

Event make_beacon(Process& process, const Keypair& witness) {
  Digest random;
  process.rng.fill(random.bytes);
  return sign_event(build_beacon(process.clock.unix_s(), random), witness, process.rng);
}

void say_refusals(const PublishResult& result) {
  for (const std::string& refusal : result.refusals) {
    fmt::print(stderr, "nostril: {}\n", refusal);
  }
}

}  // namespace

int beacon(Process& process, const BeaconOptions& options) {
  const auto witness = read_key_file(options.key_file);
  if (!witness) throw std::runtime_error(witness.error());
  RelayPool pool(process.loop, process.clock, {}, options.ca_file);
  for (const std::string& relay : options.relays) {
    if (!pool.add_relay(relay)) throw std::runtime_error(relay + ": not a relay's URL");
  }
  int status = 0;
  if (options.once) {
    const Event event = make_beacon(process, *witness);
    fmt::print("{}\n", to_json(event));
    if (options.relays.empty()) return 0;
    const bool sent = pool.publish(event, [&](const PublishResult& result) {
      status = result.accepted ? 0 : 1;
      if (!result.accepted) say_refusals(result);
      process.loop.stop();
    });
    if (!sent) return 1;
    process.loop.run();
    return status;
  }
  const auto beat = [&] {
    // One that can't be queued is lost: the next says more.
    static_cast<void>(pool.publish(make_beacon(process, *witness), [](const PublishResult& result) {
      if (!result.accepted) say_refusals(result);
    }));
  };
  const auto stop = [&process] { process.loop.stop(); };
  process.loop.on_signal(SIGTERM, stop);
  process.loop.on_signal(SIGINT, stop);
  process.loop.every(static_cast<std::uint64_t>(options.period_s) * 1000, beat);
  beat();
  fmt::print("a beacon by {} each {} s\n", nip19::encode(nip19::Npub{witness->public_key()}),
             options.period_s);
  std::fflush(stdout);
  process.loop.run();
  return 0;
}

void add_beacon(CLI::App& app, Options& o, Command& run) {
  auto* group = app.add_subcommand("beacon", "a witness' word of the time, for fresh evidence");
  group->require_subcommand(1);
  const auto add = [&](const char* name, const char* what, bool once) {
    auto* sub = group->add_subcommand(name, what);
    sub->add_option("--key", o.beacon.key_file, "key file of the witness")->required();
    add_relays(*sub, o.beacon.relays, o.beacon.ca_file, !once);
    sub->callback([&o, &run, once] {
      o.beacon.once = once;
      run = [&o](Process& process) { return beacon(process, o.beacon); };
    });
    return sub;
  };
  add("run", "publish one each minute until SIGTERM", false)
      ->add_option("--period", o.beacon.period_s, "seconds between two")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  add("once", "sign one and print it; with --relay publish it", true);
}

}  // namespace nostril::client::cli
