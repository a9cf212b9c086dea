#include "base/bytes.h"
#include "base/check.h"
#include "base/json.h"
#include "events/messages.h"
#include "events/text.h"

#include <string>

using namespace nostril;  // NOLINT(google-build-using-namespace)

namespace {

std::string written(const ClientMessage& message) {
  struct Write {
    std::string operator()(const client_message::Publish& m) {
      return publish_text(m.event.event());
    }

    std::string operator()(const client_message::Request& m) {
      return request_text(m.subscription, m.filters);
    }

    std::string operator()(const client_message::Count& m) {
      return count_request_text(m.subscription, m.filters);
    }

    std::string operator()(const client_message::Close& m) { return close_text(m.subscription); }

    std::string operator()(const client_message::Auth& m) { return auth_text(m.event.event()); }

    std::string operator()(const client_message::NegentropyOpen& m) {
      return negentropy_open_text(m.subscription, m.filter, m.message);
    }

    std::string operator()(const client_message::NegentropyMessage& m) {
      return negentropy_message_text(m.subscription, m.message);
    }

    std::string operator()(const client_message::NegentropyClose& m) {
      return negentropy_close_text(m.subscription);
    }
  };

  return std::visit(Write{}, message);
}

}  // namespace

/// What is accepted comes back the same from its own text; a refusal names only what is bounded.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const MessageLimits limits;
  const auto first = parse_client_message(as_text({data, size}), limits);
  if (!first) {
    const MessageError& error = first.error();
    CHECK(!error.event_id || error.event_id->size() <= kRefusedIdBytesMax);
    // What the client is told stays one message, whatever he called his event.
    if (error.event_id) CHECK(is_event_text(*error.event_id));
    if (error.event_id) CHECK(Json::parse(ok_text(*error.event_id, false, "x")).has_value());
    CHECK(!error.subscription || error.subscription->size() <= kRefusedIdBytesMax);
    CHECK(!error.negentropy || error.negentropy->size() <= kRefusedIdBytesMax);
    CHECK(error.event_id.has_value() + error.subscription.has_value() +
              error.negentropy.has_value() <=
          1);
    return 0;
  }
  const std::string text = written(*first);
  const auto second = parse_client_message(text, limits);
  CHECK(second.has_value());
  CHECK(second->index() == first->index());
  CHECK(written(*second) == text);
  return 0;
}
