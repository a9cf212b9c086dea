#include "relay/store/import_export.h"

#include "base/mailbox.h"
#include "schnorr/verify.h"

#include <algorithm>
#include <deque>
#include <future>
#include <istream>
#include <iterator>
#include <ostream>
#include <thread>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 20;
constexpr std::size_t kExportRows = 1000;  // a read transaction

// Some lines, one after the other.
struct Lines {
  std::string text;
  std::vector<std::size_t> ends;
  std::vector<std::uint64_t> numbers;  // of the lines in the input

  // Calls visit(line, number) for each.
  template <typename Visit>
  void for_each(Visit visit) const {
    std::size_t start = 0;
    for (std::size_t i = 0; i < ends.size(); ++i) {
      visit(std::string_view(text).substr(start, ends[i] - start), numbers[i]);
      start = ends[i];
    }
  }
};

// The first ones, whatever the order they are found in.
void add_bad(std::vector<BadLine>& first, const BadLine& bad) {
  const auto at = std::ranges::upper_bound(first, bad.number, {}, &BadLine::number);
  if (at == first.end() && first.size() == ImportReport::kFirstBadMax) return;
  first.insert(at, bad);
  if (first.size() > ImportReport::kFirstBadMax) first.pop_back();
}

constexpr std::string_view kTooLong = "line too long";
constexpr std::string_view kForged = "bad signature";

// Lines of bounded size; longer ones are skipped and counted.
class LineReader {
 public:
  LineReader(std::istream& in, std::size_t line_bytes_max)
      : in_(in), line_bytes_max_(line_bytes_max) {}

  // Adds the next line that is not empty; false at the end of the input.
  bool next(Lines& lines) {
    const std::size_t start = lines.text.size();
    bool is_too_long = false;
    while (true) {
      const bool is_end = at_ == buffer_.size() && !fill();
      const std::size_t end = std::min(buffer_.find('\n', at_), buffer_.size());
      const std::size_t size = lines.text.size() - start + (end - at_);
      is_too_long = is_too_long || size > line_bytes_max_;
      if (!is_too_long) lines.text.append(buffer_, at_, end - at_);
      const bool is_whole = is_end || end < buffer_.size();
      at_ = end < buffer_.size() ? end + 1 : end;
      if (!is_whole) continue;
      ++number_;
      if (is_too_long) {
        ++too_long_;
        add_bad(first_too_long_, {number_, kTooLong});
        lines.text.resize(start);
      }
      if (lines.text.size() > start && lines.text.back() == '\r') lines.text.pop_back();
      if (lines.text.size() > start) {
        lines.ends.push_back(lines.text.size());
        lines.numbers.push_back(number_);
        return true;
      }
      if (is_end) return false;
      is_too_long = false;
    }
  }

  [[nodiscard]] std::uint64_t too_long() const { return too_long_; }

  [[nodiscard]] const std::vector<BadLine>& first_too_long() const { return first_too_long_; }

 private:
  bool fill() {
    buffer_.resize(kReadBytes);
    in_.read(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
    buffer_.resize(static_cast<std::size_t>(in_.gcount()));
    at_ = 0;
    return !buffer_.empty();
  }

  std::istream& in_;
  const std::size_t line_bytes_max_;
  std::string buffer_;
  std::size_t at_ = 0;
  std::uint64_t number_ = 0;  // of the line that was read last
  std::uint64_t too_long_ = 0;
  std::vector<BadLine> first_too_long_;
};

// What a thread makes of some lines, or several threads of more.
struct Parsed {
  std::vector<VerifiedEvent> verified;
  std::vector<UnverifiedEvent> unverified;  // instead, with --no-verify
  std::array<std::uint64_t, kParseErrorCount> errors{};
  std::uint64_t bad_signatures = 0;
  std::vector<BadLine> first_bad;
  std::size_t json_bytes = 0;

  [[nodiscard]] std::size_t events() const { return verified.size() + unverified.size(); }

  void add(Parsed&& other) {
    std::ranges::move(other.verified, std::back_inserter(verified));
    std::ranges::move(other.unverified, std::back_inserter(unverified));
    for (std::size_t i = 0; i < errors.size(); ++i) errors[i] += other.errors[i];
    bad_signatures += other.bad_signatures;
    for (const BadLine& bad : other.first_bad) add_bad(first_bad, bad);
    json_bytes += other.json_bytes;
  }
};

struct Job {
  Lines lines;
  std::promise<Parsed> result;
};

Parsed parse_lines(const Lines& lines, const ImportOptions& options, Verifier& verifier) {
  Parsed parsed;
  parsed.json_bytes = lines.text.size();
  parsed.unverified.reserve(lines.ends.size());
  std::vector<std::uint64_t> numbers;  // of those
  numbers.reserve(lines.ends.size());
  lines.for_each([&](std::string_view line, std::uint64_t number) {
    auto event = parse_event(line, options.limits);
    if (event) {
      parsed.unverified.push_back(std::move(*event));
      numbers.push_back(number);
    } else {
      ++parsed.errors[static_cast<std::size_t>(event.error())];
      add_bad(parsed.first_bad, {number, to_string(event.error())});
    }
  });
  if (!options.verify) return parsed;
  parsed.verified.reserve(parsed.unverified.size());
  auto number = numbers.begin();
  for (auto& event : VerifiedEvent::verify_all(parsed.unverified, verifier)) {
    if (event) {
      parsed.verified.push_back(std::move(*event));
    } else {
      ++parsed.bad_signatures;
      add_bad(parsed.first_bad, {*number, kForged});
    }
    ++number;
  }
  parsed.unverified.clear();
  return parsed;
}

// The threads that parse and verify; results come in the order of submission.
class ParserPool {
 public:
  explicit ParserPool(const ImportOptions& options)
      : depth_(options.verifier_threads + 2), queue_(depth_) {
    for (unsigned i = 0; i < std::max(options.verifier_threads, 1U); ++i) {
      threads_.emplace_back([this, &options] {
        Verifier verifier;
        while (auto jobs = queue_.wait_all(1)) {
          for (auto& job : *jobs) job.result.set_value(parse_lines(job.lines, options, verifier));
        }
      });
    }
  }

  ~ParserPool() {
    queue_.close();
    for (auto& thread : threads_) thread.join();
  }

  ParserPool(const ParserPool&) = delete;
  ParserPool& operator=(const ParserPool&) = delete;
  ParserPool(ParserPool&&) = delete;
  ParserPool& operator=(ParserPool&&) = delete;

  [[nodiscard]] bool is_full() const { return pending_.size() >= depth_; }

  [[nodiscard]] bool is_empty() const { return pending_.empty(); }

  void submit(Lines lines) {
    Job job{std::move(lines), {}};
    pending_.push_back(job.result.get_future());
    CHECK(queue_.push(std::move(job)));  // never more than pending_, which is bounded
  }

  Parsed take() {
    Parsed parsed = pending_.front().get();
    pending_.pop_front();
    return parsed;
  }

 private:
  const std::size_t depth_;
  Mailbox<Job> queue_;
  std::deque<std::future<Parsed>> pending_;
  std::vector<std::thread> threads_;
};

class Importer {
 public:
  Importer(Store& store, const Clock& clock, const ImportOptions& options)
      : store_(store), clock_(clock), options_(options), started_ms_(clock.monotonic_ms()) {}

  Result<ImportReport, StoreError> run(std::istream& in) {
    LineReader reader(in, options_.limits.json_bytes_max);
    ParserPool pool(options_);
    bool more = true;
    while (more || !pool.is_empty()) {
      if (more && !pool.is_full()) {
        more = submit_lines(reader, pool);
        continue;
      }
      gathered_.add(pool.take());
      if (gathered_.events() < options_.transaction_events &&
          gathered_.json_bytes < options_.transaction_bytes) {
        continue;
      }
      if (auto stored = store_gathered(); !stored) return failure(stored.error());
      show_progress(false);
    }
    if (auto stored = store_gathered(); !stored) return failure(stored.error());
    report_.lines_too_long = reader.too_long();
    for (const BadLine& bad : reader.first_too_long()) add_bad(report_.first_bad, bad);
    report_.lines += reader.too_long();
    show_progress(true);
    return report_;
  }

 private:
  bool submit_lines(LineReader& reader, ParserPool& pool) {
    Lines lines;
    bool more = true;
    while (more && lines.ends.size() < options_.batch_events) more = reader.next(lines);
    report_.lines += lines.ends.size();
    if (!lines.ends.empty()) pool.submit(std::move(lines));
    return more;
  }

  Result<void, StoreError> store_gathered() {
    const Parsed parsed = std::exchange(gathered_, {});
    const auto results = options_.verify
                             ? store_.put(parsed.verified, clock_.unix_s())
                             : store_.put_unverified(parsed.unverified, clock_.unix_s());
    if (!results) return failure(results.error());
    for (const PutResult result : *results) ++report_.results[static_cast<std::size_t>(result)];
    for (std::size_t i = 0; i < kParseErrorCount; ++i) {
      report_.parse_errors[i] += parsed.errors[i];
    }
    report_.bad_signatures += parsed.bad_signatures;
    for (const BadLine& bad : parsed.first_bad) add_bad(report_.first_bad, bad);
    return {};
  }

  void show_progress(bool is_end) {
    if (options_.progress == nullptr) return;
    const std::int64_t elapsed_ms = clock_.monotonic_ms() - started_ms_;
    if (!is_end && elapsed_ms < next_progress_ms_) return;
    next_progress_ms_ = elapsed_ms + 1000;
    std::ostream& out = *options_.progress;
    const std::uint64_t rate =
        report_.lines * 1000 / static_cast<std::uint64_t>(std::max<std::int64_t>(elapsed_ms, 1));
    out << "import: " << report_.lines << " lines, " << report_.count(PutResult::Stored)
        << " stored, " << report_.count(PutResult::Duplicate) << " duplicate, " << rate
        << " lines/s\n";
    if (is_end) show_refusals(out);
    out.flush();
  }

  void show_refusals(std::ostream& out) const {
    const auto show = [&out](std::uint64_t count, std::string_view why) {
      if (count > 0) out << "import: " << count << " left out: " << why << "\n";
    };
    for (std::size_t i = 0; i < kParseErrorCount; ++i) {
      show(report_.parse_errors[i], to_string(static_cast<ParseError>(i)));
    }
    show(report_.bad_signatures, kForged);
    show(report_.lines_too_long, kTooLong);
    for (const PutResult result :
         {PutResult::HaveNewer, PutResult::Deleted, PutResult::Vanished, PutResult::Expired,
          PutResult::Ephemeral, PutResult::OutOfRange}) {
      show(report_.count(result), ok_message(result));
    }
    for (const BadLine& bad : report_.first_bad) {
      out << "import: line " << bad.number << ": " << bad.why << "\n";
    }
    if (report_.first_bad.size() == ImportReport::kFirstBadMax) {
      out << "import: these were the first lines that are no events\n";
    }
  }

  Store& store_;
  const Clock& clock_;
  const ImportOptions& options_;
  const std::int64_t started_ms_;
  std::int64_t next_progress_ms_ = 1000;
  Parsed gathered_;  // for the next transaction
  ImportReport report_;
};

struct ExportChunk {
  Position last;  // of what was read
  bool more = true;
  std::size_t lines = 0;
  TextBuffer text;
};

// The next rows; the transaction is over before they are written to a maybe slow reader.
Result<void, StoreError> read_chunk(Store& store, std::int64_t now_s, ExportChunk& chunk) {
  chunk.text.clear();
  chunk.lines = 0;
  ReadTxn txn = store.read();
  lmdb::Cursor cursor(txn, store.tables().by_time);
  bool more = cursor.seek(chunk.last.bytes);
  if (more && std::ranges::equal(cursor.key(), chunk.last.bytes)) more = cursor.next();
  for (std::size_t i = 0; more && i < kExportRows; ++i, more = cursor.next()) {
    if (cursor.key().size() != kPositionBytes) {
      return failure(StoreError{"the index by time is damaged"});
    }
    chunk.last = Position::of_key(cursor.key());
    const auto record = store.find(txn, chunk.last.sequence());
    if (!record) return failure(StoreError{"a record is missing or damaged: run check"});
    if (record->is_expired(now_s)) continue;
    if (!append_json(chunk.text, *record)) {
      return failure(StoreError{"a record is damaged: run check"});
    }
    chunk.text.append("\n");
    ++chunk.lines;
  }
  chunk.more = more;
  if (!txn.ok()) return failure(StoreError{"the store can't be read: " + txn.error().text()});
  return {};
}

}  // namespace

Result<ImportReport, StoreError> import_jsonl(Store& store, std::istream& in, const Clock& clock,
                                              const ImportOptions& options) {
  return Importer(store, clock, options).run(in);
}

Result<std::uint64_t, StoreError> export_jsonl(Store& store, std::ostream& out, std::int64_t now_s,
                                               const ProgressHandler& progress) {
  ExportChunk chunk;
  std::uint64_t lines = 0;
  while (chunk.more) {
    if (auto read = read_chunk(store, now_s, chunk); !read) return failure(read.error());
    lines += chunk.lines;
    out << chunk.text.text();
    if (!out) return failure(StoreError{"the output can't be written"});
    if (progress) progress("events", lines);
  }
  out.flush();
  if (!out) return failure(StoreError{"the output can't be written"});
  return lines;
}

}  // namespace nostril::relay
