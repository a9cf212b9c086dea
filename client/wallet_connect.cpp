#include "client/wallet_connect.h"

#include "base/hex.h"
#include "base/log.h"
#include "settlement/lightning/payment.h"

#include <algorithm>
#include <fstream>
#include <utility>
#include <vector>

namespace nostril::client {

namespace {

using namespace settlement::lightning;  // NOLINT(google-build-using-namespace)

constexpr std::uint64_t kDeadlineCheckMs = 250;

std::string_view tag_value(const Event& event, std::string_view name) {
  for (const Tags::View tag : event.tags) {
    if (tag.name() == name) return tag.value().value_or("");
  }
  return "";
}

WalletReply not_sent(std::string problem) {
  return {std::nullopt, std::nullopt, std::move(problem), false};
}

}  // namespace

Result<WalletUri, std::string> read_wallet_uri(const std::filesystem::path& file) {
  namespace fs = std::filesystem;
  constexpr std::uintmax_t kBytesMax = 4096;
  std::error_code problem;
  const fs::file_status status = fs::status(file, problem);
  if (problem || !fs::is_regular_file(status)) return failure(file.string() + ": no such file");
  const auto others = fs::perms::group_all | fs::perms::others_all;
  if ((status.permissions() & others) != fs::perms::none) {
    return failure(file.string() + ": others may read it; chmod 600");
  }
  std::ifstream in(file);
  std::string line;
  if (fs::file_size(file, problem) > kBytesMax || !std::getline(in, line)) {
    return failure(file.string() + ": can't be read");
  }
  auto uri = parse_wallet_uri(line);
  wipe({reinterpret_cast<std::uint8_t*>(line.data()), line.size()});
  if (!uri) return failure(file.string() + ": not a nostr+walletconnect:// connection");
  return std::move(*uri);
}

WalletConnect::WalletConnect(net::Loop& loop, Clock& clock, Rng& rng, WalletUri uri,
                             const std::string& ca_file)
    : loop_(loop),
      clock_(clock),
      rng_(rng),
      uri_(std::move(uri)),
      key_(ConversationKey::derive(uri_.client, uri_.wallet)),
      pool_(loop, clock, {}, ca_file) {
  for (const std::string& relay : uri_.relays) {
    if (!pool_.add_relay(relay)) log(LogLevel::Error, "a relay of the wallet's can't be used");
  }
  subscribe();
  timer_ = loop_.every(kDeadlineCheckMs, [this] { check_deadlines(); });
}

WalletConnect::~WalletConnect() {
  loop_.cancel(timer_);
}

void WalletConnect::subscribe() {
  Filter info;
  info.kinds = {kWalletInfoKind};
  info.authors = {uri_.wallet};
  SubscriptionCallbacks callbacks;
  callbacks.on_event = [this](const VerifiedEvent& event) { on_service(event.event()); };
  pool_.subscribe({std::move(info)}, std::move(callbacks));

  Filter answers;
  answers.kinds = {kWalletResponseKind, kWalletNotificationKind};
  answers.authors = {uri_.wallet};
  answers.tags.push_back({'p', {encode_hex(uri_.client.public_key())}});
  answers.limit = 0;  // what is stored answers nothing that was asked here
  callbacks = {};
  callbacks.on_event = [this](const VerifiedEvent& event) { on_event(event.event()); };
  callbacks.on_stored_end = [this](const std::string& /*relay*/) {
    subscribed_ = true;
    send_waiting();
  };
  callbacks.on_closed = [](const std::string& /*relay*/, const std::string& reason) {
    log(LogLevel::Error, "the wallet's relay refuses our subscription: {}", public_text(reason));
  };
  pool_.subscribe({std::move(answers)}, std::move(callbacks));
}

void WalletConnect::on_service(const Event& event) {
  if (service_ && event.created_at < service_at_) return;
  auto service = parse_wallet_service(event);
  if (!service) return;
  service_ = *service;
  service_at_ = event.created_at;
  send_waiting();
}

void WalletConnect::ask(WalletRequest request, Callback done,
                        std::optional<std::int64_t> expires_at) {
  if (!key_ || questions_.size() >= kQuestionsMax) {
    done(not_sent(key_ ? "too many questions to the wallet" : "the wallet's key is no point"));
    return;
  }
  const bool pays = method_of(request) == WalletMethod::PayInvoice;
  Question question{std::move(request), std::move(done),
                    clock_.monotonic_ms() + (pays ? kPayMsMax : kAnswerMsMax),
                    expires_at.value_or(clock_.unix_s() + kPayRequestS), false};
  questions_.emplace(next_++, std::move(question));
  // Never inside this call: the caller has not finished.
  (void)loop_.post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) send_waiting();
  });
}

void WalletConnect::send_waiting() {
  if (!service_ || !subscribed_) return;
  std::vector<std::uint64_t> waiting;
  for (const auto& [number, question] : questions_) {
    if (!question.sent) waiting.push_back(number);
  }
  for (const std::uint64_t number : waiting) {
    const auto found = questions_.find(number);
    if (found == questions_.end()) continue;
    if (!service_->nip44) {
      end(number,
          not_sent("the wallet service speaks NIP-04 only, which is refused: it has no MAC"));
    } else if (!service_->has(method_of(found->second.request))) {
      end(number, not_sent("the wallet service has no " +
                           std::string(to_string(method_of(found->second.request)))));
    } else if (clock_.unix_s() >= found->second.expires_at) {
      end(number, not_sent("the wallet service could not be reached in time"));
    } else {
      send(number, found->second);
    }
  }
}

void WalletConnect::send(std::uint64_t number, Question& question) {
  EventDraft draft;
  draft.created_at = clock_.unix_s();
  draft.kind = kWalletRequestKind;
  draft.tags.add({"p", encode_hex(uri_.wallet)});
  draft.tags.add({"encryption", "nip44_v2"});
  draft.tags.add({"expiration", std::to_string(question.expires_at)});
  draft.content = nip44_encrypt(*key_, request_text(question.request), rng_);
  const Event event = sign_event(std::move(draft), uri_.client, rng_);
  question.sent = true;
  by_event_.emplace(event.id, number);
  const bool queued = pool_.publish(
      event, [this, number, alive = std::weak_ptr(alive_)](const PublishResult& result) {
        if (alive.expired() || result.accepted || !result.refused) return;
        // An ephemeral event that no relay took reached nobody.
        end(number, not_sent(result.nobody_listens ? "the wallet service is not connected"
                                                   : "the wallet's relay refuses the request"));
      });
  if (!queued) end(number, not_sent("the wallet's relays take no more events"));
}

void WalletConnect::on_event(const Event& event) {
  const auto text = nip44_decrypt(*key_, event.content);
  if (!text) return;
  if (event.kind == kWalletNotificationKind) {
    const auto news = parse_wallet_notification(*text);
    if (news && on_news_) on_news_(*news);
    return;
  }
  const auto id = from_hex<EventId>(tag_value(event, "e"));
  const auto asked = id ? by_event_.find(*id) : by_event_.end();
  if (asked == by_event_.end()) return;
  const std::uint64_t number = asked->second;
  auto answer = parse_wallet_answer(questions_.at(number).request, *text);
  WalletReply reply;
  if (!answer) {
    reply.problem = "the wallet service's answer can't be understood";
  } else if (*answer) {
    reply.answer = std::move(**answer);
  } else {
    reply.error = answer->error();
    reply.problem = std::string(to_string(reply.error->code)) + ": " + reply.error->message;
  }
  end(number, reply);
}

void WalletConnect::end(std::uint64_t number, const WalletReply& reply) {
  const auto found = questions_.find(number);
  if (found == questions_.end()) return;
  const Callback done = std::move(found->second.done);
  questions_.erase(found);
  std::erase_if(by_event_, [number](const auto& entry) { return entry.second == number; });
  done(reply);
}

void WalletConnect::check_deadlines() {
  const std::int64_t now_ms = clock_.monotonic_ms();
  std::vector<std::pair<std::uint64_t, bool>> late;
  for (const auto& [number, question] : questions_) {
    if (now_ms >= question.deadline_ms) late.emplace_back(number, question.sent);
  }
  for (const auto& [number, sent] : late) {
    WalletReply reply;
    reply.sent = sent;
    reply.problem = sent ? "the wallet service does not answer"
                         : "the wallet service can't be reached, or says nothing of itself";
    end(number, reply);
  }
}

}  // namespace nostril::client
