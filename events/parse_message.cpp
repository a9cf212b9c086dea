#include "events/json_input.h"
#include "events/messages.h"
#include "events/text.h"

#include <algorithm>

namespace nostril {

namespace json_input {

namespace {

/// The elements of a message ["COMMAND", …] in their order.
class MessageReader {
 public:
  explicit MessageReader(const MessageLimits& limits)
      : input_(Input::of_this_thread()), limits_(limits) {}

  /// Opens the text and reads the command.
  Result<std::string_view, ParseError> open(std::string_view text) {
    if (auto opened = input_.open(text); !opened) return failure(opened.error());
    const auto array = input_.array();
    if (!array) return failure(array.error());
    elements_.emplace(*array);
    if (auto moved = advance(); !moved) return failure(moved.error());
    return read_text(value_);
  }

  Result<std::string, ParseError> subscription() {
    if (auto moved = advance(); !moved) return failure(moved.error());
    const auto text = read_text(value_);
    if (!text) {
      return failure(text.error() == ParseError::NotJson ? ParseError::NotJson
                                                         : ParseError::BadSubscriptionId);
    }
    if (text->empty() || char_count(*text) > limits_.subscription_id_chars_max) {
      if (text->size() <= kRefusedIdBytesMax) refused_subscription_ = *text;
      return failure(ParseError::BadSubscriptionId);
    }
    return std::string(*text);
  }

  /// The text that was no subscription id, unless it was too long to be repeated.
  [[nodiscard]] const std::optional<std::string>& refused_subscription() const {
    return refused_subscription_;
  }

  /// An event that ends the message.
  Result<UnverifiedEvent, ParseError> last_event() {
    if (auto moved = advance(); !moved) return failure(moved.error());
    // From the event's { to the message's ]: before anything is allocated for it.
    if (input_.bytes_from(value_) > limits_.event.json_bytes_max + 1) {
      return failure(ParseError::TooLarge);
    }
    auto object = read_object(value_);
    if (!object) return failure(object.error());
    Event event;
    if (auto read = read_event(*object, limits_.event, event); !read) return failure(read.error());
    if (auto end = finish(); !end) return failure(end.error());
    return check_id(std::move(event));
  }

  /// One filter at least, to the end of the message.
  Result<std::vector<Filter>, ParseError> last_filters() {
    std::vector<Filter> filters;
    while (true) {
      const auto more = elements_->next(value_);
      if (!more) return failure(more.error());
      if (!*more) break;
      if (filters.size() == limits_.filters_max) return failure(ParseError::TooMany);
      auto filter = filter_of(value_);
      if (!filter) return failure(filter.error());
      filters.push_back(std::move(*filter));
    }
    if (filters.empty()) return failure(ParseError::MissingField);
    if (auto end = input_.finish(); !end) return failure(end.error());
    return filters;
  }

  /// One filter, alone or as the only element of an array.
  Result<Filter, ParseError> filter() {
    if (auto moved = advance(); !moved) return failure(moved.error());
    od::json_type type{};
    if (value_.type().get(type) != simdjson::SUCCESS) return failure(ParseError::NotJson);
    if (type != od::json_type::array) return filter_of(value_);
    const auto array = read_array(value_, ParseError::BadType);
    if (!array) return failure(array.error());
    Elements elements(*array);
    od::value item;
    const auto first = elements.next(item);
    if (!first) return failure(first.error());
    if (!*first) return failure(ParseError::MissingField);
    auto filter = filter_of(item);
    if (!filter) return filter;
    const auto more = elements.next(item);
    if (!more) return failure(more.error());
    if (*more) return failure(ParseError::TooMany);
    return filter;
  }

  /// Bytes in hex that end the message.
  Result<Bytes, ParseError> last_bytes() {
    if (auto moved = advance(); !moved) return failure(moved.error());
    const auto text = read_text(value_);
    if (!text) return failure(text.error());
    Bytes out(text->size() / 2);
    if (text->size() % 2 != 0 || !decode_hex(*text, out)) return failure(ParseError::BadHex);
    if (auto end = finish(); !end) return failure(end.error());
    return out;
  }

  Result<std::string, ParseError> text() {
    if (auto moved = advance(); !moved) return failure(moved.error());
    return bounded_text();
  }

  /// A text that ends the message; empty when the message ends before it.
  Result<std::string, ParseError> last_text() {
    std::string out;
    const auto more = elements_->next(value_);
    if (!more) return failure(more.error());
    if (*more) {
      auto text = bounded_text();
      if (!text) return text;
      out = std::move(*text);
      if (auto end = finish(); !end) return failure(end.error());
    } else if (auto end = input_.finish(); !end) {
      return failure(end.error());
    }
    return out;
  }

  Result<EventId, ParseError> event_id() {
    if (auto moved = advance(); !moved) return failure(moved.error());
    EventId id;
    if (auto read = read_hex(value_, id); !read) return failure(read.error());
    return id;
  }

  Result<bool, ParseError> boolean() {
    if (auto moved = advance(); !moved) return failure(moved.error());
    return read_boolean(value_);
  }

  /// {"count": n, …}: other members of NIP-45 (approximate, hll) are read past.
  Result<std::uint64_t, ParseError> last_count() {
    if (auto moved = advance(); !moved) return failure(moved.error());
    auto object = read_object(value_);
    if (!object) return failure(object.error());
    std::optional<std::uint64_t> count;
    for (auto field : *object) {
      std::string_view key;
      od::value value;
      if (field.unescaped_key().get(key) != simdjson::SUCCESS) return failure(ParseError::NotJson);
      if (field.value().get(value) != simdjson::SUCCESS) return failure(ParseError::NotJson);
      if (key != "count") {
        if (auto passed = read_past(value); !passed) return failure(passed.error());
        continue;
      }
      if (count) return failure(ParseError::DoubleField);
      const auto number = read_unsigned(value, std::numeric_limits<std::uint64_t>::max());
      if (!number) return failure(number.error());
      count = *number;
    }
    if (!count) return failure(ParseError::MissingField);
    if (auto end = finish(); !end) return failure(end.error());
    return *count;
  }

  /// The end of the message, which nothing may follow.
  Outcome finish() {
    const auto more = elements_->next(value_);
    if (!more) return failure(more.error());
    if (*more) return failure(ParseError::TooMany);
    return input_.finish();
  }

  /// The end, after any values that a later version of a NIP may add.
  Outcome read_past_rest() {
    while (true) {
      const auto more = elements_->next(value_);
      if (!more) return failure(more.error());
      if (!*more) return input_.finish();
      if (auto passed = read_past(value_); !passed) return passed;
    }
  }

 private:
  Outcome advance() {
    const auto more = elements_->next(value_);
    if (!more) return failure(more.error());
    if (!*more) return failure(ParseError::MissingField);
    return {};
  }

  [[nodiscard]] Result<Filter, ParseError> filter_of(od::value& value) const {
    auto object = read_object(value);
    if (!object) return failure(object.error());
    Filter out;
    if (auto read = read_filter(*object, limits_.filter, out); !read) return failure(read.error());
    return out;
  }

  Result<std::string, ParseError> bounded_text() {
    const auto text = read_text(value_);
    if (!text) return failure(text.error());
    if (text->size() > limits_.text_bytes_max) return failure(ParseError::TooLarge);
    return std::string(*text);
  }

  Input& input_;
  const MessageLimits& limits_;
  std::optional<Elements> elements_;
  od::value value_;
  std::optional<std::string> refused_subscription_;
};

bool is_blank(char c) {
  return static_cast<unsigned char>(c) <= ' ';
}

/// Whether a text that may be no JSON begins as an EVENT or AUTH does.
bool begins_as_event(std::string_view text) {
  const auto skip_blanks = [&] {
    text.remove_prefix(
        static_cast<std::size_t>(std::ranges::find_if_not(text, is_blank) - text.begin()));
  };
  skip_blanks();
  if (!text.starts_with('[')) return false;
  text.remove_prefix(1);
  skip_blanks();
  return text.starts_with(R"("EVENT")") || text.starts_with(R"("AUTH")");
}

/// The id of a refused event, so that its author gets an OK false that he can match. Reads the text
/// a second time: it may have failed before its id was reached. Line ends inside a string, the
/// usual fault of who writes JSON by hand, are no reason not to find it.
std::optional<std::string> find_event_id(std::string_view refused) {
  if (!begins_as_event(refused)) return std::nullopt;  // half a megabyte of it may have come
  std::string text(refused);
  std::ranges::replace_if(text, is_blank, ' ');
  Input& input = Input::of_this_thread();
  if (!input.open(text)) return std::nullopt;
  const auto array = input.array();
  if (!array) return std::nullopt;
  Elements elements(*array);
  od::value value;
  auto more = elements.next(value);
  if (!more || !*more) return std::nullopt;
  more = elements.next(value);
  if (!more || !*more) return std::nullopt;
  auto object = read_object(value);
  if (!object) return std::nullopt;
  for (auto field : *object) {
    std::string_view key;
    if (field.unescaped_key().get(key) != simdjson::SUCCESS) return std::nullopt;
    if (field.value().get(value) != simdjson::SUCCESS) return std::nullopt;
    if (key != "id") continue;
    const auto id = read_text(value);
    if (!id || id->size() > kRefusedIdBytesMax) return std::nullopt;
    return std::string(*id);
  }
  return std::nullopt;
}

MessageError plain_error(ParseError error) {
  return MessageError{error, std::nullopt, std::nullopt, std::nullopt};
}

MessageError event_error(ParseError error, std::string_view text) {
  return MessageError{error, find_event_id(text), std::nullopt, std::nullopt};
}

template <typename Message>
Result<ClientMessage, MessageError> read_client_event(MessageReader& reader,
                                                      std::string_view text) {
  auto event = reader.last_event();
  if (!event) return failure(event_error(event.error(), text));
  return ClientMessage(Message{std::move(*event)});
}

template <typename Message>
Result<ClientMessage, MessageError> read_query(MessageReader& reader) {
  auto subscription = reader.subscription();
  if (!subscription) {  // NIP-01: each REQ that is refused is answered by CLOSED
    return failure(MessageError{subscription.error(), std::nullopt, reader.refused_subscription(),
                                std::nullopt});
  }
  auto filters = reader.last_filters();
  if (!filters) {
    return failure(
        MessageError{filters.error(), std::nullopt, std::move(*subscription), std::nullopt});
  }
  return ClientMessage(Message{std::move(*subscription), std::move(*filters)});
}

template <typename Message>
Result<ClientMessage, MessageError> read_close(MessageReader& reader) {
  auto subscription = reader.subscription();
  if (!subscription) return failure(plain_error(subscription.error()));
  if (auto end = reader.finish(); !end) return failure(plain_error(end.error()));
  return ClientMessage(Message{std::move(*subscription)});
}

MessageError negentropy_error(ParseError error, std::string subscription) {
  return MessageError{error, std::nullopt, std::nullopt, std::move(subscription)};
}

/// As a refused REQ is: by the id that the client wrote, where that is a text.
MessageError negentropy_id_error(ParseError error, const MessageReader& reader) {
  return MessageError{error, std::nullopt, std::nullopt, reader.refused_subscription()};
}

Result<ClientMessage, MessageError> read_negentropy_open(MessageReader& reader) {
  auto subscription = reader.subscription();
  if (!subscription) return failure(negentropy_id_error(subscription.error(), reader));
  auto filter = reader.filter();
  if (!filter) return failure(negentropy_error(filter.error(), std::move(*subscription)));
  auto message = reader.last_bytes();
  if (!message) return failure(negentropy_error(message.error(), std::move(*subscription)));
  return ClientMessage(client_message::NegentropyOpen{std::move(*subscription), std::move(*filter),
                                                      std::move(*message)});
}

Result<ClientMessage, MessageError> read_negentropy_message(MessageReader& reader) {
  auto subscription = reader.subscription();
  if (!subscription) return failure(negentropy_id_error(subscription.error(), reader));
  auto message = reader.last_bytes();
  if (!message) return failure(negentropy_error(message.error(), std::move(*subscription)));
  return ClientMessage(
      client_message::NegentropyMessage{std::move(*subscription), std::move(*message)});
}

using RelayResult = Result<RelayMessage, ParseError>;

RelayResult read_event_found(MessageReader& reader) {
  auto subscription = reader.subscription();
  if (!subscription) return failure(subscription.error());
  auto event = reader.last_event();
  if (!event) return failure(event.error());
  return RelayMessage(relay_message::EventFound{std::move(*subscription), std::move(*event)});
}

RelayResult read_ok(MessageReader& reader) {
  const auto id = reader.event_id();
  if (!id) return failure(id.error());
  const auto accepted = reader.boolean();
  if (!accepted) return failure(accepted.error());
  auto message = reader.last_text();
  if (!message) return failure(message.error());
  return RelayMessage(relay_message::Ok{*id, *accepted, std::move(*message)});
}

RelayResult read_end_of_stored(MessageReader& reader) {
  auto subscription = reader.subscription();
  if (!subscription) return failure(subscription.error());
  if (auto end = reader.read_past_rest(); !end) return failure(end.error());
  return RelayMessage(relay_message::EndOfStored{std::move(*subscription)});
}

RelayResult read_closed(MessageReader& reader) {
  auto subscription = reader.subscription();
  if (!subscription) return failure(subscription.error());
  auto message = reader.last_text();
  if (!message) return failure(message.error());
  return RelayMessage(relay_message::Closed{std::move(*subscription), std::move(*message)});
}

RelayResult read_negentropy_answer(MessageReader& reader) {
  auto subscription = reader.subscription();
  if (!subscription) return failure(subscription.error());
  auto message = reader.last_bytes();
  if (!message) return failure(message.error());
  return RelayMessage(
      relay_message::NegentropyMessage{std::move(*subscription), std::move(*message)});
}

RelayResult read_negentropy_refusal(MessageReader& reader) {
  auto subscription = reader.subscription();
  if (!subscription) return failure(subscription.error());
  auto reason = reader.text();
  if (!reason) return failure(reason.error());
  if (auto end = reader.read_past_rest(); !end) return failure(end.error());
  return RelayMessage(relay_message::NegentropyError{std::move(*subscription), std::move(*reason)});
}

template <typename Message>
RelayResult read_one_text(MessageReader& reader) {
  auto text = reader.text();
  if (!text) return failure(text.error());
  if (auto end = reader.finish(); !end) return failure(end.error());
  return RelayMessage(Message{std::move(*text)});
}

RelayResult read_counted(MessageReader& reader) {
  auto subscription = reader.subscription();
  if (!subscription) return failure(subscription.error());
  const auto count = reader.last_count();
  if (!count) return failure(count.error());
  return RelayMessage(relay_message::Counted{std::move(*subscription), *count});
}

}  // namespace

}  // namespace json_input

Result<ClientMessage, MessageError> parse_client_message(std::string_view text,
                                                         const MessageLimits& limits) {
  using namespace client_message;  // NOLINT(google-build-using-namespace): this function only
  json_input::MessageReader reader(limits);
  const auto command = reader.open(text);
  if (!command) return failure(json_input::event_error(command.error(), text));
  if (*command == "EVENT") return json_input::read_client_event<Publish>(reader, text);
  if (*command == "REQ") return json_input::read_query<Request>(reader);
  if (*command == "CLOSE") return json_input::read_close<Close>(reader);
  if (*command == "COUNT") return json_input::read_query<Count>(reader);
  if (*command == "AUTH") return json_input::read_client_event<Auth>(reader, text);
  if (*command == "NEG-OPEN") return json_input::read_negentropy_open(reader);
  if (*command == "NEG-MSG") return json_input::read_negentropy_message(reader);
  if (*command == "NEG-CLOSE") return json_input::read_close<NegentropyClose>(reader);
  return failure(json_input::plain_error(ParseError::UnknownCommand));
}

Result<RelayMessage, ParseError> parse_relay_message(std::string_view text,
                                                     const MessageLimits& limits) {
  json_input::MessageReader reader(limits);
  const auto command = reader.open(text);
  if (!command) return failure(command.error());
  if (*command == "EVENT") return json_input::read_event_found(reader);
  if (*command == "OK") return json_input::read_ok(reader);
  if (*command == "EOSE") return json_input::read_end_of_stored(reader);
  if (*command == "CLOSED") return json_input::read_closed(reader);
  if (*command == "NOTICE") return json_input::read_one_text<relay_message::Notice>(reader);
  if (*command == "AUTH") return json_input::read_one_text<relay_message::AuthChallenge>(reader);
  if (*command == "COUNT") return json_input::read_counted(reader);
  if (*command == "NEG-MSG") return json_input::read_negentropy_answer(reader);
  if (*command == "NEG-ERR") return json_input::read_negentropy_refusal(reader);
  return failure(ParseError::UnknownCommand);
}

}  // namespace nostril
