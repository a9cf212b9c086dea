#pragma once

#include "base/clock.h"
#include "base/hex.h"
#include "base/json.h"
#include "events/event.h"
#include "events/messages.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "net/url.h"
#include "net/ws_client.h"
#include "tests/relay/event_support.h"
#include "tests/relay/store_support.h"
#include "tests/support/patience.h"
#include "tests/support/process.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril::relay::test {

inline constexpr std::uint64_t kStepMsMax = 20'000 * nostril::test::kPatience;

/// A loop that the test's own thread runs while it waits for something.
class World {
 public:
  net::Loop loop;

  bool wait(const std::function<bool()>& is_true, std::uint64_t ms_max = kStepMsMax) {
    if (is_true()) return true;
    const net::TimerId timer = loop.after(ms_max, [this] { loop.stop(); });
    bool result = false;
    const net::HookId hook = loop.on_turn_end([&] {
      if (result || !is_true()) return;
      result = true;
      loop.stop();
    });
    loop.run();
    loop.remove_turn_end(hook);
    loop.cancel(timer);
    return result || is_true();
  }

  /// The same for conditions that wait themselves: asked again and again, outside the loop.
  bool poll(const std::function<bool()>& is_true, std::uint64_t ms_max = kStepMsMax) {
    const std::uint64_t turns = ms_max / 10;
    for (std::uint64_t turn = 0; turn < turns; ++turn) {
      if (is_true()) return true;
      (void)wait([] { return false; }, 10);
    }
    return is_true();
  }

 private:
};

/// A Nostr client of one connection, step by step.
class Client {
 public:
  Client(World& world, const std::string& url, const net::WsClientLimits& limits = {})
      : world_(world), socket_(world.loop, limits) {
    net::WsClientCallbacks callbacks;
    callbacks.on_text = [this](std::string_view text) {
      auto json = Json::parse(text);
      if (!json) {
        ADD_FAILURE() << "not JSON: " << text;
        return;
      }
      messages.push_back(std::move(*json));
    };
    callbacks.on_close = [this](const net::WsCloseInfo& info) { closed = info; };
    socket_.connect(*net::parse_url(url), std::move(callbacks));
  }

  bool wait_open() {
    return world_.wait([this] { return socket_.is_open() || closed.has_value(); }) &&
           socket_.is_open();
  }

  void send(std::string_view text) { EXPECT_TRUE(socket_.send_text(text)); }

  /// The first message, now or later, that has this type and, when given, this second element.
  std::optional<Json> take(std::string_view type, std::string_view second = {},
                           std::uint64_t ms_max = kStepMsMax) {
    const auto find = [&] {
      return std::find_if(messages.begin(), messages.end(), [&](const Json& message) {
        const auto items = message.items();
        return items.size() >= 2 && items[0].string() == type &&
               (second.empty() || items[1].string() == second);
      });
    };
    if (!world_.wait([&] { return find() != messages.end() || closed.has_value(); }, ms_max)) {
      return std::nullopt;
    }
    const auto found = find();
    if (found == messages.end()) return std::nullopt;
    Json out = std::move(*found);
    messages.erase(found);
    return out;
  }

  /// "true TEXT" or "false TEXT" of the OK for `event`.
  std::string publish(const Event& event) {
    send(publish_text(event));
    return answer_to(encode_hex(event.id));
  }

  std::string answer_to(const std::string& id) {
    const auto ok = take("OK", id);
    if (!ok || ok->items().size() != 4) return "none";
    return (ok->items()[2].boolean().value_or(false) ? "true " : "false ") +
           std::string(ok->items()[3].string().value_or("?"));
  }

  /// The ids of the stored part, in order. `filters`: one or more JSON objects with commas.
  std::vector<std::string> query(const std::string& subscription, const std::string& filters) {
    send("[\"REQ\",\"" + subscription + "\"," + filters + "]");
    if (!take_until_eose(subscription)) return {"no EOSE"};
    return take_events(subscription);
  }

  bool take_until_eose(const std::string& subscription) {
    return take("EOSE", subscription).has_value();
  }

  /// Ids of the events of this subscription that have come.
  std::vector<std::string> take_events(const std::string& subscription) {
    std::vector<std::string> ids;
    for (auto it = messages.begin(); it != messages.end();) {
      const auto items = it->items();
      if (items.size() == 3 && items[0].string() == "EVENT" && items[1].string() == subscription) {
        ids.emplace_back(items[2].find_string("id").value_or("?"));
        it = messages.erase(it);
      } else {
        ++it;
      }
    }
    return ids;
  }

  /// The id of the next event of this subscription.
  std::string next_event(const std::string& subscription, std::uint64_t ms_max = kStepMsMax) {
    const auto message = take("EVENT", subscription, ms_max);
    return message ? std::string(message->items()[2].find_string("id").value_or("?")) : "none";
  }

  net::WsClient& socket() { return socket_; }

  std::deque<Json> messages;
  std::optional<net::WsCloseInfo> closed;

 private:
  World& world_;
  net::WsClient socket_;
};

struct HttpAnswer {
  int status = 0;
  net::HttpHeaders headers;
  std::string body;
};

inline HttpAnswer http_get(World& world, const std::string& url,
                           const net::HttpHeaders& headers = {},
                           const std::string& method = "GET") {
  net::HttpClient client(world.loop);
  HttpAnswer out;
  bool done = false;
  net::HttpCall call;
  call.method = method;
  call.url = url;
  call.headers = headers;
  net::HttpCallbacks callbacks;
  callbacks.on_status = [&](int status, const net::HttpHeaders& fields) {
    out.status = status;
    out.headers = fields;
  };
  callbacks.on_data = [&](std::string_view bytes) {
    out.body += bytes;
    return true;
  };
  callbacks.on_done = [&](const net::HttpCallResult& result) {
    EXPECT_TRUE(result.ok()) << result.detail;
    done = true;
  };
  (void)client.start(std::move(call), std::move(callbacks));
  EXPECT_TRUE(world.wait([&] { return done; }));
  return out;
}

/// The program in a process of its own, on a free port.
class RelayProcess {
 public:
  explicit RelayProcess(const std::filesystem::path& data, const std::string& config = {}) {
    std::vector<std::string> command = {nostril::test::program("nostril-relay"),
                                        "run",
                                        "--listen",
                                        "127.0.0.1:0",
                                        "--data",
                                        data.string()};
    if (!config.empty()) {
      const auto path = data / "relay.toml";
      std::FILE* file = std::fopen(path.c_str(), "w");
      CHECK(file != nullptr);
      std::fputs(config.c_str(), file);
      std::fclose(file);
      command.insert(command.end(), {"--config", path.string()});
    }
    process_ = std::make_unique<nostril::test::Process>(command);
    const auto line = process_->read_line();
    constexpr std::string_view kSays = "listening on ";
    if (!line || line->substr(0, kSays.size()) != kSays) {
      ADD_FAILURE() << "the relay did not start: " << line.value_or("(silent)");
      std::abort();
    }
    url_ = line->substr(kSays.size());
  }

  [[nodiscard]] const std::string& url() const { return url_; }

  [[nodiscard]] std::string http_url(const std::string& path = "/") const {
    return "http" + url_.substr(2) + path;
  }

  nostril::test::Process& process() { return *process_; }

  /// One sample of /metrics, e.g. `events_answered_total{accepted="true"}`.
  std::uint64_t metric(World& world, const std::string& name) const {
    const std::string text = http_get(world, http_url("/metrics")).body;
    const std::string line = "\nnostril_relay_" + name + " ";
    const std::size_t at = text.find(line);
    if (at == std::string::npos) {
      ADD_FAILURE() << "no metric " << name;
      return 0;
    }
    return std::stoull(text.substr(at + line.size()));
  }

 private:
  std::unique_ptr<nostril::test::Process> process_;
  std::string url_;
};

/// From now on the relay answers authenticated clients only.
inline void require_authentication(World& world, RelayProcess& relay,
                                   const std::filesystem::path& folder) {
  std::ofstream(folder / "new.toml")
      << fmt::format("url = \"{}\"\n[auth]\nto_read = true\nto_write = true\n", relay.url());
  std::filesystem::rename(folder / "new.toml", folder / "relay.toml");
  relay.process().signal(SIGHUP);
  EXPECT_TRUE(world.poll([&] {
    const auto answer = http_get(world, relay.http_url(), {{"Accept", "application/nostr+json"}});
    return answer.body.find("\"auth_required\":true") != std::string::npos;
  }));
}

/// A file with a key that nobody else may read.
inline std::string key_file(const std::filesystem::path& folder, const std::string& text) {
  const auto path = folder / "mirror.key";
  std::ofstream(path) << text << "\n";
  std::filesystem::permissions(
      path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  return path.string();
}

}  // namespace nostril::relay::test
