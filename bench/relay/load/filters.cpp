#include "bench/relay/load/filters.h"

#include <string>
#include <string_view>
#include <vector>

namespace nostril::bench {

namespace {

constexpr std::size_t kFeedAuthors = 500;
constexpr std::uint64_t kLimit = 100;
constexpr std::int64_t kWindowS = 1'000 * kCorpusGapS;

}  // namespace

const Event& Filters::event() {
  return corpus_.events()[random_.below(corpus_.size())];
}

Filter Filters::ids(std::size_t count) {
  Filter filter;
  filter.ids.emplace();
  for (std::size_t i = 0; i < count; ++i) filter.ids->push_back(event().id);
  return filter;
}

Filter Filters::miss() {
  Filter filter;
  filter.ids.emplace(1);
  random_.fill(filter.ids->front().bytes);
  return filter;
}

Filter Filters::author_and_kind() {
  Filter filter;
  filter.authors = {event().pubkey};
  filter.kinds = {kNote};
  filter.limit = kLimit;
  return filter;
}

Filter Filters::tag(char name) {
  Filter filter;
  for (;;) {
    const auto value = event().tags.find(std::string_view(&name, 1));
    if (!value) continue;
    filter.tags.push_back({name, {std::string(*value)}});
    filter.limit = kLimit;
    return filter;
  }
}

Filter Filters::tags(char first, char second) {
  for (;;) {
    const Event& one = event();
    const auto a = one.tags.find(std::string_view(&first, 1));
    const auto b = one.tags.find(std::string_view(&second, 1));
    if (!a || !b) continue;
    Filter filter;
    filter.tags.push_back({first, {std::string(*a)}});
    filter.tags.push_back({second, {std::string(*b)}});
    filter.limit = kLimit;
    return filter;
  }
}

Filter Filters::any_tag(char name, std::size_t count) {
  Filter filter = tag(name);
  auto& values = filter.tags.front().values;
  while (values.size() < count) values.push_back(tag(name).tags.front().values.front());
  return filter;
}

Filter Filters::all_of_author() {
  for (;;) {
    Filter filter = author_and_kind();
    filter.limit.reset();
    if (filter.authors->front() != corpus_.deep_author()) return filter;
  }
}

Filter Filters::all_of_kind() {
  Filter filter;
  filter.kinds = {kReaction};
  filter.until = kCorpusNewest;
  return filter;
}

Filter Filters::all_of_tag(char name) {
  Filter filter = tag(name);
  filter.limit.reset();
  return filter;
}

Filter Filters::window() {
  Filter filter;
  filter.kinds = {kReaction};
  filter.until = event().created_at;
  filter.since = *filter.until - kWindowS;
  filter.limit = kLimit;
  return filter;
}

Filter Filters::newest() {
  Filter filter;
  filter.until = kCorpusNewest;
  filter.limit = kLimit;
  return filter;
}

Filter Filters::feed() {
  Filter filter;
  filter.authors.emplace();
  for (std::size_t i = 0; i < kFeedAuthors; ++i) filter.authors->push_back(event().pubkey);
  std::erase(*filter.authors, corpus_.deep_author());
  filter.kinds = {kNote, kArticle};
  filter.until = kCorpusNewest;
  filter.limit = kLimit;
  return filter;
}

Filter Filters::page(std::size_t number, std::size_t events) {
  const auto& all = answers_.of_author(corpus_.deep_author());
  Filter filter;
  filter.authors = {corpus_.deep_author()};
  filter.kinds = {kNote};
  filter.until = corpus_.events()[all[all.size() - 1 - number * events]].created_at;
  filter.limit = events;
  return filter;
}

}  // namespace nostril::bench
