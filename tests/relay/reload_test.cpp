#include "relay/reload.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nostril::relay::test {
namespace {

using Keys = std::vector<std::string>;

RelayConfig read(const std::string& toml) {
  RelayConfig out;
  Config config;
  out.declare(config);
  config.load_text(toml, "test.toml");
  return out;
}

TEST(PlanReload, TakesWhatMayChangeAndNamesTheRest) {
  const RelayConfig running = read("");
  RelayConfig wanted = read(
      "listen = \"127.0.0.1:1\"\nlog_level = \"debug\"\n[info]\nname = \"x\"\n[threads]\nloops = "
      "3\n"
      "[limits]\nlimit_max = 7\nqueries_queued_max = 9\n[auth]\nto_read = true\n");
  const Config::Change change = plan_reload(wanted, running);
  EXPECT_EQ(change.taken, (Keys{"log_level", "info.name", "limits.limit_max", "auth.to_read"}));
  EXPECT_EQ(change.needs_restart, (Keys{"listen", "threads.loops", "limits.queries_queued_max"}));
  EXPECT_EQ(wanted.listen, running.listen);
  EXPECT_EQ(wanted.threads.loops, running.threads.loops);
  EXPECT_EQ(wanted.limits.limit_max, 7);
  EXPECT_TRUE(wanted.auth.to_read);
}

// A name in its list that no key has would say nothing: each is tried.
TEST(PlanReload, TakesTheLimitsOfConnections) {
  RelayConfig wanted = read(
      "[limits]\ncontent_chars_max = 70000\nevents_burst_max = 7\nfaults_a_second_max = "
      "9\nfaults_burst_max = 8\n");
  const Config::Change change = plan_reload(wanted, read(""));
  EXPECT_EQ(change.taken, (Keys{"limits.content_chars_max", "limits.events_burst_max",
                                "limits.faults_a_second_max", "limits.faults_burst_max"}));
  EXPECT_EQ(change.needs_restart, Keys{});
}

TEST(PlanReload, TlsIsRenewedButNeitherBegunNorEnded) {
  RelayConfig renewed = read("tls_certificate = \"b.pem\"\ntls_key = \"b.key\"\n");
  EXPECT_EQ(plan_reload(renewed, read("tls_certificate = \"a.pem\"\ntls_key = \"a.key\"\n")).taken,
            (Keys{"tls_certificate", "tls_key"}));
  RelayConfig begun = read("tls_certificate = \"b.pem\"\ntls_key = \"b.key\"\n");
  EXPECT_EQ(plan_reload(begun, read("")).needs_restart, (Keys{"tls_certificate", "tls_key"}));
  EXPECT_EQ(begun.tls_key, "");
}

TEST(PlanReload, TablesKeepTheirRunningItemsAndAreNamed) {
  const std::string mirror = "[[mirror]]\nurl = \"ws://127.0.0.1:1\"\n";
  const RelayConfig running = read(mirror);
  RelayConfig same = read(mirror);
  EXPECT_EQ(plan_reload(same, running).needs_restart, Keys{});
  RelayConfig changed = read("[[mirror]]\nurl = \"ws://127.0.0.1:2\"\n");
  EXPECT_EQ(plan_reload(changed, running).needs_restart, Keys{"mirror"});
  EXPECT_EQ(changed.mirrors.front().url, "ws://127.0.0.1:1");
  RelayConfig gone = read("[[plugins]]\ncommand = [\"/bin/true\"]\n[info]\nname = \"x\"\n");
  const Config::Change change = plan_reload(gone, running);
  EXPECT_EQ(change.taken, Keys{"info.name"});
  EXPECT_EQ(change.needs_restart, (Keys{"plugins", "mirror"}));
  EXPECT_EQ(gone.mirrors.size(), 1U);
  EXPECT_TRUE(gone.guard.plugins.empty());
}

TEST(PlanReload, AnEqualFileChangesNothing) {
  RelayConfig wanted = read("[info]\nname = \"x\"\n");
  const Config::Change change = plan_reload(wanted, read("[info]\nname = \"x\"\n"));
  EXPECT_EQ(change.taken, Keys{});
  EXPECT_EQ(change.needs_restart, Keys{});
}

TEST(RelayConfig, HasTheAddressOfItsPortWhereOnlyThisMachineReachesIt) {
  using Places = std::vector<net::HostPort>;
  const auto address_of = [](const std::string& toml, Places listening = {}) {
    RelayConfig config = read(toml);
    config.listening = std::move(listening);
    return config.address();
  };
  const auto local = RelayAddress::on_loopback(7447);
  EXPECT_EQ(address_of(""), local);
  EXPECT_EQ(address_of("listen = \"localhost:7447\"\n"), local);
  EXPECT_EQ(address_of("listen = \"[::1]:7447\"\n"), local);
  EXPECT_EQ(address_of("url = \"wss://r.example\"\n"), RelayAddress::of("wss://r.example"));
  // What others reach, and what somebody stands before.
  for (const char* toml :
       {"listen = \"0.0.0.0:7447\"\n", "listen = \"[::]:7447\"\n", "listen = \"10.0.0.1:7447\"\n",
        "[proxy]\ntrusted = [\"127.0.0.1\"]\n", "[cluster]\nname = \"one\"\n"}) {
    EXPECT_EQ(address_of(toml), std::nullopt) << toml;
  }
  // The sockets say it, not the file: of those that the relay was started with it knows nothing.
  EXPECT_EQ(address_of("listen = \"127.0.0.1:0\"\n", {{"127.0.0.1", 7447}}), local);
  EXPECT_EQ(address_of("listen = \"0.0.0.0:1\"\n", {{"127.0.0.1", 7447}, {"::1", 7447}}), local);
  EXPECT_EQ(address_of("", {{"127.0.0.1", 7447}, {"::", 7447}}), std::nullopt);
  EXPECT_EQ(address_of("", {{"127.0.0.1", 7447}, {"127.0.0.1", 7448}}), std::nullopt);
}

TEST(RelayConfig, RefusesWhatNeedsAnAddressWithoutOne) {
  const std::string key = "[admin]\nkeys = [\"" + std::string(64, 'a') + "\"]\n";
  for (const std::string& toml : {std::string("[auth]\nto_read = true\n"),
                                  std::string("[membership]\nenabled = true\n"), key}) {
    EXPECT_NO_THROW(read(toml).check()) << toml;
    EXPECT_THROW(read("listen = \"0.0.0.0:7447\"\n" + toml).check(), ConfigError) << toml;
    EXPECT_NO_THROW(read("listen = \"0.0.0.0:7447\"\nurl = \"wss://r.example\"\n" + toml).check())
        << toml;
  }
}

TEST(AdminRules, NamesTheRelayAsSignersMay) {
  const std::string key = "[admin]\nkeys = [\"" + std::string(64, 'a') + "\"]\n";
  EXPECT_EQ(
      read("url = \"wss://r.example\"\n" + key).admin_rules().urls,
      (Keys{"https://r.example", "https://r.example/", "wss://r.example", "wss://r.example/"}));
  EXPECT_EQ(read("url = \"ws://r.example:7/a\"\n" + key).admin_rules().urls,
            (Keys{"http://r.example:7/a", "http://r.example:7", "http://r.example:7/",
                  "ws://r.example:7/a", "ws://r.example:7", "ws://r.example:7/"}));
  EXPECT_EQ(
      read("listen = \"[::1]:7\"\n" + key).admin_rules().urls,
      (Keys{"http://[::1]:7", "http://[::1]:7/", "ws://[::1]:7", "ws://[::1]:7/",
            "http://127.0.0.1:7", "http://127.0.0.1:7/", "ws://127.0.0.1:7", "ws://127.0.0.1:7/",
            "http://localhost:7", "http://localhost:7/", "ws://localhost:7", "ws://localhost:7/"}));
  EXPECT_THROW((void)read("listen = \"[::]:7\"\n" + key).admin_rules(), ConfigError);
  EXPECT_THROW((void)read("[admin]\nkeys = [\"npub1x\"]\n").admin_rules(), ConfigError);
  EXPECT_FALSE(read("").admin_rules().enabled());
}

}  // namespace
}  // namespace nostril::relay::test
