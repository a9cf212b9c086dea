#include "relay/reports.h"

#include "base/hex.h"
#include "events/kinds.h"

#include <optional>
#include <string_view>

namespace nostril::relay {

namespace {

// Of the tags of that name.
template <typename Id>
std::vector<Id> ids_in(const Event& event, std::string_view name) {
  std::vector<Id> out;
  for (const Tags::View tag : event.tags) {
    if (tag.name() != name || tag.size() < 2) continue;
    if (const auto id = from_hex<Id>(tag[1])) out.push_back(*id);
  }
  return out;
}

bool has_tag(const Event& event, std::string_view name) {
  for (const Tags::View tag : event.tags) {
    if (tag.name() == name) return true;
  }
  return false;
}

}  // namespace

bool Reports::counts(const Event& event) const {
  return event.kind == kinds::kReport && moderators_.contains(event.pubkey);
}

std::vector<EventId> Reports::file(const Event& report) {
  std::vector<EventId> refused;
  for (const EventId& id : ids_in<EventId>(report, "e")) {
    Moderators& by = events_[id];
    by.insert(report.pubkey);
    if (by.size() >= needed_) refused.push_back(id);
  }
  if (has_tag(report, "e")) return refused;
  for (const PublicKey& key : ids_in<PublicKey>(report, "p")) keys_[key].insert(report.pubkey);
  return refused;
}

std::vector<EventId> Reports::add(const Event& report) {
  if (!counts(report)) return {};
  const std::lock_guard lock(mutex_);
  if (is_beginning_again_) added_since_.push_back(report);
  return file(report);
}

void Reports::begin_again() {
  const std::lock_guard lock(mutex_);
  is_beginning_again_ = true;
  added_since_.clear();
}

void Reports::start_with(std::span<const Event> stored) {
  const std::lock_guard lock(mutex_);
  events_.clear();
  keys_.clear();
  for (const Event& report : stored) {
    if (counts(report)) (void)file(report);
  }
  for (const Event& report : added_since_) (void)file(report);
  added_since_ = {};
  is_beginning_again_ = false;
}

bool Reports::is_refused(const Event& event) const {
  if (moderators_.empty() || moderators_.contains(event.pubkey)) return false;
  const std::lock_guard lock(mutex_);
  const auto id = events_.find(event.id);
  if (id != events_.end() && id->second.size() >= needed_) return true;
  const auto key = keys_.find(event.pubkey);
  return key != keys_.end() && key->second.size() >= needed_;
}

std::vector<EventId> Reports::refused_events() const {
  std::vector<EventId> out;
  const std::lock_guard lock(mutex_);
  for (const auto& [id, by] : events_) {
    if (by.size() >= needed_) out.push_back(id);
  }
  return out;
}

bool Reports::takes_back(const Event& event) const {
  return event.kind == kinds::kDeletion && moderators_.contains(event.pubkey);
}

}  // namespace nostril::relay
