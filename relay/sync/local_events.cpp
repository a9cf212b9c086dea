#include "relay/sync/local_events.h"

#include "events/kinds.h"
#include "relay/admission.h"
#include "relay/store/record.h"

#include <algorithm>
#include <utility>

namespace nostril::relay {

namespace {

// A step keeps a read transaction, and the thread's other work, for so long.
constexpr ScanBudget kStep{SIZE_MAX, 1 << 14, 5'000};

}  // namespace

SetScan::SetScan(Store& store, const Filter& filter, std::int64_t now_s)
    : store_(store), scan_(store, {filter}, ScanOptions{now_s, UINT64_MAX}) {}

Result<bool, StoreError> SetScan::step() {
  ReadTxn txn = store_.read();
  const auto step = scan_.step(txn, kStep, [this](const ScanRow& row) {
    items_.push_back({row.record.created_at(), row.record.id()});
    return RowAction::Take;
  });
  if (!step) return failure(step.error());
  return step->done;
}

// They came newest first.
negentropy::Set SetScan::take() {
  std::ranges::reverse(items_);
  return negentropy::Set(std::exchange(items_, {}));
}

MaySend::MaySend(const AuthRules& rules, const Filter& filter) {
  for (const std::uint32_t kind : rules.private_kinds) {
    const bool is_named = filter.kinds && std::ranges::binary_search(*filter.kinds, kind);
    if (!is_named) withheld_kinds_.push_back(kind);
  }
}

bool MaySend::operator()(const Event& event) const {
  if (kind_class(event.kind) == KindClass::Ephemeral || is_protected(event)) return false;
  return !std::ranges::binary_search(withheld_kinds_, event.kind);
}

std::optional<std::string> sendable_json(Store& store, const EventId& id, const MaySend& may_send,
                                         const EventLimits& limits) {
  TextBuffer text;
  {
    ReadTxn txn = store.read();
    const auto record = store.find(txn, id);
    if (!record || !append_json(text, *record)) return std::nullopt;
  }
  const auto event = parse_event(text.text(), limits);
  if (!event || !may_send(event->event())) return std::nullopt;
  return std::string(text.text());
}

}  // namespace nostril::relay
