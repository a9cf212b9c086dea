#include "client/relay_probe.h"

#include "base/base64.h"
#include "base/hex.h"
#include "events/frames.h"
#include "events/inference.h"
#include "events/kinds.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <utility>
#include <vector>

namespace nostril::client {

namespace {

constexpr std::size_t kDocumentBytesMax = 256U << 10U;
constexpr std::uint64_t kDocumentMsMax = 5'000;
/// A frame event's JSON beside its content: ids, keys, signature, one tag.
constexpr std::int64_t kEventBytes = 1'024;
constexpr std::int64_t kFrameEventBytes = 16U << 10U;
/// Evidence is base64 inside its event.
constexpr std::int64_t kAttestationEventBytes =
    static_cast<std::int64_t>(InferenceLimits::kEvidenceBytesMax) + kEventBytes;
constexpr std::int64_t kEchoMsWanted = 1'000;

std::string largest_frame_text(Rng& rng) {
  Bytes bytes(kFrameTextBytesMax + 65);  // as NIP-44 pads it, with its version, nonce and MAC
  rng.fill(bytes);
  return encode_base64(bytes);
}

std::string http_of(const std::string& url) {
  return "http" + url.substr(2);  // ws://… and wss://…
}

}  // namespace

std::optional<std::int64_t> parse_http_date(const std::string& text) {
  std::tm parts{};
  const char* end = strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return std::int64_t{timegm(&parts)} * 1000;
}

RelayProbe::RelayProbe(std::string url, const std::string& ca_file, net::Loop& loop, Clock& clock,
                       Rng& rng)
    : loop_(loop),
      clock_(clock),
      rng_(rng),
      to_(Keypair::generate(rng)),
      http_(loop, 1),
      pool_(loop, clock, {}, ca_file) {
  facts_.url = std::move(url);
  if (!pool_.add_relay(facts_.url)) {
    facts_.problem = facts_.echo_problem = "no ws:// or wss:// URL";
    asked_ = true;
    return;
  }
  ask_document(ca_file);
  Filter filter;
  filter.kinds = {kinds::kFrame};
  filter.tags = {{'p', {encode_hex(to_.public_key())}}};
  SubscriptionCallbacks callbacks;
  callbacks.on_event = [this](const VerifiedEvent& event) {
    if (is_sent_ && event.event().id == sent_) {
      facts_.echo_ms = clock_.monotonic_ms() - sent_at_ms_;
    }
  };
  callbacks.on_stored_end = [this](const std::string&) { send_frame(); };
  callbacks.on_closed = [this](const std::string&, const std::string& reason) {
    facts_.echo_problem = "refuses our subscription: " + reason;
  };
  pool_.subscribe({std::move(filter)}, std::move(callbacks));
}

void RelayProbe::ask_document(const std::string& ca_file) {
  net::HttpCall call;
  call.url = http_of(facts_.url);
  call.headers.add("Accept", "application/nostr+json");
  call.ca_path = ca_file;
  call.response_bytes_max = kDocumentBytesMax;
  call.connect_ms_max = call.first_byte_ms_max = call.idle_ms_max = kDocumentMsMax;
  net::HttpCallbacks callbacks;
  asked_at_ms_ = clock_.unix_ms();
  callbacks.on_status = [this](int, const net::HttpHeaders& headers) {
    const auto field = headers.find("Date");
    const auto date = field ? parse_http_date(std::string(*field)) : std::nullopt;
    // The date was cut to seconds somewhere between question and answer.
    constexpr std::int64_t kHalfSecondMs = 500;
    if (date) facts_.ahead_ms = (asked_at_ms_ + clock_.unix_ms()) / 2 - (*date + kHalfSecondMs);
  };
  callbacks.on_data = [this](std::string_view bytes) {
    body_ += bytes;
    return true;
  };
  callbacks.on_done = [this](const net::HttpCallResult& result) {
    asked_ = true;
    if (!result.ok()) return;
    if (auto document = Json::parse(body_); document && document->is_object()) {
      facts_.document = std::move(*document);
    }
  };
  http_.start(std::move(call), std::move(callbacks));
}

void RelayProbe::send_frame() {
  if (std::exchange(is_sent_, true)) return;
  EventDraft draft;
  draft.created_at = clock_.unix_s();
  draft.kind = kinds::kFrame;
  draft.tags = {{"p", encode_hex(to_.public_key())}};
  draft.content = largest_frame_text(rng_);
  const Event event = sign_event(std::move(draft), Keypair::generate(rng_), rng_);
  sent_ = event.id;
  sent_at_ms_ = clock_.monotonic_ms();
  const bool queued = pool_.publish(event, [this](const PublishResult& result) {
    if (result.accepted || facts_.echo_ms) return;
    facts_.echo_problem =
        result.refusals.empty() ? "does not answer" : "refuses a frame: " + result.refusals.front();
  });
  if (!queued) facts_.echo_problem = "a frame could not be sent";
}

bool RelayProbe::done() const {
  if (!asked_) return false;
  const bool is_out_of_reach = pool_.connected_count() == 0 && !pool_.is_starting();
  return facts_.echo_ms || !facts_.echo_problem.empty() || is_out_of_reach;
}

RelayFacts RelayProbe::facts() const {
  RelayFacts out = facts_;
  if (out.problem.empty() && pool_.connected_count() == 0) {
    const auto problems = pool_.problems();
    out.problem = problems.empty() ? "no connection" : problems.front();
    if (out.problem.starts_with(out.url)) {
      out.problem.erase(0, out.problem.find(": ") + 2);  // the pool names the relay, too
    }
  }
  if (!out.echo_ms && out.echo_problem.empty()) {
    out.echo_problem =
        is_sent_ ? "a frame did not come back" : "does not say the end of what it stores (EOSE)";
  }
  return out;
}

namespace {

void worsen(Finding& finding, Health health, const std::string& found, const std::string& remedy) {
  finding.health = std::max(finding.health, health);
  finding.found += "\n" + found;
  if (!finding.remedy.empty()) finding.remedy += "\n";
  finding.remedy += remedy;
}

/// What the document says that the node will not get by with.
void judge_document(const Json& document, Finding& finding) {
  const Json* limits = document.find("limitation");
  if (limits == nullptr) return;
  const auto bounded = [&](const char* key, std::int64_t least, std::int64_t wanted) {
    const auto value = limits->find_integer(key);
    if (!value || *value >= wanted) return;
    const bool too_small = *value < least;
    worsen(finding, too_small ? Health::Wrong : Health::Warning,
           fmt::format("{} is {}", key, *value),
           too_small
               ? fmt::format("ask its operator for {} at least, or leave it out of relays", least)
               : fmt::format("evidence with GPUs may need {}: have another relay that takes it",
                             wanted));
  };
  bounded("max_message_length", kFrameEventBytes + kEventBytes, kAttestationEventBytes);
  bounded("max_content_length", kFrameEventBytes - kEventBytes,
          static_cast<std::int64_t>(InferenceLimits::kEvidenceBytesMax));
  constexpr std::int64_t kSubscriptions = 2;  // frames, beacons
  bounded("max_subscriptions", kSubscriptions, kSubscriptions);
  constexpr std::int64_t kOfferTags = 40;
  bounded("max_event_tags", kOfferTags, kOfferTags);
  for (const char* key : {"auth_required", "payment_required"}) {
    if (limits->find_boolean(key) != true) continue;
    worsen(finding, Health::Wrong, fmt::format("{} is true", key),
           "nodes write with keys that no relay knows before: use one that is open to them");
  }
  if (limits->find_boolean("restricted_writes") == true) {
    worsen(finding, Health::Warning, "restricted_writes is true",
           "make sure that it takes events of new keys: sessions use one each");
  }
}

}  // namespace

Finding judge_relay(const RelayFacts& facts) {
  Finding out{"relay", Health::Ok, facts.url + ": ", {}};
  if (!facts.problem.empty()) {
    out.health = Health::Wrong;
    out.found += facts.problem;
    out.remedy =
        "check the address, the firewall towards it, and for wss:// its certificate "
        "(ca_file), or take it out of relays";
    return out;
  }
  if (facts.echo_ms) {
    out.found += fmt::format("a frame of the largest size came back in {} ms", *facts.echo_ms);
    if (*facts.echo_ms > kEchoMsWanted) {
      out.health = Health::Warning;
      out.remedy = "each piece of an answer waits as long: take a relay nearby";
    }
  } else {
    out.health = Health::Wrong;
    out.found += facts.echo_problem;
    out.remedy =
        "nodes and clients meet by ephemeral events (kind 21472) of up to 16 KiB: use a "
        "relay that passes them on";
  }
  if (facts.document) {
    if (const auto software = facts.document->find_string("software")) {
      out.found +=
          fmt::format(", {} {}", *software, facts.document->find_string("version").value_or(""));
    }
    judge_document(*facts.document, out);
  } else {
    out.found += ", says nothing of its limits (NIP-11)";
  }
  return out;
}

}  // namespace nostril::client
