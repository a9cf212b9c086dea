#pragma once

#include "events/event.h"

#include <cstddef>
#include <filesystem>
#include <span>

namespace nostril::bench {

/// What cannot be avoided, in microseconds of CPU of one thread that does nothing else. Every
/// figure of a relay is also given as a multiple of one of them, measured in the same minute on the
/// same machine: such ratios can be compared between machines.
struct Floors {
  double verify_us = 0;  ///< parse the key, check the signature: libsecp256k1 alone
  double send_us = 0;  ///< one send() of the event's JSON to a loopback socket that nobody waits on
  /// The same to each of kSpreadSockets that another thread reads, by epoll, as they come: what a
  /// delivery to many costs a program that does nothing but send.
  double spread_us = 0;
  /// One check, and the event's JSON written over a part of a file and synced (fdatasync), with 5
  /// ms of rest before: what one durable event costs that shares nothing with others.
  double durable_us = 0;
  double hash_us = 0;  ///< SHA-256 of the event's JSON
  double copy_us = 0;  ///< memcpy of the event's JSON
};

inline constexpr std::size_t kSpreadSockets = 500;

/// Over all of `events`; a few hundred take some 400 ms. `directory`: on the disk in question.
[[nodiscard]] Floors measure_floors(std::span<const Event> events,
                                    const std::filesystem::path& directory);

}  // namespace nostril::bench
