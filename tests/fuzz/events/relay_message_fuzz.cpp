#include "base/bytes.h"
#include "base/check.h"
#include "base/hex.h"
#include "events/messages.h"

#include <string>

using namespace nostril;  // NOLINT(google-build-using-namespace)

namespace {

std::string written(const RelayMessage& message) {
  struct Write {
    std::string operator()(const relay_message::EventFound& m) {
      return event_prefix(m.subscription) + to_json(m.event.event()) + "]";
    }

    std::string operator()(const relay_message::Ok& m) {
      return ok_text(encode_hex(m.id), m.accepted, m.message);
    }

    std::string operator()(const relay_message::EndOfStored& m) {
      return eose_text(m.subscription);
    }

    std::string operator()(const relay_message::Closed& m) {
      return closed_text(m.subscription, m.message);
    }

    std::string operator()(const relay_message::Notice& m) { return notice_text(m.message); }

    std::string operator()(const relay_message::AuthChallenge& m) {
      return auth_challenge_text(m.challenge);
    }

    std::string operator()(const relay_message::Counted& m) {
      return counted_text(m.subscription, m.count);
    }

    std::string operator()(const relay_message::NegentropyMessage& m) {
      return negentropy_message_text(m.subscription, m.message);
    }

    std::string operator()(const relay_message::NegentropyError& m) {
      return negentropy_error_text(m.subscription, m.reason);
    }
  };

  return std::visit(Write{}, message);
}

}  // namespace

/// What is accepted comes back the same from its own text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const MessageLimits limits;
  const auto first = parse_relay_message(as_text({data, size}), limits);
  if (!first) return 0;
  const std::string text = written(*first);
  const auto second = parse_relay_message(text, limits);
  CHECK(second.has_value());
  CHECK(second->index() == first->index());
  CHECK(written(*second) == text);
  return 0;
}
