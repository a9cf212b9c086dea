#pragma once

// Twins of a machine's TEE interfaces, at the boundary of system calls and sockets: what they
// answer has the form of the real ones.
#include "base/bytes.h"
#include "base/check.h"
#include "node/sev_guest.h"
#include "node/tsm_report.h"

#include <linux/sev-guest.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace nostril::test {

/// configfs-tsm on an ordinary folder: the attributes are files, and the rules about writes,
/// `generation` and the answer's freshness are the kernel's.
class FakeTsm final : public node::TsmFolder {
 public:
  using Answer = std::function<Bytes(std::span<const std::uint8_t, 64> report_data)>;

  FakeTsm(const std::filesystem::path& path, std::string provider, Answer answer)
      : TsmFolder(path), provider_(std::move(provider)), answer_(std::move(answer)) {
    std::filesystem::create_directories(path);
  }

  int make(const std::string& entry) override {
    if (make_error != 0) return make_error;
    const int error = TsmFolder::make(entry);
    if (error != 0) return error;
    put(entry, "provider", provider_ + "\n");
    put(entry, "generation", "0\n");
    put(entry, "inblob", "");
    generation_ = 0;
    ++made;
    return 0;
  }

  /// configfs removes an entry with its attributes.
  int remove(const std::string& entry) override {
    std::filesystem::remove_all(path() / entry);
    --made;
    return 0;
  }

  int write(const std::string& entry, const char* attribute, ByteSpan bytes) override {
    CHECK(std::string_view(attribute) == "inblob");
    if (bytes.empty() || bytes.size() > 64) return EINVAL;
    if (write_error != 0) return write_error;
    if (swallow_write) return 0;
    const int error = TsmFolder::write(entry, attribute, bytes);
    if (error != 0) return error;
    written(entry, bytes);
    if (after_write) after_write(*this, entry);
    return 0;
  }

  Result<Bytes, int> read(const std::string& entry, const char* attribute,
                          std::size_t bytes_max) override {
    const bool blob = std::string_view(attribute) == "outblob";
    if (blob && generation_ == 0) return failure(EINVAL);
    if (blob && read_error != 0) return failure(read_error);
    auto out = TsmFolder::read(entry, attribute, bytes_max);
    if (blob && after_read) after_read(*this, entry);
    return out;
  }

  /// A write to inblob, by us or by somebody else.
  void written(const std::string& entry, ByteSpan bytes) {
    std::array<std::uint8_t, 64> report_data{};
    std::copy(bytes.begin(), bytes.end(), report_data.begin());
    put(entry, "generation", std::to_string(++generation_) + "\n");
    put(entry, "outblob", as_text(answer_(report_data)));
    if (!auxblob.empty()) put(entry, "auxblob", as_text(auxblob));
  }

  int made = 0;  ///< entries that are there
  int make_error = 0;
  int write_error = 0;
  int read_error = 0;
  bool swallow_write = false;
  Bytes auxblob;
  std::function<void(FakeTsm&, const std::string&)> after_write;
  std::function<void(FakeTsm&, const std::string&)> after_read;

 private:
  void put(const std::string& entry, const char* attribute, std::string_view text) {
    std::ofstream(path() / entry / attribute, std::ios::binary) << text;
  }

  std::string provider_;
  Answer answer_;
  int generation_ = 0;
};

/// /dev/sev-guest behind its ioctl.
class FakeSevGuest final : public node::SevGuestDevice {
 public:
  using Answer = FakeTsm::Answer;

  explicit FakeSevGuest(Answer answer) : answer_(std::move(answer)) {}

  int request(unsigned long number, void* argument) override {
    ++asked;
    auto& request = *static_cast<snp_guest_request_ioctl*>(argument);
    if (number != SNP_GET_EXT_REPORT || request.msg_version != 1) return EINVAL;
    auto& question = *reinterpret_cast<snp_ext_report_req*>(request.req_data);
    auto& response = *reinterpret_cast<snp_report_resp*>(request.resp_data);
    if (question.certs_len % 4096 != 0 || question.certs_len > 16384) return EINVAL;
    if (busy > 0) {
      --busy;
      request.vmm_error = 2;
      return EIO;
    }
    if (question.certs_len < table.size()) {
      question.certs_len = static_cast<std::uint32_t>((table.size() + 4095) / 4096 * 4096);
      request.vmm_error = 1;
      return EIO;
    }
    if (error != 0) {
      request.fw_error = firmware_error;
      return error;
    }
    std::memcpy(reinterpret_cast<void*>(question.certs_address), table.data(), table.size());
    const Bytes report = answer_(std::span<const std::uint8_t, 64>(question.data.user_data));
    const std::uint32_t size = static_cast<std::uint32_t>(report.size());
    std::memset(&response, 0, sizeof(response));
    std::memcpy(response.data, &status, 4);
    std::memcpy(response.data + 4, &size, 4);
    std::memcpy(response.data + 32, report.data(), report.size());
    return 0;
  }

  int asked = 0;
  int busy = 0;
  int error = 0;
  std::uint32_t firmware_error = 0;
  std::uint32_t status = 0;
  Bytes table;

 private:
  Answer answer_;
};

/// An HTTP server on a Unix socket, one exchange a connection, on a thread of its own.
class FakeUnixServer {
 public:
  /// The raw answer to a request (head and body as received); "" closes without one.
  using Answer = std::function<std::string(const std::string& request)>;

  FakeUnixServer(std::filesystem::path path, Answer answer)
      : path_(std::move(path)), answer_(std::move(answer)) {
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(listener_ >= 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    CHECK(path_.string().size() < sizeof(address.sun_path));
    std::strcpy(address.sun_path, path_.c_str());
    CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    CHECK(listen(listener_, 8) == 0);
    thread_ = std::thread([this] { serve(); });
  }

  ~FakeUnixServer() {
    closing_ = true;
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }

  FakeUnixServer(const FakeUnixServer&) = delete;
  FakeUnixServer& operator=(const FakeUnixServer&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  static std::string ok(const std::string& body) {
    return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  }

 private:
  static bool whole(const std::string& request) {
    const std::size_t end = request.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::size_t field = request.find("Content-Length: ");
    if (field == std::string::npos) return true;
    return request.size() >= end + 4 + std::stoul(request.substr(field + 16));
  }

  void serve() {
    while (!closing_) {
      const int peer = accept(listener_, nullptr, nullptr);
      if (peer < 0) continue;
      std::string request;
      std::array<char, 4096> piece{};
      while (!whole(request)) {
        const ssize_t count = recv(peer, piece.data(), piece.size(), 0);
        if (count <= 0) break;
        request.append(piece.data(), static_cast<std::size_t>(count));
      }
      const std::string answer = answer_(request);
      send(peer, answer.data(), answer.size(), MSG_NOSIGNAL);
      shutdown(peer, SHUT_RDWR);
      close(peer);
    }
  }

  std::filesystem::path path_;
  Answer answer_;
  int listener_ = -1;
  std::atomic<bool> closing_ = false;
  std::thread thread_;
};

}  // namespace nostril::test
