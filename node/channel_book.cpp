#include "node/channel_book.h"

#include "base/log.h"

#include <algorithm>
#include <utility>

namespace nostril::node {

std::optional<Event> ChannelBook::state(ResponseRecord& record,
                                        const settlement::PriceTable& prices,
                                        const Keypair& identity, Rng& rng, std::int64_t now_ms) {
  if (auto stated = channel_.statement(record, prices); !stated) {
    log(LogLevel::Warning, "no statement: {}", stated.error());
    return std::nullopt;
  }
  const Digest previous_hash = channel_.running_hash();
  record_ = sign_event(build_record(record), identity, rng);
  record.id = record_->id;
  channel_.commit(record, prices);
  if (channel_.spent() == channel_.accepted()) return record_;  // it cost nothing
  unpaid_.push_back({*record_, previous_hash, channel_.running_hash(), now_ms});
  if (unpaid_.size() > settlement::NodeChannel::kUnpaidStatementsMax) unpaid_.pop_front();
  return record_;
}

settlement::ReceiptVerdict ChannelBook::accept(const SignedReceipt& receipt) {
  const settlement::ReceiptVerdict verdict = channel_.accept(receipt);
  if (verdict != settlement::ReceiptVerdict::Accepted) return verdict;
  const auto found = std::ranges::find(unpaid_, receipt->running_hash, &Unpaid::hash);
  if (found == unpaid_.end()) return verdict;
  if (!paid_) paid_.emplace();
  paid_->record = std::move(found->record);
  paid_->receipt = receipt.event();  // into the memory of the one before
  paid_->previous_hash = found->previous_hash;
  unpaid_.erase(unpaid_.begin(), found + 1);
  return verdict;
}

std::optional<std::int64_t> ChannelBook::owing_since_ms() const {
  if (unpaid_.empty() || channel_.spent() == channel_.accepted()) return std::nullopt;
  return unpaid_.front().at_ms;
}

void ChannelBook::tell_paid() {
  for (const auto& call : std::exchange(waiting_, {})) call();
}

client::JournalChange ChannelBook::row() const {
  return client::put_channel({channel_.terms(), channel_.snapshot(), record_, paid_});
}

std::shared_ptr<ChannelBook> ChannelBooks::open(const settlement::ChannelTerms& terms,
                                                Amount credit) {
  const ChannelId id = settlement::channel_id(terms);
  if (const auto found = books_.find(id); found != books_.end()) {
    if (auto book = found->second.lock()) return book;  // its backing is fresh
  }
  const auto stored = client::get_channel(journal_, id);
  auto book = stored ? std::make_shared<ChannelBook>(*stored, credit)
                     : std::make_shared<ChannelBook>(terms, credit);
  std::erase_if(books_, [](const auto& entry) { return entry.second.expired(); });
  book->set_backing(rail_.backing(terms));
  books_[id] = book;
  return book;
}

void ChannelBooks::refresh_backing() {
  for (const auto& [id, weak] : books_) {
    if (const auto book = weak.lock()) book->set_backing(rail_.backing(book->channel().terms()));
  }
}

}  // namespace nostril::node
