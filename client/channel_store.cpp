#include "client/channel_store.h"

#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "events/big_endian.h"

#include <algorithm>
#include <utility>

namespace nostril::client {

namespace {

Bytes to_bytes(std::string_view text) {
  const ByteSpan span = as_bytes(text);
  return {span.begin(), span.end()};
}

template <typename T>
Bytes key_of(const T& id) {
  return {id.bytes.begin(), id.bytes.end()};
}

/// Our own file: every event in it was verified before it went in, so id and shape are checked
/// again (a damaged file), not the signature.
std::optional<Event> read_event(std::string_view json) {
  auto event = parse_event(json);
  if (!event) return std::nullopt;
  return event->event();
}

std::optional<Event> read_event_member(const Json& row, std::string_view key) {
  const Json* event = row.find(key);
  if (event == nullptr || event->is_null()) return std::nullopt;
  return read_event(event->dump());
}

template <typename T>
bool read_hex_member(const Json& row, std::string_view key, T& out) {
  const auto text = row.find_string(key);
  return text && decode_hex(*text, std::span<std::uint8_t>(out.bytes));
}

std::vector<Event> all_events(Journal& journal, JournalTable table, const ChannelId& id,
                              std::size_t count_max) {
  std::vector<Event> out;
  journal.scan(table, id.span(), [&](ByteSpan key, ByteSpan value) {
    if (out.size() >= count_max || !std::ranges::equal(key.first(32), id.span())) return false;
    if (auto event = read_event(as_text(value))) out.push_back(std::move(*event));
    return true;
  });
  return out;
}

}  // namespace

void write_terms(JsonWriter& w, const settlement::ChannelTerms& terms) {
  w.key("signer").string(encode_hex(terms.signer));
  w.key("node").string(encode_hex(terms.node));
  w.key("asset").string(terms.asset);
  w.key("salt").string(encode_hex(ByteSpan(terms.salt)));
  if (terms.lightning) w.key("lightning").boolean(true);
  if (!terms.chain) return;
  w.key("chain").string(to_decimal(terms.chain->place.chain_id));
  w.key("contract").string(encode_hex(terms.chain->place.contract));
  w.key("payer").string(encode_hex(terms.chain->payer));
  w.key("payee").string(encode_hex(terms.chain->payee));
  w.key("token").string(encode_hex(terms.chain->token));
}

std::optional<settlement::ChannelTerms> read_terms(const Json& row) {
  settlement::ChannelTerms out;
  const auto asset = row.find_string("asset");
  const auto salt = row.find_string("salt");
  if (!asset || !salt || !read_hex_member(row, "signer", out.signer) ||
      !read_hex_member(row, "node", out.node) ||
      !decode_hex(*salt, std::span<std::uint8_t>(out.salt))) {
    return std::nullopt;
  }
  out.asset = *asset;
  out.lightning = row.find_boolean("lightning").value_or(false);
  const auto chain = row.find_string("chain");
  if (!chain) return out;
  settlement::ChainTerms terms;
  const auto chain_id = parse_decimal_u64(*chain);
  if (!chain_id || !read_hex_member(row, "contract", terms.place.contract) ||
      !read_hex_member(row, "payer", terms.payer) || !read_hex_member(row, "payee", terms.payee) ||
      !read_hex_member(row, "token", terms.token)) {
    return std::nullopt;
  }
  terms.place.chain_id = *chain_id;
  out.chain = terms;
  return out;
}

std::string encode_channel(const StoredChannel& channel) {
  const settlement::ChannelSnapshot& book = channel.snapshot;
  JsonWriter w;
  w.begin_object();
  write_terms(w, channel.terms);
  w.key("n").string(to_decimal(book.n));
  w.key("last_record");
  if (book.last_record) {
    w.string(encode_hex(*book.last_record));
  } else {
    w.null();
  }
  w.key("running_hash").string(encode_hex(book.running_hash));
  w.key("previous_hash").string(encode_hex(book.previous_hash));
  w.key("micro").string(to_decimal(book.micro));
  w.key("accepted").string(book.accepted.to_string());
  w.key("session_charged").boolean(book.session_charged);
  w.key("open").boolean(channel.open);
  w.key("record").raw(channel.record ? to_json(*channel.record) : "null");
  w.key("paid");
  if (channel.paid) {
    w.begin_object();
    w.key("record").raw(to_json(channel.paid->record));
    w.key("receipt").raw(to_json(channel.paid->receipt));
    w.key("previous_hash").string(encode_hex(channel.paid->previous_hash));
    w.end_object();
  } else {
    w.null();
  }
  w.end_object();
  return std::move(w).take();
}

std::optional<StoredChannel> decode_channel(std::string_view text) {
  const auto row = Json::parse(text);
  if (!row) return std::nullopt;
  StoredChannel out;
  const auto terms = read_terms(*row);
  const auto n = row->find_string("n");
  const auto micro = row->find_string("micro");
  const auto accepted = row->find_string("accepted");
  if (!terms || !n || !micro || !accepted) return std::nullopt;
  if (!read_hex_member(*row, "running_hash", out.snapshot.running_hash) ||
      !read_hex_member(*row, "previous_hash", out.snapshot.previous_hash)) {
    return std::nullopt;
  }
  out.terms = *terms;
  const auto n_value = parse_decimal_u64(*n);
  const auto micro_value = parse_decimal(*micro, settlement::kMicroMax);
  const auto accepted_value = Amount::parse(*accepted);
  if (!n_value || !micro_value || !accepted_value) return std::nullopt;
  out.snapshot.n = *n_value;
  out.snapshot.micro = *micro_value;
  out.snapshot.accepted = *accepted_value;
  out.open = row->find_boolean("open").value_or(false);
  out.snapshot.session_charged = row->find_boolean("session_charged").value_or(false);
  if (EventId last; read_hex_member(*row, "last_record", last)) out.snapshot.last_record = last;
  out.record = read_event_member(*row, "record");
  if (const Json* paid = row->find("paid"); paid != nullptr && paid->is_object()) {
    auto record = read_event_member(*paid, "record");
    auto receipt = read_event_member(*paid, "receipt");
    Digest previous;
    if (!record || !receipt || !read_hex_member(*paid, "previous_hash", previous)) {
      return std::nullopt;
    }
    out.snapshot.paid_record = record->id;
    out.snapshot.paid_previous_hash = previous;
    out.paid = ChannelResync{std::move(*record), std::move(*receipt), previous};
  }
  return out;
}

JournalChange put_channel(const StoredChannel& channel) {
  return {JournalTable::Channels, key_of(settlement::channel_id(channel.terms)),
          to_bytes(encode_channel(channel))};
}

JournalChange put_record(const ResponseRecord& record, const Event& event) {
  Bytes key = key_of(record.channel);
  append_big_endian(key, record.n, 8);
  return {JournalTable::Records, std::move(key), to_bytes(to_json(event))};
}

JournalChange put_receipt(const BalanceReceipt& receipt, const Event& event) {
  Bytes key = key_of(receipt.channel);
  append_big_endian(key, receipt.amount.value(), 16);
  return {JournalTable::Receipts, std::move(key), to_bytes(to_json(event))};
}

std::optional<StoredChannel> get_channel(Journal& journal, const ChannelId& id) {
  const auto row = journal.get(JournalTable::Channels, id.span());
  if (!row) return std::nullopt;
  auto channel = decode_channel(as_text(*row));
  if (!channel)
    log(LogLevel::Error, "journal: the row of channel {} is damaged", public_text(encode_hex(id)));
  return channel;
}

std::vector<StoredChannel> all_channels(Journal& journal) {
  std::vector<StoredChannel> out;
  journal.scan(JournalTable::Channels, {}, [&](ByteSpan, ByteSpan value) {
    if (auto channel = decode_channel(as_text(value))) out.push_back(std::move(*channel));
    return true;
  });
  return out;
}

std::vector<Event> all_records(Journal& journal, const ChannelId& id, std::size_t count_max) {
  return all_events(journal, JournalTable::Records, id, count_max);
}

std::vector<Event> all_receipts(Journal& journal, const ChannelId& id, std::size_t count_max) {
  return all_events(journal, JournalTable::Receipts, id, count_max);
}

}  // namespace nostril::client
