#pragma once

#include "base/hex.h"
#include "events/event.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace nostril::relay {

/// Decimal digits and nothing else.
[[nodiscard]] inline std::optional<std::uint64_t> parse_count(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Of the subject that an answer came to: INBOX.NUMBER.
[[nodiscard]] inline std::optional<std::uint64_t> number_of(std::string_view subject) {
  return parse_count(subject.substr(subject.rfind('.') + 1));
}

/// The subjects of one cluster on NATS. All begin with its name, so that one permission covers them
/// and several clusters may share the servers:
///
///   NAME.s.event              in the stream NAME: a verified event as JSON; Nats-Msg-Id is its id
///   NAME.s.moderation         in the stream NAME: a change of the moderators' lists, as JSON
///   NAME.e.KIND.SHARD         not stored: an ephemeral event as JSON
///   NAME.ctl.RELAY            requests to one relay; NAME.ctl.all: to every relay
///   NAME.snap                 who has a snapshot; NAME.snap.RELAY: its chunks
///   NAME.repair               what relays were told of the stream; NAME.repair.RELAY: questions
///   NAME.inbox.RELAY.>        answers, acks and what a relay's own consumer delivers
///
/// What a relay's user on the servers needs, besides publishing and subscribing to NAME.>: to
/// publish to $JS.API.STREAM.INFO.NAME, $JS.API.STREAM.CREATE.NAME, $JS.API.STREAM.UPDATE.NAME,
/// $JS.API.CONSUMER.CREATE.NAME and $JS.FC.NAME.>
///
/// Threads: const after construction, any.
class ClusterSubjects {
 public:
  static constexpr std::size_t kNameCharsMax = 32;
  static constexpr std::size_t kRelayCharsMax = 63;
  /// An ephemeral event with more shards than this is sent once, to the shard kManyShards.
  static constexpr std::size_t kShardsMax = 16;
  /// Of an event without a `p` tag that is a key.
  static constexpr std::string_view kNoShard = "none";
  static constexpr std::string_view kManyShards = "many";

  ClusterSubjects(std::string_view cluster, std::string_view relay)
      : cluster_(cluster), relay_(relay) {}

  /// Letters, digits, - and _: one token of a subject, and a name of a stream.
  [[nodiscard]] static bool is_name(std::string_view text, std::size_t chars_max) {
    return !text.empty() && text.size() <= chars_max && std::ranges::all_of(text, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_';
    });
  }

  [[nodiscard]] const std::string& stream() const { return cluster_; }

  [[nodiscard]] const std::string& relay() const { return relay_; }

  /// Of all messages in the stream.
  [[nodiscard]] std::string in_stream() const { return cluster_ + ".s.>"; }

  [[nodiscard]] std::string event() const { return cluster_ + ".s.event"; }

  [[nodiscard]] std::string moderation() const { return cluster_ + ".s.moderation"; }

  [[nodiscard]] std::string control(std::string_view of_relay) const {
    return cluster_ + ".ctl." + std::string(of_relay);
  }

  [[nodiscard]] std::string control() const { return control(relay_); }

  [[nodiscard]] std::string control_all() const { return cluster_ + ".ctl.all"; }

  [[nodiscard]] std::string snapshot() const { return cluster_ + ".snap"; }

  [[nodiscard]] std::string snapshot(std::string_view of_relay) const {
    return cluster_ + ".snap." + std::string(of_relay);
  }

  [[nodiscard]] std::string repair() const { return cluster_ + ".repair"; }

  [[nodiscard]] std::string repair(std::string_view of_relay) const {
    return cluster_ + ".repair." + std::string(of_relay);
  }

  [[nodiscard]] std::string inbox_prefix() const { return cluster_ + ".inbox." + relay_; }

  // --- Ephemeral events: NAME.e.KIND.SHARD.

  [[nodiscard]] std::string ephemeral(std::uint32_t kind, std::string_view shard) const {
    return cluster_ + ".e." + std::to_string(kind) + "." + std::string(shard);
  }

  /// Any kind ("*") of one shard.
  [[nodiscard]] std::string ephemeral_of_shard(std::string_view shard) const {
    return cluster_ + ".e.*." + std::string(shard);
  }

  /// All shards of a kind.
  [[nodiscard]] std::string ephemeral_of_kind(std::uint32_t kind) const {
    return ephemeral(kind, "*");
  }

  [[nodiscard]] std::string ephemeral_all() const { return cluster_ + ".e.>"; }

  /// The shard of a `p` tag's value: the first byte of a key, in hex. Nothing for what is no key,
  /// which is what a filter's #p holds as well.
  [[nodiscard]] static std::optional<std::string> shard_of(std::string_view key) {
    if (!from_hex<PublicKey>(key)) return std::nullopt;
    return std::string(key.substr(0, 2));
  }

  /// Where an ephemeral event is sent: each of its shards once.
  [[nodiscard]] static std::vector<std::string> shards_of(const Event& event) {
    std::vector<std::string> shards;
    for (const Tags::View tag : event.tags) {
      if (tag.name() != "p" || !tag.value()) continue;
      auto shard = shard_of(*tag.value());
      if (!shard || std::ranges::find(shards, *shard) != shards.end()) continue;
      if (shards.size() == kShardsMax) return {std::string(kManyShards)};
      shards.push_back(std::move(*shard));
    }
    if (shards.empty()) shards.emplace_back(kNoShard);
    return shards;
  }

 private:
  const std::string cluster_;
  const std::string relay_;
};

}  // namespace nostril::relay
