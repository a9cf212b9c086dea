#include "bench/relay/load/corpus.h"

#include "base/check.h"
#include "base/hex.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <span>
#include <stdexcept>

namespace nostril::bench {

namespace {

constexpr int kCorpusVersion = 1;  // counted up when the same arguments give other bytes
constexpr std::uint64_t kCorpusSeed = 0x6e6f'7374'7269'6c00;
constexpr std::size_t kTopics = 500;
constexpr std::size_t kChunkEvents = 4'096;

void write_corpus(const std::filesystem::path& path, std::size_t events,
                  const Corpus::Progress& progress) {
  // Another process may be making the same file: each writes its own and the last rename wins.
  const std::filesystem::path draft = fmt::format("{}.{}", path.string(), getpid());
  std::filesystem::create_directories(path.parent_path());
  std::ofstream out(draft, std::ios::binary);
  CorpusMaker maker(events);
  for (std::size_t made = 0; made < events;) {
    const std::size_t count = std::min(kChunkEvents, events - made);
    std::string text;
    for (const Event& event : maker.next(count)) {
      append_json(text, event);
      text += '\n';
    }
    out.write(text.data(), static_cast<std::streamsize>(text.size()));
    made += count;
    if (progress) progress(made, events);
  }
  out.close();
  if (!out) throw std::runtime_error("cannot write " + draft.string());
  std::filesystem::rename(draft, path);
}

}  // namespace

CorpusMaker::CorpusMaker(std::size_t events)
    : events_(events), zipf_(kCorpusAuthors), topics_(kTopics) {
  for (std::size_t i = 0; i <= kCorpusAuthors; ++i) authors_.push_back({bench_key("author", i)});
}

std::vector<Event> CorpusMaker::next(std::size_t count) {
  std::vector<Event> events;
  std::vector<std::size_t> authors;
  for (std::size_t i = 0; i < count; ++i, ++made_) {
    Random random(kCorpusSeed + made_);
    const std::size_t author = made_ % 2 == 1 ? kCorpusAuthors : zipf_.pick(random);
    EventDraft draft = draft_for(author, random);
    ++authors_[author].events;
    draft.created_at = kCorpusNewest - static_cast<std::int64_t>(events_ - 1 - made_) * kCorpusGapS;
    const PublicKey& key = authors_[author].key.public_key();
    events.push_back(unsigned_event(std::move(draft), key));
    authors.push_back(author);
    if (made_ % kCorpusRootEvery == 0) roots_.emplace_back(events.back().id, key);
  }
  const auto key_of = [&](std::size_t i) -> const Keypair& { return authors_[authors[i]].key; };
  sign_all(events, key_of, ~kCorpusSeed + made_);
  return events;
}

EventDraft CorpusMaker::draft_for(std::size_t author, Random& random) {
  if (author == kCorpusAuthors) return note(random, 60 + random.below(160));
  const std::size_t nth = authors_[author].events;
  if (nth == 0) return profile_draft(random);
  if (nth == 1) {
    EventDraft draft{.kind = kFollows};
    const std::size_t follows = 10 + random.below(80);
    for (std::size_t i = 0; i < follows; ++i) {
      const PublicKey& key = authors_[zipf_.pick(random)].key.public_key();
      draft.tags.add({"p", encode_hex(key)});
    }
    return draft;
  }
  if (nth == 2) return relay_list_draft(random);
  const double share = random.unit();
  if (share < 0.64) return note(random, note_bytes(random));
  if (share < 0.70) return article_draft(random, "article " + std::to_string(made_));
  EventDraft draft{.kind = share < 0.98 ? kReaction : kReport};
  refer_to_root(draft.tags, random);
  draft.content = draft.kind == kReaction ? "+" : text_of(random, 80);
  return draft;
}

EventDraft CorpusMaker::note(Random& random, std::size_t bytes) const {
  EventDraft draft{.kind = kNote};
  if (random.unit() < 0.4) refer_to_root(draft.tags, random);
  if (random.unit() < 0.3) {
    draft.tags.add({"t", "topic" + std::to_string(topics_.pick(random))});
  }
  draft.content = text_of(random, bytes);
  return draft;
}

// People answer what is recent: one of the last 64 roots.
void CorpusMaker::refer_to_root(Tags& tags, Random& random) const {
  if (roots_.empty()) return;
  const std::size_t back = 1 + random.below(std::min<std::size_t>(roots_.size(), 64));
  const auto& [id, author] = roots_[roots_.size() - back];
  tags.add({"e", encode_hex(id), "", "reply"});
  tags.add({"p", encode_hex(author)});
}

Corpus::Corpus(const std::filesystem::path& folder, std::size_t events, const Progress& progress)
    : path_(folder / fmt::format("corpus-v{}-{}.jsonl", kCorpusVersion, events)) {
  CHECK(events >= 2);
  if (!std::filesystem::exists(path_)) write_corpus(path_, events, progress);
  map();
  read_lines();
  if (events_.size() != events) throw std::runtime_error(path_.string() + " is incomplete");
}

Corpus::~Corpus() {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): munmap's own type
  munmap(const_cast<char*>(text_.data()), text_.size());
}

void Corpus::map() {
  const int file = open(path_.c_str(), O_RDONLY | O_CLOEXEC);  // NOLINT: variadic by POSIX
  const std::size_t size = std::filesystem::file_size(path_);
  void* memory =
      file < 0 ? MAP_FAILED : mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
  if (file >= 0) close(file);
  if (memory == MAP_FAILED) throw std::runtime_error("cannot map " + path_.string());
  text_ = {static_cast<const char*>(memory), size};
}

// parse_event() computes each id: bytes that changed on the disk are seen here.
void Corpus::read_lines() {
  for (std::size_t at = 0; at < text_.size();) {
    const std::size_t end = std::min(text_.find('\n', at), text_.size());
    lines_.push_back(text_.substr(at, end - at));
    auto parsed = parse_event(lines_.back());
    if (!parsed) {
      throw std::runtime_error(fmt::format("{}:{}: no event; remove the file, it is made anew",
                                           path_.string(), lines_.size()));
    }
    Event event = parsed->event();
    event.content = std::string();
    events_.push_back(std::move(event));
    at = end + 1;
  }
}

}  // namespace nostril::bench
