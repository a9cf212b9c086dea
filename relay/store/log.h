#pragma once

#include "base/bytes.h"
#include "base/lmdb.h"
#include "base/result.h"
#include "events/event.h"
#include "relay/store/keys.h"
#include "schnorr/hash.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>

namespace nostril::relay {

/// What the tables say of the log (table meta, key "log"): the last epoch that is in them, 8 bytes
/// big-endian, and the key of the records' codes, 32 random bytes. With a secret key nothing that
/// a peer may have written into an event, and that an older record left there, passes for a record.
struct LogMark {
  static constexpr std::size_t kBytes = 40;

  std::uint64_t applied_epoch = 0;
  std::array<std::uint8_t, 32> key{};

  [[nodiscard]] static std::optional<LogMark> parse(ByteSpan value);
  [[nodiscard]] Key value() const;
};

inline constexpr std::string_view kLogMarkKey = "log";

/// The file `log` beside data.mdb: batches of events that are acknowledged and not in the tables
/// yet. Small, overwritten from its beginning whenever the tables have taken its content: an epoch.
///
///   offset  bytes  field of a record, integers big-endian
///        0      4  bytes of the whole record
///        4      8  epoch: one more than the tables' last
///       12      4  number in the epoch, from 1
///       16      8  the time in seconds at which the events were judged
///       24      .  each event: bytes 4, record (relay/store/record.h, content not packed); or
///                  bytes 4 of zero and 8: how far the store is in its cluster's stream
///      end     32  HMAC-SHA-256 of all before, under the mark's key
///
/// Records follow each other without gap. The first that is not the one expected ends the log: a
/// torn one was never acknowledged.
///
/// Threads: whoever holds the tables' write lock, in any process: unapplied records exist only
/// while the one who wrote them holds that lock, so another holder that finds some knows that
/// their writer has ended.
class EventLog {
 public:
  /// Where the next record goes.
  struct End {
    std::uint64_t epoch = 0;
    std::uint32_t number = 1;
    std::size_t at = 0;
  };

  /// One event of a record and the time it was judged at.
  using Visit = std::function<void(const Event& event, std::int64_t now_s)>;

  /// Of a record that says so: the sequence of the cluster's stream up to which the store is.
  using VisitStream = std::function<void(std::uint64_t sequence)>;

  /// `sync` false: for scratch files.
  EventLog(const std::filesystem::path& directory, bool sync);
  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;
  EventLog(EventLog&&) = delete;
  EventLog& operator=(EventLog&&) = delete;

  /// Makes the file, `bytes` long at least, all of it written and on disk: a later sync then has
  /// nothing but the record to write. Before the first append().
  [[nodiscard]] Result<void, lmdb::Error> prepare(std::size_t bytes);

  /// Visits what the tables with this mark lack, in order; where the next record goes. No file: no
  /// record. An error is one line: the disk's, or a record that is whole and makes no sense.
  [[nodiscard]] Result<End, std::string> read(const LogMark& mark, const Visit& visit,
                                              const VisitStream& visit_stream = {});

  /// Whether the file begins with a whole record of a later epoch than the mark's.
  [[nodiscard]] Result<bool, std::string> is_ahead_of(const LogMark& mark);

  /// On disk when it returns true, `end` moved on. False: no room, nothing done. After an error
  /// nobody knows what of the record is on the disk: false until the next epoch, so that none that
  /// is acknowledged comes behind it. `stream_sequence`:
  /// 0 for none.
  [[nodiscard]] Result<bool, lmdb::Error> append(const LogMark& mark, End& end,
                                                 std::span<const Event* const> events,
                                                 std::int64_t now_s,
                                                 std::uint64_t stream_sequence = 0);

 private:
  [[nodiscard]] Result<bool, std::string> open_if_there();
  [[nodiscard]] Result<Bytes, std::string> read_bytes(std::size_t bytes_max) const;
  [[nodiscard]] std::string problem(int code) const;
  void use_key(const LogMark& mark);

  const std::filesystem::path path_;
  const bool sync_;
  int fd_ = -1;
  std::size_t capacity_ = 0;        // 0: not prepared
  std::uint64_t failed_epoch_ = 0;  // of the tables' commits the first is 1
  std::array<std::uint8_t, 32> key_{};
  std::optional<HmacKey> hmac_;  // of key_
  Bytes record_;                 // scratch, reused
  Bytes packed_;                 // scratch, reused
};

}  // namespace nostril::relay
