#pragma once

#include "events/event.h"
#include "events/filter.h"
#include "net/loop.h"
#include "net/server.h"
#include "schnorr/verify.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril::test {

/// A small Nostr relay for tests, on the test's own loop: no other process, no other thread.
/// Stores what is not ephemeral (replaceable kinds by address, NIP-09 obeyed), fans out what
/// matches, says `mute:` to an ephemeral event that nobody listens for, and misbehaves on request.
class TestRelay final : public net::ServerHandler {
 public:
  /// Faults of every k-th frame event (21472), counted from the first after they were set; 0: none.
  struct Faults {
    std::uint64_t drop_every = 0;       ///< acknowledged and lost
    std::uint64_t duplicate_every = 0;  ///< delivered twice
    std::uint64_t reorder_every = 0;    ///< delivered after its successor, or 30 ms later
    std::string refuse_events = {};     ///< OK false with this text for all events
    bool no_ok = false;                 ///< events are taken without a word
    bool no_stored_end = false;         ///< REQ is not answered by EOSE
  };

  explicit TestRelay(net::Loop& loop);
  ~TestRelay() override;

  [[nodiscard]] std::string url() const;

  void set_faults(Faults faults);
  /// Ends all connections without a word; new ones are taken.
  void drop_connections();
  /// No connections at all until come_back(), on the same port. What was stored stays.
  void go_away();
  void come_back();

  [[nodiscard]] std::size_t connection_count() const { return clients_.size(); }

  [[nodiscard]] std::size_t subscription_count() const;

  /// Events that clients sent, in order, refused ones included.
  [[nodiscard]] const std::vector<Event>& seen() const { return seen_; }

  [[nodiscard]] std::size_t seen_count(std::uint32_t kind) const;

  [[nodiscard]] const std::vector<Event>& stored() const { return stored_; }

  /// What HTTP is answered: NIP-11's document (empty: none) and the Date field (empty: none).
  void set_document(std::string document, std::string date = {}) {
    document_ = std::move(document);
    date_ = std::move(date);
  }

  /// Forgets what is stored, as an operator who lost a disk.
  void forget_stored() { stored_.clear(); }

  /// Every byte that clients sent, messages joined.
  [[nodiscard]] const std::string& received_text() const { return received_text_; }

  /// Delivers an event that no client sent; its signature is not looked at.
  void inject(const Event& event);
  /// Sends text as it is to all connections.
  void inject_text(const std::string& text);

  void on_http(net::ConnectionId id, const net::HttpRequest& request) override;
  void on_ws_open(net::ConnectionId id, const net::PeerAddress& peer,
                  const net::HttpRequest& request) override;
  void on_ws_text(net::ConnectionId id, std::string_view message) override;
  void on_ws_close(net::ConnectionId id) override;

 private:
  struct Client {
    std::map<std::string, std::vector<Filter>> subscriptions;
  };

  void listen(std::uint16_t port);
  void publish(net::ConnectionId id, const Event& event);
  void fan_out(const Event& event);
  void fan_out_frame(const Event& event);
  [[nodiscard]] bool somebody_listens(const Event& event) const;
  [[nodiscard]] bool store(const Event& event);
  void obey_deletion(const Event& event);

  net::Loop& loop_;
  Verifier verifier_;
  std::unique_ptr<net::Server> server_;
  std::uint16_t port_ = 0;
  std::map<net::ConnectionId, Client> clients_;
  std::vector<Event> seen_;
  std::vector<Event> stored_;
  std::string received_text_;
  std::string document_;
  std::string date_;
  Faults faults_;
  std::uint64_t frames_ = 0;
  std::optional<Event> held_;
  net::TimerId held_timer_ = net::TimerId::None;
};

}  // namespace nostril::test
