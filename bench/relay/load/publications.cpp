#include "bench/relay/load/publications.h"

#include "base/hex.h"
#include "bench/relay/load/answers.h"
#include "bench/relay/load/clocks.h"
#include "bench/relay/load/connections.h"
#include "schnorr/hash.h"

#include <string_view>
#include <utility>

namespace nostril::bench {

namespace {

constexpr std::size_t kLiveTextBytes = 400;
constexpr std::int64_t kProfileStepsMax =
    3'600;  // profiles are dated ahead of the last by a second

}  // namespace

Publications::Publications(std::span<const Event> events) {
  frames_.reserve(events.size());
  for (const Event& event : events) add(event.id, to_json(event));
}

void Publications::add(const EventId& id, std::string_view json) {
  places_.emplace(id_key(id), frames_.size());
  frames_.push_back(client_frame(std::string(R"(["EVENT",)").append(json) += ']'));
}

std::size_t Publications::find(std::uint64_t key) const {
  const auto found = places_.find(key);
  return found == places_.end() ? count() : found->second;
}

LiveEvents::LiveEvents()
    : run_(static_cast<std::uint64_t>(unix_s()) * 1'000'000),
      profile_time_(unix_s() - kProfileStepsMax),
      random_(run_) {
  for (std::size_t i = 0; i < kLiveAuthors; ++i) authors_.push_back(bench_key("live author", i));
}

std::vector<Event> LiveEvents::mixed(std::size_t count) {
  std::vector<EventDraft> drafts;
  for (std::size_t i = 0; i < count; ++i) {
    const double share = random_.unit();
    if (share < 0.06) {
      drafts.push_back(article_draft(random_, "live " + std::to_string(run_ + count_ + i)));
      continue;
    }
    EventDraft draft{.kind = share < 0.35 ? kReaction : kNote};
    if (draft.kind == kReaction || random_.unit() < 0.4) {
      draft.tags.add({"e", encode_hex(sha256(std::to_string(random_.below(1'000)))), "", "reply"});
      draft.tags.add({"p", recipient(random_.below(1'000'000))});
    }
    draft.content = draft.kind == kReaction ? "+" : text_of(random_, note_bytes(random_));
    drafts.push_back(std::move(draft));
  }
  return sign_drafts(std::move(drafts));
}

std::vector<Event> LiveEvents::profiles(std::size_t count) {
  std::vector<EventDraft> drafts;
  for (std::size_t i = 0; i < count; ++i) {
    drafts.push_back(profile_draft(random_));
    drafts.back().created_at = profile_time_ + static_cast<std::int64_t>(i / kLiveAuthors);
  }
  profile_time_ += static_cast<std::int64_t>(count / kLiveAuthors) + 1;
  count_ -= count_ % kLiveAuthors;  // begin at the first author
  return sign_drafts(std::move(drafts));
}

std::vector<Event> LiveEvents::tagged(std::uint32_t kind, char name,
                                      std::span<const std::string> values) {
  std::vector<EventDraft> drafts;
  for (const std::string& value : values) {
    EventDraft draft{.kind = kind};
    draft.tags.add({std::string_view(&name, 1), value});
    draft.content = text_of(random_, kLiveTextBytes);
    drafts.push_back(std::move(draft));
  }
  return sign_drafts(std::move(drafts));
}

std::vector<Event> LiveEvents::sign_drafts(std::vector<EventDraft> drafts) {
  std::vector<Event> events;
  const std::size_t first = count_;
  for (EventDraft& draft : drafts) {
    if (draft.created_at == 0) draft.created_at = unix_s();
    draft.content += draft.kind == kReaction || draft.kind == kProfile
                         ? std::string()
                         : std::to_string(run_ + count_);
    const Keypair& author = authors_[count_++ % kLiveAuthors];
    events.push_back(unsigned_event(std::move(draft), author.public_key()));
  }
  const auto key_of = [&](std::size_t i) -> const Keypair& {
    return authors_[(first + i) % kLiveAuthors];
  };
  sign_all(events, key_of, run_ + first);
  return events;
}

std::string recipient(std::size_t index) {
  return encode_hex(sha256("nostril bench recipient " + std::to_string(index)));
}

}  // namespace nostril::bench
