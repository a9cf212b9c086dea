#include "base/hex.h"
#include "events/kinds.h"
#include "relay/store/editor.h"
#include "relay/store/store.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

namespace nostril::relay {

namespace {

constexpr std::size_t kProblemsShown = 100;
constexpr std::uint64_t kRowsBetweenProgress = 100000;

// One walk over all tables in one read transaction.
class Checker {
 public:
  Checker(const Tables& tables, Dictionaries& dictionaries, ReadTxn& txn, bool recompute_ids,
          const ProgressHandler& progress)
      : tables_(tables),
        dictionaries_(dictionaries),
        txn_(txn),
        recompute_ids_(recompute_ids),
        progress_(progress) {}

  CheckReport run() {
    check_dictionaries();
    check_records();
    for (const auto& [table, name] : indexes()) check_index(table, name);
    if (tables_.words.exists()) check_index(tables_.words, "words");
    check_ties();
    check_addresses();
    if (!txn_.ok()) problem("the file can't be read: " + txn_.error().text());
    return std::move(report_);
  }

 private:
  [[nodiscard]] std::array<std::pair<lmdb::Dbi, const char*>, 7> indexes() const {
    return {{{tables_.by_id, "by_id"},
             {tables_.by_time, "by_time"},
             {tables_.by_kind, "by_kind"},
             {tables_.by_author, "by_author"},
             {tables_.by_author_kind, "by_author_kind"},
             {tables_.by_tag, "by_tag"},
             {tables_.by_expiry, "by_expiry"}}};
  }

  void problem(std::string text) {
    ++report_.problem_count;
    if (report_.problems.size() < kProblemsShown) report_.problems.push_back(std::move(text));
  }

  void tell(std::string_view what, std::uint64_t count) {
    if (progress_ && count % kRowsBetweenProgress == 0) progress_(what, count);
  }

  void check_dictionaries() {
    if (!tables_.dictionaries) return;
    lmdb::Cursor cursor(txn_, *tables_.dictionaries);
    for (bool more = cursor.first(); more; more = cursor.next()) {
      const auto row = DictionaryRow::parse(cursor.key(), cursor.value());
      if (!row || !Dictionary::make(row->id, row->bytes)) {
        problem("dictionary " + encode_hex(cursor.key()) + " is damaged");
      }
    }
  }

  void check_records() {
    lmdb::Cursor cursor(txn_, tables_.records);
    for (bool more = cursor.first(); more; more = cursor.next()) {
      tell("records", ++report_.records);
      if (cursor.key().size() != kSequenceBytes) {
        problem("record with a key of another size");
        continue;
      }
      const Sequence sequence{read_integer(cursor.key())};
      const auto record = dictionaries_.parse(txn_, cursor.value());
      if (record) {
        check_record(*record, sequence);
      } else {
        problem(describe(sequence) + ": " + std::string(to_string(record.error())));
      }
    }
  }

  void check_record(const RecordView& record, Sequence sequence) {
    for_each_index_key(tables_, record, sequence, [&](lmdb::Dbi table, const Key& key) {
      if (!txn_.get(table, key.span())) {
        problem(describe(sequence) + " is missing in an index: key " + encode_hex(key.span()));
      }
    });
    const auto unpacked = record.to_event();
    if (!unpacked) {
      problem(describe(sequence) + ": " + std::string(to_string(unpacked.error())));
      return;
    }
    const Event& event = *unpacked;
    if (kind_class(event.kind) == KindClass::Ephemeral) {
      problem(describe(sequence) + " is of an ephemeral kind");
    }
    if (expiration_of(event) != record.expiration()) {
      problem(describe(sequence) + " has another expiration than its tag");
    }
    if (recompute_ids_ && compute_id(event) != event.id) {
      problem(describe(sequence) + ": its content does not hash to its id");
    }
    check_address(record, sequence);
    check_vanished(event, sequence);
    if (event.kind == kinds::kDeletion) {
      check_deletion(event, sequence);
    } else if (event.kind != kinds::kVanish &&
               txn_.get(tables_.deleted_ids, deleted_id_key(event.id, event.pubkey).span())) {
      problem(describe(sequence) + " was deleted by its author");
    }
  }

  void check_address(const RecordView& record, Sequence sequence) {
    const auto address = address_key(record);
    if (!address) return;
    const auto value = txn_.get(tables_.by_address, address->span());
    if (!value || read_integer(*value) != static_cast<std::uint64_t>(sequence)) {
      problem(describe(sequence) + " is not the one at its address");
    }
    const auto until = txn_.get(tables_.deleted_addresses, address->span());
    if (until && static_cast<std::uint64_t>(record.created_at()) <= read_integer(*until)) {
      problem(describe(sequence) + " was deleted by its author through its address");
    }
  }

  // What is still being removed may be there.
  void check_vanished(const Event& event, Sequence sequence) {
    if (!tables_.vanished.exists()) return;
    const auto is_left_by = [&](const PublicKey& key) {
      const auto until = txn_.get(tables_.vanished, vanished_key(key).span());
      return until && static_cast<std::uint64_t>(event.created_at) <= read_integer(*until) &&
             !txn_.get(tables_.vanishing, key.bytes);
    };
    bool is_left = event.kind != kinds::kVanish && is_left_by(event.pubkey);
    for (const auto tag : event.tags) {
      if (event.kind != kinds::kGiftWrap || tag.name() != "p" || !tag.value()) continue;
      const auto receiver = from_hex<PublicKey>(*tag.value());
      is_left = is_left || (receiver && is_left_by(*receiver));
    }
    if (is_left) problem(describe(sequence) + " is left of somebody who has vanished");
  }

  void check_deletion(const Event& event, Sequence sequence) {
    for (const auto tag : event.tags) {
      const auto value = tag.value();
      if (!value) continue;
      if (tag.name() == "e") {
        const auto id = from_hex<EventId>(*value);
        if (id && !txn_.get(tables_.deleted_ids, deleted_id_key(*id, event.pubkey).span())) {
          problem(describe(sequence) + ": deletion without its mark on an id");
        }
      } else if (tag.name() == "a") {
        const auto address = parse_address(*value);
        if (!address || address->author != event.pubkey) continue;
        const Key key = address_key(address->author, address->kind, address->d);
        const auto until = txn_.get(tables_.deleted_addresses, key.span());
        if (!until || read_integer(*until) < static_cast<std::uint64_t>(event.created_at)) {
          problem(describe(sequence) + ": deletion without its mark on an address");
        }
      }
    }
  }

  // The other way: every entry belongs to a record that makes this very key.
  void check_index(lmdb::Dbi table, const char* name) {
    lmdb::Cursor cursor(txn_, table);
    for (bool more = cursor.first(); more; more = cursor.next()) {
      tell("index entries", ++report_.index_entries);
      if (!has_record(table, cursor.key())) {
        problem(std::string(name) + ": entry without its record: key " + encode_hex(cursor.key()));
      }
    }
  }

  // Of positions that differ in their sequence only, the higher one has the lower id.
  void check_ties() {
    lmdb::Cursor cursor(txn_, tables_.by_time);
    std::optional<Position> last;
    for (bool more = cursor.first(); more; more = cursor.next()) {
      if (cursor.key().size() != kPositionBytes) continue;  // already reported
      const Position position = Position::of_key(cursor.key());
      if (last && last->is_tie(position) && !has_lower_id(position, *last)) {
        problem(describe(position.sequence()) + " stands in the wrong order to " +
                describe(last->sequence()));
      }
      last = position;
    }
  }

  [[nodiscard]] bool has_lower_id(const Position& position, const Position& than) {
    const auto record_at = [this](const Position& at) {
      const auto bytes = txn_.get(tables_.records, sequence_key(at.sequence()).span());
      return bytes ? dictionaries_.parse(txn_, *bytes) : failure(RecordError::Truncated);
    };
    const auto lower = record_at(position);
    const auto higher = record_at(than);
    if (!lower || !higher) return true;  // already reported
    return lower->id() < higher->id();
  }

  [[nodiscard]] bool has_record(lmdb::Dbi table, ByteSpan entry) {
    if (entry.size() < kSequenceBytes) return false;
    const Sequence sequence{read_integer(entry.last(kSequenceBytes))};
    const auto bytes = txn_.get(tables_.records, sequence_key(sequence).span());
    if (!bytes) return false;
    const auto record = dictionaries_.parse(txn_, *bytes);
    if (!record) return true;  // already reported
    bool found = false;
    for_each_index_key(tables_, *record, sequence, [&](lmdb::Dbi made_for, const Key& key) {
      if (made_for.handle == table.handle && std::ranges::equal(key.span(), entry)) found = true;
    });
    return found;
  }

  void check_addresses() {
    lmdb::Cursor cursor(txn_, tables_.by_address);
    for (bool more = cursor.first(); more; more = cursor.next()) {
      ++report_.index_entries;
      const auto bytes = txn_.get(tables_.records, cursor.value());
      const auto record =
          bytes ? dictionaries_.parse(txn_, *bytes) : failure(RecordError::Truncated);
      const auto address = record ? address_key(*record) : std::nullopt;
      if (!address || !std::ranges::equal(address->span(), cursor.key())) {
        problem("by_address: entry without its record: key " + encode_hex(cursor.key()));
      }
    }
  }

  static std::string describe(Sequence sequence) {
    return "record " + std::to_string(static_cast<std::uint64_t>(sequence));
  }

  const Tables& tables_;
  Dictionaries& dictionaries_;
  ReadTxn& txn_;
  const bool recompute_ids_;
  const ProgressHandler& progress_;
  CheckReport report_;
};

}  // namespace

CheckReport Store::check(bool recompute_ids, const ProgressHandler& progress) {
  ReadTxn txn(*env_);
  return Checker(tables_, dictionaries_, txn, recompute_ids, progress).run();
}

}  // namespace nostril::relay
