#include "client/lightning_book.h"

#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"

#include <algorithm>
#include <utility>

namespace nostril::client {

using settlement::lightning::Payment;

std::string encode_payment(const Payment& payment) {
  JsonWriter w;
  w.begin_object();
  w.key("hash").string(encode_hex(payment.hash));
  w.key("channel").string(encode_hex(payment.channel));
  w.key("purpose").string(to_string(payment.purpose));
  w.key("outgoing").boolean(payment.outgoing);
  w.key("state").string(to_string(payment.state));
  w.key("amount").integer(static_cast<std::int64_t>(payment.amount));
  w.key("fees").integer(static_cast<std::int64_t>(payment.fees));
  w.key("invoice").string(payment.invoice);
  w.key("created_at").integer(payment.created_at);
  w.key("expires_at").integer(payment.expires_at);
  w.key("sent_until").integer(payment.sent_until);
  w.end_object();
  return std::move(w).take();
}

std::optional<Payment> decode_payment(std::string_view text) {
  const auto row = Json::parse(text);
  if (!row) return std::nullopt;
  const auto hash = from_hex<Digest>(row->find_string("hash").value_or(""));
  const auto channel = from_hex<ChannelId>(row->find_string("channel").value_or(""));
  const auto purpose =
      settlement::lightning::parse_payment_purpose(row->find_string("purpose").value_or(""));
  const auto state =
      settlement::lightning::parse_payment_state(row->find_string("state").value_or(""));
  const auto outgoing = row->find_boolean("outgoing");
  const auto amount = row->find_integer("amount");
  const auto fees = row->find_integer("fees");
  const auto created_at = row->find_integer("created_at");
  const auto expires_at = row->find_integer("expires_at");
  const auto sent_until = row->find_integer("sent_until");
  if (!hash || !channel || !purpose || !state || !outgoing || !amount || *amount < 0 || !fees ||
      *fees < 0 || !created_at || !expires_at || !sent_until) {
    return std::nullopt;
  }
  Payment out;
  out.hash = *hash;
  out.channel = *channel;
  out.purpose = *purpose;
  out.outgoing = *outgoing;
  out.state = *state;
  out.amount = static_cast<settlement::lightning::Msat>(*amount);
  out.fees = static_cast<settlement::lightning::Msat>(*fees);
  out.invoice = row->find_string("invoice").value_or("");
  out.created_at = *created_at;
  out.expires_at = *expires_at;
  out.sent_until = *sent_until;
  return out;
}

LightningBook::LightningBook(Journal& journal) : journal_(journal) {
  reload();
}

void LightningBook::reload() {
  payments_.clear();
  journal_.scan(JournalTable::Lightning, {}, [&](ByteSpan, ByteSpan value) {
    if (auto payment = decode_payment(as_text(value))) {
      payments_.push_back(std::move(*payment));
    } else {
      log(LogLevel::Error, "journal: the row of a payment over Lightning is damaged");
    }
    return true;
  });
}

const Payment* LightningBook::find(const settlement::lightning::PaymentHash& hash) const {
  const auto found = std::ranges::find(payments_, hash, &Payment::hash);
  return found == payments_.end() ? nullptr : &*found;
}

void LightningBook::put(const Payment& payment, const std::function<void(bool)>& done) {
  const auto found = std::ranges::find(payments_, payment.hash, &Payment::hash);
  if (found == payments_.end()) {
    payments_.push_back(payment);
  } else {
    *found = payment;
  }
  const std::string text = encode_payment(payment);
  const ByteSpan bytes = as_bytes(text);
  JournalChange change{JournalTable::Lightning,
                       Bytes(payment.hash.bytes.begin(), payment.hash.bytes.end()),
                       Bytes(bytes.begin(), bytes.end())};
  const bool queued = journal_.commit({std::move(change)}, done);
  if (queued) return;
  log(LogLevel::Error, "the journal is full; a payment over Lightning was not stored");
  if (done) done(false);
}

}  // namespace nostril::client
