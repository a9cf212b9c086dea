// What the doctor says of the node's own addresses and certificate.
#include "node/listen_checks.h"

#include "base/file.h"
#include "client/listen_check.h"
#include "net/tls_identity.h"
#include "tests/net/test_certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>
#include <string>

namespace nostril::node {
namespace {

using client::check_listen_address;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::int64_t kDay = 86'400;

/// Listens on a port of its own while it lives, as this program.
class Occupied {
 public:
  Occupied() : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof at;
    auto* address = reinterpret_cast<sockaddr*>(&at);
    if (bind(fd_.get(), address, bytes) != 0 || listen(fd_.get(), 1) != 0 ||
        getsockname(fd_.get(), address, &bytes) != 0) {
      throw std::runtime_error("no port");
    }
    address_ = "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
  }

  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  UniqueFd fd_;
  std::string address_;
};

std::string own_name() {
  std::string out;
  std::getline(std::ifstream("/proc/self/comm"), out);
  return out;
}

TEST(ListenChecks, APortThatIsFreeIsFree) {
  std::string address;
  { address = Occupied().address(); }
  const Finding finding = check_listen_address("https", address);
  EXPECT_EQ(finding.health, Health::Ok) << finding.found;
  EXPECT_EQ(finding.check, "https");
  EXPECT_THAT(finding.found, HasSubstr("free"));
  EXPECT_THAT(finding.remedy, IsEmpty());
}

TEST(ListenChecks, APortOfTheNodeThatRunsIsFineAndAnothersIsNot) {
  const Occupied taken;
  const Finding own = check_listen_address("https", taken.address(), own_name());
  EXPECT_EQ(own.health, Health::Ok) << own.found;
  EXPECT_THAT(own.found, HasSubstr(std::to_string(getpid())));
  const Finding foreign = check_listen_address("https", taken.address());
  EXPECT_EQ(foreign.health, Health::Wrong);
  EXPECT_THAT(foreign.found, HasSubstr("held by " + own_name()));
  EXPECT_THAT(foreign.remedy, HasSubstr("another port"));
}

TEST(ListenChecks, AnAddressOfAnotherMachineCantBeListenedAt) {
  for (const char* address : {"192.0.2.1:8443", "node.example:8443", "8443"}) {
    const Finding finding = check_listen_address("metrics", address);
    EXPECT_EQ(finding.health, Health::Wrong) << address;
    EXPECT_FALSE(finding.remedy.empty());
  }
}

NodeConfig::Https files_of(const net::TestCertificate& made) {
  NodeConfig::Https out;
  out.certificate_file = made.certificate_path;
  out.key_file = made.key_path;
  return out;
}

TEST(CertificateChecks, TellWhatIsWrongWithFilesDatesAndRights) {
  const net::TestCertificate own("DNS:localhost");
  const net::TestCertificate foreign("DNS:localhost");
  NodeConfig::Https https = files_of(own);
  const std::int64_t ends_s =
      net::TlsIdentity::load(own.certificate_path, own.key_path).not_after();
  ASSERT_EQ(chmod(own.key_path.c_str(), 0600), 0);
  const auto judge = [&](std::int64_t now_s) { return check_certificate(https, now_s); };
  EXPECT_EQ(judge(ends_s - 30 * kDay).health, Health::Ok) << judge(ends_s - 30 * kDay).found;
  EXPECT_THAT(judge(ends_s - 30 * kDay).found, HasSubstr("30 days left"));
  EXPECT_EQ(judge(ends_s - kDay).health, Health::Warning);
  EXPECT_THAT(judge(ends_s - kDay).remedy, HasSubstr("same key"));
  EXPECT_EQ(judge(ends_s).health, Health::Wrong);
  ASSERT_EQ(chmod(own.key_path.c_str(), 0644), 0);
  EXPECT_EQ(judge(ends_s - 30 * kDay).health, Health::Warning);
  EXPECT_THAT(judge(ends_s - 30 * kDay).remedy, HasSubstr("chmod 600"));
  https.key_file = foreign.key_path;
  EXPECT_EQ(judge(0).health, Health::Wrong);
  EXPECT_THAT(judge(0).found, HasSubstr("is not the one of"));
  https.key_file = "/nonexistent";
  EXPECT_EQ(judge(0).health, Health::Wrong);
  EXPECT_THAT(judge(0).found, HasSubstr("/nonexistent"));
}

TEST(ListenerChecks, LookAtWhatIsConfiguredOnly) {
  NodeConfig config;
  const Findings off = check_listeners(config, 0);
  ASSERT_EQ(off.size(), 1U);
  EXPECT_EQ(off[0].health, Health::Ok);
  const Occupied taken;
  config.https.listen = taken.address();
  config.https.certificate_file = "/nonexistent";
  config.https.key_file = "/nonexistent";
  config.metrics.listen = taken.address();
  const Findings all = check_listeners(config, 0);
  ASSERT_EQ(all.size(), 3U);
  for (const Finding& one : all) EXPECT_EQ(one.health, Health::Wrong) << one.check << one.found;
  EXPECT_EQ(all[1].check, "certificate");
  EXPECT_EQ(all[2].check, "metrics");
}

}  // namespace
}  // namespace nostril::node
