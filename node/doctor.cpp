#include "node/doctor.h"

#include "base/log.h"
#include "node/listen_checks.h"
#include "node/network_checks.h"

#include <fmt/core.h>

#include <unistd.h>

#include <utility>

namespace nostril::node {

namespace {

void show_progress(std::string_view what) {
  if (isatty(STDERR_FILENO) == 0) return;
  fmt::print(stderr, "\r\033[K{}",
             what.empty() ? std::string() : fmt::format("looking at {} …", what));
}

void show(const Findings& findings, bool json) {
  if (json) {
    fmt::print("{}\n", to_json(findings));
    return;
  }
  const bool colours = isatty(STDOUT_FILENO) != 0;
  for (const Finding& finding : findings) fmt::print("{}", to_text(finding, colours));
}

Findings examine_file(const std::string& path) {
  NodeConfig values;
  try {
    values = NodeConfig::read(path);
  } catch (const ConfigError& error) {
    return {{"settings", Health::Wrong, error.what(), "mend the configuration file"}};
  }
  SystemClock clock;
  SystemRng rng;
  net::Loop loop;
  Judge judge;
  judge.now_s = clock.unix_s();
  return examine_node(values, judge, loop, clock, rng, show_progress);
}

}  // namespace

Findings examine_node(const NodeConfig& config, const Judge& judge, net::Loop& loop, Clock& clock,
                      Rng& rng, const std::function<void(std::string_view)>& begin) {
  Findings out = check_settings(config);
  const auto add = [&out](Findings more) {
    for (Finding& finding : more) out.push_back(std::move(finding));
  };
  begin("the TEE and its evidence");
  const bool has_tee = !tee_interfaces(config.evidence_settings().paths).empty();
  add(check_evidence(config, judge, rng));
  begin("GPUs");
  add({check_gpus(config.tee.nvml_library, has_tee)});
  begin("the engines");
  add(check_engines(config, loop));
  begin("the relays and the clock");
  add(check_relays(config, loop, clock, rng));
  begin("what settles");
  add(check_settlement(config, loop, clock, rng));
  begin("where it listens");
  add(check_listeners(config, judge.now_s));
  begin("the disk");
  add(check_data(config.data));
  add({check_journal(config.data, loop)});
  begin({});
  return out;
}

int doctor(const std::string& path, bool json) {
  set_log_level(LogLevel::Warning);
  const Findings findings = examine_file(path);
  show(findings, json);
  return exit_status(worst(findings));
}

}  // namespace nostril::node
