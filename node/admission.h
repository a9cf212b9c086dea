#pragma once

#include "schnorr/types.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace nostril::node {

struct AdmissionSettings {
  std::size_t running_max = 256;   ///< ceiling of what is learned; about 1 MiB each
  std::size_t running_start = 16;  ///< before anything is learned, and for engines that say nothing
  std::size_t waiting_max = 256;   ///< requests that wait, of all payers; a few KiB and a body each
  std::int64_t wait_ms_max = 60'000;  ///< who would wait longer is refused at once
  /// Tokens a second that each answer is to get at least, as far as the engine says how many it
  /// makes; 0: as it comes.
  std::uint64_t answer_tokens_s_min = 0;
};

/// What an engine says about itself.
struct EngineLoad {
  std::uint64_t running = 0;
  std::uint64_t waiting = 0;                     ///< inside the engine, not computed yet
  std::optional<std::uint64_t> slots = {};       ///< requests that it can compute at a time
  std::optional<std::uint64_t> tokens_in = {};   ///< of all prompts since it started
  std::optional<std::uint64_t> tokens_out = {};  ///< of all answers since it started

  bool operator==(const EngineLoad&) const = default;
};

/// A request that wants to the engine.
struct AdmissionRequest {
  PublicKey payer;
  std::uint64_t tokens = 1;  ///< expected, of prompt and answer
  std::uint64_t price = 0;   ///< of a million tokens of its answer
};

/// Who goes to the engine, when, and who is told to come again later. Pure: time comes in.
///
/// Shares: each payer has a line of its own; the lines share the engine by expected tokens, not by
/// requests (self-clocked fair queueing, Golestani 1994: a request's tag is the later of the tag
/// now served and its line's last, plus tokens / weight; the least tag goes first. Deficit round
/// robin's fairness without a quantum to choose). The weight is 1 to kWeightMax: the request's
/// price as a multiple of the lowest that waits. So money buys at most kWeightMax shares, and
/// nobody starves: each other payer passes who waits by less than kWeightMax times its tokens plus
/// one request.
///
/// Limit: what runs inside the engine at a time. A fifth less when the engine has some waiting, or
/// when each of its answers gets fewer tokens a second than answer_tokens_s_min; else one more when
/// all places were used, a quarter more as long as it was never too much (AIMD with a slow start).
/// At most once a kLearnMs, never above the engine's slots. An engine without figures keeps
/// running_start.
///
/// Wait: what requests expect before one, as the share of it that earlier ones came to use, by the
/// tokens a second that the engine has lately gone through; where it counts none, by the time that
/// requests took.
///
/// Refusal: when the line is full, or the expected wait is beyond wait_ms_max. A full line makes
/// room for a payer with less in it than another, whose newest waiting request then goes: nobody
/// fills the line for all. Nothing that runs is ever touched.
class Admission {
 public:
  using Ticket = std::uint64_t;
  static constexpr std::uint64_t kWeightMax = 4;
  static constexpr std::int64_t kLearnMs = 800;  ///< less than the pause between two looks
  static constexpr std::int64_t kRetryMsMin = 250;
  static constexpr std::int64_t kRetryMsMax = 60'000;

  explicit Admission(AdmissionSettings settings);
  /// Other bounds from now on; what was learned and who waits stays. running_start is of the start.
  void set_settings(AdmissionSettings settings);

  struct Entered {
    std::optional<Ticket> ticket;  ///< nothing: refused
    std::int64_t retry_after_ms = 0;
    std::optional<Ticket> pushed_out;  ///< of another payer: refuse it, do not leave() it
  };

  Entered enter(const AdmissionRequest& request);
  /// The next that may run, until there is none. Call after enter(), leave() and observe().
  [[nodiscard]] std::optional<Ticket> next(std::int64_t now_ms);
  /// A request that waits or runs is over. `served`: the engine answered it, so its time counts,
  /// and the `tokens` that it used, of prompt and answer (0: not known).
  void leave(Ticket ticket, std::int64_t now_ms, bool served, std::uint64_t tokens = 0);
  /// What the engine said just now.
  void observe(const EngineLoad& load, std::int64_t now_ms);

  [[nodiscard]] std::size_t limit() const { return limit_; }

  /// Tokens a second, of prompts and answers; 0: not learned.
  [[nodiscard]] std::uint64_t tokens_s() const { return tokens_s_; }

  [[nodiscard]] std::size_t running() const { return running_.size(); }

  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }

  /// Requests that go before this one as things stand.
  [[nodiscard]] std::size_t ahead_of(Ticket ticket) const;

  /// Expected wait of a request that came now and went last.
  [[nodiscard]] std::int64_t wait_ms() const { return wait_ms_behind(waiting_.size()); }

 private:
  struct Waiting {
    std::uint64_t tag = 0;
    Ticket ticket = 0;
    PublicKey payer;
    std::uint64_t price = 0;
    std::uint64_t tokens = 0;
  };

  struct Running {
    std::int64_t since_ms = 0;
    std::uint64_t tokens = 0;  ///< expected
  };

  /// What the engine had counted when it was looked at last.
  struct Counted {
    std::int64_t at_ms = 0;
    std::uint64_t in = 0;
    std::uint64_t out = 0;
  };

  [[nodiscard]] std::uint64_t tag_for(const AdmissionRequest& request) const;
  [[nodiscard]] std::int64_t wait_ms_behind(std::size_t ahead) const;
  [[nodiscard]] bool is_too_slow(const EngineLoad& load, std::int64_t now_ms) const;
  void learn_rate(const EngineLoad& load, std::int64_t now_ms);
  [[nodiscard]] std::optional<Ticket> make_room(const PublicKey& payer);

  AdmissionSettings settings_;
  std::size_t limit_;
  std::vector<Waiting> waiting_;  ///< in the order of their tags
  std::map<Ticket, Running> running_;
  std::uint64_t served_tag_ = 0;
  Ticket next_ticket_ = 1;
  std::int64_t service_ms_ = 0;  ///< of one request, smoothed; 0: none measured
  // Of one request, smoothed; 0: none measured.
  std::uint64_t expected_tokens_ = 0;
  std::uint64_t used_tokens_ = 0;
  std::uint64_t tokens_s_ = 0;  ///< smoothed
  std::optional<Counted> counted_;
  std::optional<std::int64_t> learned_at_ms_;
  bool was_full_ = false;      ///< since the limit was last looked at
  bool was_too_high_ = false;  ///< ever
};

}  // namespace nostril::node
