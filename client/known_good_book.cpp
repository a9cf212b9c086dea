#include "client/known_good_book.h"

#include "base/hex.h"
#include "client/event_file.h"
#include "events/nip19.h"
#include "schnorr/hash.h"

#include <algorithm>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace nostril::client {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kFilesMax = 2048;

attestation::Subject subject_of(KnownSubject subject) {
  switch (subject) {
    case KnownSubject::Image:
      return attestation::Subject::Image;
    case KnownSubject::Compose:
      return attestation::Subject::Compose;
    case KnownSubject::Weights:
      return attestation::Subject::Weights;
    case KnownSubject::Machine:
      break;
  }
  return attestation::Subject::Machine;
}

/// NIP-01: the newer of two versions; of the same second the one with the lower id.
bool is_newer(const Event& event, const Event& than) {
  if (event.created_at != than.created_at) return event.created_at > than.created_at;
  return event.id < than.id;
}

}  // namespace

std::string_view to_string(KnownGoodBook::Outcome outcome) {
  switch (outcome) {
    case KnownGoodBook::Outcome::Taken:
      return "taken";
    case KnownGoodBook::Outcome::Older:
      return "a newer version of this list is known";
    case KnownGoodBook::Outcome::Untrusted:
      return "its author is not among the policy's [lists] trusted";
    case KnownGoodBook::Outcome::Malformed:
      return "not a known-good list";
    case KnownGoodBook::Outcome::FromFuture:
      return "it is dated in the future";
    case KnownGoodBook::Outcome::TooMany:
      return "its author has too many lists";
  }
  return "unknown";
}

KnownGoodBook::Outcome KnownGoodBook::add(const VerifiedEvent& event, std::int64_t now_s) {
  const Event& signed_event = event.event();
  const auto& trusted = rules_.trusted;
  if (std::ranges::find(trusted, signed_event.pubkey) == trusted.end()) return Outcome::Untrusted;
  auto list = parse_known_good(signed_event);
  if (!list) return Outcome::Malformed;
  if (list->created_at > now_s + attestation::kClockSkewS) return Outcome::FromFuture;
  const auto key = std::pair(list->auditor, list->name);
  const std::size_t bytes = to_json(signed_event).size();
  const auto found = lists_.find(key);
  std::size_t freed = 0;
  if (found != lists_.end()) {
    if (!is_newer(signed_event, found->second.event)) return Outcome::Older;
    freed = found->second.bytes;
  } else {
    const auto same_author = [&](const auto& entry) { return entry.first.first == key.first; };
    const auto count = static_cast<std::size_t>(std::ranges::count_if(lists_, same_author));
    if (count >= kListsPerKeyMax) return Outcome::TooMany;
  }
  if (bytes_ - freed + bytes > kBytesMax) return Outcome::TooMany;
  bytes_ += bytes - freed;
  lists_.insert_or_assign(key, Kept{signed_event, std::move(*list), bytes});
  return Outcome::Taken;
}

attestation::KnownList to_known_list(const KnownGoodList& list, const ListRules& rules) {
  attestation::KnownList out;
  out.author = nip19::encode(nip19::Npub{list.auditor});
  out.name = list.name;
  out.ends_at = std::min(list.expires_at, list.created_at + rules.age_s_max);
  for (const KnownGoodEntry& entry : list.entries) {
    attestation::ListEntry& made = out.entries.emplace_back();
    made.allow = entry.allow;
    made.subject = subject_of(entry.subject);
    for (const KnownPart& part : entry.parts) made.parts.push_back({part.name, part.value});
    made.model = entry.model;
    made.reason = entry.reason;
  }
  return out;
}

void KnownGoodBook::apply_to(VerifyPolicy& policy) const {
  for (attestation::Acceptance* acceptance : {&policy.tdx.acceptance, &policy.snp.acceptance}) {
    std::erase_if(acceptance->lists, [](const auto& list) { return !list.own; });
    for (const auto& [key, kept] : lists_) {
      acceptance->lists.push_back(to_known_list(kept.list, rules_));
    }
  }
}

void add_files(KnownGoodBook& book, const ListRules& rules, std::int64_t now_s) {
  Verifier verifier;
  for (const std::string& file : rules.files) {
    const auto outcome = book.add(read_event_file(file, verifier), now_s);
    // Two files may hold two versions.
    if (outcome == KnownGoodBook::Outcome::Taken || outcome == KnownGoodBook::Outcome::Older) {
      continue;
    }
    throw std::runtime_error(file + ": " + std::string(to_string(outcome)));
  }
}

void add_folder(KnownGoodBook& book, const fs::path& folder, std::int64_t now_s) {
  std::error_code error;
  Verifier verifier;
  std::size_t files = 0;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".json" || ++files > kFilesMax) continue;
    try {
      book.add(read_event_file(entry.path(), verifier), now_s);
    } catch (const std::runtime_error&) {
      // Not ours, or cut short by a crash: the relays have it.
    }
  }
}

bool save_list(const fs::path& folder, const KnownGoodBook::Kept& kept) {
  std::error_code error;
  fs::create_directories(folder, error);
  const std::string name =
      encode_hex(kept.event.pubkey) + "-" + encode_hex(sha256(kept.list.name)).substr(0, 16);
  const fs::path part = folder / (name + ".part");
  std::ofstream file(part, std::ios::binary | std::ios::trunc);
  file << to_json(kept.event) << '\n';
  file.close();
  if (!file) return false;
  fs::rename(part, folder / (name + ".json"), error);
  return !error;
}

}  // namespace nostril::client
