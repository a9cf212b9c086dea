#include "node/listen_checks.h"

#include "client/listen_check.h"
#include "net/tls_identity.h"

#include <fmt/format.h>

#include <sys/stat.h>

#include <exception>
#include <optional>
#include <utility>
#include <vector>

namespace nostril::node {

namespace {

constexpr std::int64_t kDayS = 86'400;
constexpr std::int64_t kRenewDays = 14;
/// More rights than the owner's.
constexpr mode_t kOthers = 077;

}  // namespace

Finding check_certificate(const NodeConfig::Https& https, std::int64_t now_s) {
  Finding out{"certificate", Health::Ok, https.certificate_file, {}};
  const auto wrong = [&out](Health health, std::string found, std::string remedy) {
    out.health = health;
    out.found = std::move(found);
    out.remedy = std::move(remedy);
    return out;
  };
  std::optional<net::TlsIdentity> identity;
  try {
    identity = net::TlsIdentity::load(https.certificate_file, https.key_file);
  } catch (const std::exception& error) {
    return wrong(Health::Wrong, error.what(),
                 "https.certificate_file: PEM, the server's certificate first; https.key_file: its "
                 "key, without a password; readable by the user that the node runs as");
  }
  const std::int64_t left_s = identity->not_after() - now_s;
  if (left_s <= 0) {
    return wrong(Health::Wrong, out.found + ": has ended",
                 "renew it with the same key, then systemctl reload nostril-node");
  }

  struct stat rights {};

  if (stat(https.key_file.c_str(), &rights) == 0 && (rights.st_mode & kOthers) != 0) {
    return wrong(Health::Warning, https.key_file + ": others than its owner may read it",
                 "chmod 600 " + https.key_file);
  }
  out.found += fmt::format(": matches its key, {} days left", left_s / kDayS);
  if (left_s >= kRenewDays * kDayS) return out;
  return wrong(Health::Warning, std::move(out.found),
               "renew it with the same key, then systemctl reload nostril-node");
}

Findings check_listeners(const NodeConfig& config, std::int64_t now_s) {
  Findings out;
  if (config.https.listen.empty()) {
    out.push_back({"https", Health::Ok, "off: clients come through relays only", {}});
  } else {
    out.push_back(client::check_listen_address("https", config.https.listen));
    if (!config.https.certificate_file.empty()) {
      out.push_back(check_certificate(config.https, now_s));
    }
  }
  if (!config.metrics.listen.empty()) {
    out.push_back(client::check_listen_address("metrics", config.metrics.listen));
  }
  return out;
}

}  // namespace nostril::node
