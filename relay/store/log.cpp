#include "relay/store/log.h"

#include "base/check.h"
#include "base/file.h"
#include "base/file_at.h"
#include "relay/store/record.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::size_t kSizeBytes = 4;
constexpr std::size_t kEpochAt = 4;
constexpr std::size_t kEpochBytes = 8;
constexpr std::size_t kNumberAt = 12;
constexpr std::size_t kNumberBytes = 4;
constexpr std::size_t kTimeAt = 16;
constexpr std::size_t kLogTimeBytes = 8;
constexpr std::size_t kEventsAt = 24;
constexpr std::size_t kStreamSequenceBytes = 8;
constexpr std::size_t kCodeBytes = 32;
constexpr std::size_t kRecordBytesMin = kEventsAt + kCodeBytes;

void set_integer(Bytes& out, std::size_t at, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) {
    out[at + i] = static_cast<std::uint8_t>(value >> (8 * (bytes - 1 - i)));
  }
}

std::uint64_t integer_at(ByteSpan bytes, std::size_t at, std::size_t size) {
  return read_integer(bytes.subspan(at, size));
}

// The record at the beginning of `bytes`, if one is there whole.
std::optional<ByteSpan> whole_record(ByteSpan bytes, const HmacKey& key) {
  if (bytes.size() < kRecordBytesMin) return std::nullopt;
  const std::size_t size = integer_at(bytes, 0, kSizeBytes);
  if (size < kRecordBytesMin || size > bytes.size()) return std::nullopt;
  const ByteSpan record = bytes.first(size);
  const Digest code = key.mac({record.first(size - kCodeBytes)});
  if (!std::ranges::equal(code.bytes, record.last(kCodeBytes))) return std::nullopt;
  return record;
}

// Calls visit(event) for each event of a whole record, visit_stream(sequence) for what it says of
// the cluster's stream; false when it is not made of these.
template <typename Visit, typename VisitStream>
bool for_each_event(ByteSpan record, Visit visit, VisitStream visit_stream) {
  ByteSpan rest = record.subspan(kEventsAt, record.size() - kEventsAt - kCodeBytes);
  while (!rest.empty()) {
    if (rest.size() < kSizeBytes) return false;
    const std::size_t size = integer_at(rest, 0, kSizeBytes);
    if (size > rest.size() - kSizeBytes) return false;
    if (size == 0) {
      if (rest.size() < kSizeBytes + kStreamSequenceBytes) return false;
      visit_stream(integer_at(rest, kSizeBytes, kStreamSequenceBytes));
      rest = rest.subspan(kSizeBytes + kStreamSequenceBytes);
      continue;
    }
    const auto view = RecordView::parse(rest.subspan(kSizeBytes, size));
    if (!view) return false;
    const auto event = view->to_event();
    if (!event) return false;
    visit(*event);
    rest = rest.subspan(kSizeBytes + size);
  }
  return true;
}

Result<std::size_t, int> file_bytes(int fd) {
  struct stat info {};

  if (::fstat(fd, &info) != 0) return failure(int{errno});
  return static_cast<std::size_t>(info.st_size);
}

}  // namespace

std::optional<LogMark> LogMark::parse(ByteSpan value) {
  if (value.size() != kBytes) return std::nullopt;
  LogMark mark;
  mark.applied_epoch = integer_at(value, 0, kEpochBytes);
  std::ranges::copy(value.last(mark.key.size()), mark.key.begin());
  return mark;
}

Key LogMark::value() const {
  return Key().add_integer(applied_epoch, kEpochBytes).add(key);
}

EventLog::EventLog(const std::filesystem::path& directory, bool sync)
    : path_(directory / "log"), sync_(sync) {}

EventLog::~EventLog() {
  if (fd_ >= 0) ::close(fd_);
}

std::string EventLog::problem(int code) const {
  return path_.string() + ": " + lmdb::Error{code}.text();
}

void EventLog::use_key(const LogMark& mark) {
  if (hmac_ && key_ == mark.key) return;
  key_ = mark.key;
  hmac_.emplace(ByteSpan(key_));
}

Result<void, lmdb::Error> EventLog::prepare(std::size_t bytes) {
  const int fd = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return failure(lmdb::Error{errno});
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  const auto there = file_bytes(fd_);
  if (!there) return failure(lmdb::Error{there.error()});
  int code = 0;
  if (*there < bytes) code = write_at(fd_, *there, Bytes(bytes - *there));
  if (code == 0 && sync_ && ::fsync(fd_) != 0) code = errno;
  if (code == 0 && sync_) code = sync_folder(path_.parent_path());
  if (code != 0) return failure(lmdb::Error{code});
  capacity_ = bytes;
  return {};
}

Result<bool, std::string> EventLog::open_if_there() {
  if (fd_ >= 0) return true;
  fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ >= 0) return true;
  if (errno == ENOENT) return false;
  return failure(problem(errno));
}

Result<Bytes, std::string> EventLog::read_bytes(std::size_t bytes_max) const {
  const auto there = file_bytes(fd_);
  if (!there) return failure(problem(there.error()));
  Bytes bytes(std::min(*there, bytes_max));
  const auto got = read_at(fd_, 0, bytes);
  if (!got) return failure(problem(got.error()));
  bytes.resize(*got);
  return bytes;
}

Result<EventLog::End, std::string> EventLog::read(const LogMark& mark, const Visit& visit,
                                                  const VisitStream& visit_stream) {
  End end{mark.applied_epoch + 1, 1, 0};
  const auto is_there = open_if_there();
  if (!is_there) return failure(is_there.error());
  if (!*is_there) return end;
  // Nearly always the first record is an old one.
  auto bytes = read_bytes(kRecordBytesMin);
  if (!bytes) return failure(bytes.error());
  if (bytes->size() < kRecordBytesMin || integer_at(*bytes, kEpochAt, kEpochBytes) != end.epoch) {
    return end;
  }
  bytes = read_bytes(SIZE_MAX);
  if (!bytes) return failure(bytes.error());
  use_key(mark);
  while (const auto record = whole_record(ByteSpan(*bytes).subspan(end.at), *hmac_)) {
    if (integer_at(*record, kEpochAt, kEpochBytes) != end.epoch ||
        integer_at(*record, kNumberAt, kNumberBytes) != end.number) {
      break;
    }
    const auto now_s = static_cast<std::int64_t>(integer_at(*record, kTimeAt, kLogTimeBytes));
    const bool is_right = for_each_event(
        *record, [&](const Event& event) { visit(event, now_s); },
        [&](std::uint64_t sequence) {
          if (visit_stream) visit_stream(sequence);
        });
    if (!is_right) {
      return failure(path_.string() + ": a record is damaged");
    }
    ++end.number;
    end.at += record->size();
  }
  return end;
}

Result<bool, std::string> EventLog::is_ahead_of(const LogMark& mark) {
  const auto is_there = open_if_there();
  if (!is_there) return failure(is_there.error());
  if (!*is_there) return false;
  const auto bytes = read_bytes(SIZE_MAX);
  if (!bytes) return failure(bytes.error());
  use_key(mark);
  const auto record = whole_record(*bytes, *hmac_);
  return record && integer_at(*record, kEpochAt, kEpochBytes) > mark.applied_epoch;
}

Result<bool, lmdb::Error> EventLog::append(const LogMark& mark, End& end,
                                           std::span<const Event* const> events, std::int64_t now_s,
                                           std::uint64_t stream_sequence) {
  if (end.epoch == failed_epoch_) return false;
  use_key(mark);
  record_.resize(kEventsAt);
  set_integer(record_, kEpochAt, end.epoch, kEpochBytes);
  set_integer(record_, kNumberAt, end.number, kNumberBytes);
  set_integer(record_, kTimeAt, static_cast<std::uint64_t>(now_s), kLogTimeBytes);
  for (const Event* event : events) {
    encode_record(packed_, *event);
    record_.resize(record_.size() + kSizeBytes);
    set_integer(record_, record_.size() - kSizeBytes, packed_.size(), kSizeBytes);
    record_.insert(record_.end(), packed_.begin(), packed_.end());
    if (record_.size() > capacity_) return false;
  }
  if (stream_sequence != 0) {
    const std::size_t at = record_.size();
    record_.resize(at + kSizeBytes + kStreamSequenceBytes);
    set_integer(record_, at, 0, kSizeBytes);
    set_integer(record_, at + kSizeBytes, stream_sequence, kStreamSequenceBytes);
  }
  const std::size_t size = record_.size() + kCodeBytes;
  if (end.at + size > capacity_) return false;
  set_integer(record_, 0, size, kSizeBytes);
  const Digest code = hmac_->mac({ByteSpan(record_)});
  record_.insert(record_.end(), code.bytes.begin(), code.bytes.end());

  int failed = write_at(fd_, end.at, record_);
  if (failed == 0 && sync_ && ::fdatasync(fd_) != 0) failed = errno;
  if (failed != 0) {
    failed_epoch_ = end.epoch;
    return failure(lmdb::Error{failed});
  }
  ++end.number;
  end.at += size;
  return true;
}

}  // namespace nostril::relay
