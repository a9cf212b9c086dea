#include "client/c/nostril.h"

#include "base/clock.h"
#include "client/chat.h"
#include "client/client.h"
#include "client/saved_answer.h"
#include "schnorr/verify.h"

#include <chrono>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

using nostril::client::Answer;
using nostril::client::AnswerCallbacks;
using nostril::client::AnsweringNode;
using nostril::client::AnswerReport;
using nostril::client::Asking;
using nostril::client::Client;
using nostril::client::ClientSettings;
using nostril::client::QueryFailure;
using nostril::client::Question;

struct nostril_settings {
  ClientSettings settings;
};

struct nostril_client {
  Client client;
};

struct nostril_ask {
  Asking asking;
};

struct nostril_answer {
  Answer answer;
  std::string verdict;
  std::string json;
};

namespace {

static_assert(NOSTRIL_NO_CHANNEL == static_cast<nostril_status>(QueryFailure::NoChannel));
static_assert(NOSTRIL_BROKEN == static_cast<nostril_status>(QueryFailure::Broken));

thread_local std::string
    t_last_error;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

nostril_status fail(nostril_status status, std::string_view why) {
  try {
    t_last_error = why;
  } catch (...) {  // no memory for the sentence either
    t_last_error.clear();
  }
  return status;
}

/// Runs `body`; no exception leaves. `refusal`: what a std::runtime_error means.
template <typename Body>
nostril_status guarded(nostril_status refusal, const Body& body) noexcept {
  try {
    return body();
  } catch (const std::invalid_argument& error) {
    return fail(NOSTRIL_INVALID, error.what());
  } catch (const nostril::client::InCallback& error) {
    return fail(NOSTRIL_IN_CALLBACK, error.what());
  } catch (const std::runtime_error& error) {
    return fail(refusal, error.what());
  } catch (const std::bad_alloc&) {
    return fail(NOSTRIL_INTERNAL, "no memory");
  } catch (const std::exception& error) {
    return fail(NOSTRIL_INTERNAL, error.what());
  } catch (...) {
    return fail(NOSTRIL_INTERNAL, "an unknown error");
  }
}

template <typename Set>
nostril_status set_text(nostril_settings* settings, const char* text, const Set& set) noexcept {
  return guarded(NOSTRIL_INVALID, [&] {
    if (settings == nullptr || text == nullptr) {
      return fail(NOSTRIL_INVALID, "settings or text are NULL");
    }
    set(settings->settings, std::string(text));
    return nostril_status{NOSTRIL_OK};
  });
}

/// A copy that nostril_text_free() takes.
char* give(const std::string& text) {
  auto copy = std::make_unique<char[]>(text.size() + 1);
  std::memcpy(copy.get(), text.c_str(), text.size() + 1);
  return copy.release();
}

std::string text_or_empty(const char* text) {
  return text == nullptr ? std::string() : std::string(text);
}

/// A struct of the caller: its `size` bytes, the rest zero. Nothing when it is none that we know.
template <typename Struct>
std::optional<Struct> read_struct(const Struct* given) {
  if (given == nullptr || given->size < sizeof(std::size_t) || given->size > sizeof(Struct)) {
    return std::nullopt;
  }
  Struct out{};
  std::memcpy(&out, given, given->size);
  return out;
}

Question question_of(const nostril_question& given) {
  if ((given.text == nullptr) == (given.body == nullptr)) {
    throw std::invalid_argument("a question has either a text or a body");
  }
  Question out;
  out.model = text_or_empty(given.model);
  if (given.path != nullptr) out.path = given.path;
  out.body = given.body != nullptr
                 ? given.body
                 : nostril::client::chat_body({.model = out.model, .question = given.text});
  if (given.response_bytes_max != 0) out.response_bytes_max = given.response_bytes_max;
  return out;
}

AnswerCallbacks callbacks_of(const nostril_callbacks& given) {
  AnswerCallbacks out;
  void* const user = given.user;
  if (given.on_node != nullptr) {
    out.on_node = [user, call = given.on_node](const AnsweringNode& node) {
      return call(user, node.npub.c_str(), node.model.c_str(), node.verdict.simulated ? 1 : 0) == 0;
    };
  }
  if (given.on_words != nullptr) {
    out.on_words = [user, call = given.on_words](std::string_view words) {
      return call(user, words.data(), words.size()) == 0;
    };
  }
  if (given.on_bytes != nullptr) {
    out.on_bytes = [user, call = given.on_bytes](std::string_view bytes) {
      return call(user, bytes.data(), bytes.size()) == 0;
    };
  }
  return out;
}

nostril_status status_of(const Answer& answer) {
  if (answer.verified) return NOSTRIL_OK;
  if (answer.failure == QueryFailure::None) return NOSTRIL_NOT_WHOLE;
  return static_cast<nostril_status>(answer.failure);
}

std::string report_text(const AnswerReport& report) {
  std::string out;
  for (const auto& finding : report.findings) {
    out += (finding.good ? "ok     " : "WRONG  ") + finding.what + "\n";
  }
  if (report.verdict) out += nostril::attestation::explain(*report.verdict) + "\n";
  return out;
}

const char* body_of(const std::string& text, std::size_t* size) {
  if (size != nullptr) *size = text.size();
  return text.c_str();
}

}  // namespace

extern "C" {

uint32_t nostril_abi(void) {
  return NOSTRIL_ABI;
}

const char* nostril_version(void) {
  return NOSTRIL_VERSION;
}

const char* nostril_last_error(void) {
  return t_last_error.c_str();
}

const char* nostril_status_text(nostril_status status) {
  switch (status) {
    case NOSTRIL_OK:
      return "ok";
    case NOSTRIL_NOT_WHOLE:
      return "not-whole";
    case NOSTRIL_FALSE:
      return "false";
    case NOSTRIL_SIMULATED:
      return "simulated";
    case NOSTRIL_INVALID:
      return "invalid";
    case NOSTRIL_UNUSABLE:
      return "unusable";
    case NOSTRIL_TIMEOUT:
      return "timeout";
    case NOSTRIL_IN_CALLBACK:
      return "in-callback";
    case NOSTRIL_OTHER_ABI:
      return "other-abi";
    case NOSTRIL_INTERNAL:
      return "internal";
    default:
      break;
  }
  if (status < NOSTRIL_NOT_OFFERED || status > NOSTRIL_NO_CHANNEL) return "unknown";
  return word_of(static_cast<QueryFailure>(status)).data();
}

// ---- Settings
// ------------------------------------------------------------------------------------

nostril_settings* nostril_settings_new(void) {
  return new (std::nothrow) nostril_settings;
}

void nostril_settings_free(nostril_settings* settings) {
  delete settings;
}

nostril_status nostril_settings_set_home(nostril_settings* settings, const char* path) {
  return set_text(settings, path,
                  [](ClientSettings& to, const std::string& text) { to.home = text; });
}

nostril_status nostril_settings_add_relay(nostril_settings* settings, const char* url) {
  return set_text(settings, url, [](ClientSettings& to, std::string text) {
    to.relays.push_back(std::move(text));
  });
}

nostril_status nostril_settings_set_ca_file(nostril_settings* settings, const char* path) {
  return set_text(settings, path,
                  [](ClientSettings& to, std::string text) { to.ca_file = std::move(text); });
}

nostril_status nostril_settings_add_test_root(nostril_settings* settings, const char* path) {
  return set_text(settings, path, [](ClientSettings& to, std::string text) {
    to.test_roots.push_back(std::move(text));
  });
}

nostril_status nostril_settings_set_policy(nostril_settings* settings, const char* path) {
  return set_text(settings, path,
                  [](ClientSettings& to, std::string text) { to.policy = std::move(text); });
}

nostril_status nostril_settings_set_budget(nostril_settings* settings, int64_t most) {
  if (settings == nullptr || most < 0) {
    return fail(NOSTRIL_INVALID, "settings are NULL, or the budget is below 0");
  }
  settings->settings.budget = most;
  return NOSTRIL_OK;
}

// ---- Client
// --------------------------------------------------------------------------------------

nostril_status nostril_client_open(uint32_t abi, const nostril_settings* settings,
                                   nostril_client** client) {
  if (client != nullptr) *client = nullptr;
  return guarded(NOSTRIL_UNUSABLE, [&] {
    if (abi == 0 || abi > NOSTRIL_ABI) {
      return fail(NOSTRIL_OTHER_ABI, "the program was made for a newer libnostril");
    }
    if (settings == nullptr || client == nullptr) {
      return fail(NOSTRIL_INVALID, "settings or client are NULL");
    }
    if (settings->settings.home.empty()) return fail(NOSTRIL_INVALID, "no home is set");
    *client = new nostril_client{Client(settings->settings)};
    return nostril_status{NOSTRIL_OK};
  });
}

void nostril_client_close(nostril_client* client) {
  delete client;
}

nostril_status nostril_client_offers(nostril_client* client, int64_t wait_ms, char** json) {
  if (json != nullptr) *json = nullptr;
  return guarded(NOSTRIL_NO_ANSWER, [&] {
    if (client == nullptr || json == nullptr) {
      return fail(NOSTRIL_INVALID, "client or json are NULL");
    }
    *json = give(client->client.offers_json(wait_ms));
    return nostril_status{NOSTRIL_OK};
  });
}

nostril_status nostril_client_publish(nostril_client* client, const char* event_json) {
  return guarded(NOSTRIL_NO_ANSWER, [&] {
    if (client == nullptr || event_json == nullptr) {
      return fail(NOSTRIL_INVALID, "client or event are NULL");
    }
    auto event = nostril::parse_event(event_json);
    if (!event) return fail(NOSTRIL_INVALID, to_string(event.error()));
    nostril::Verifier verifier;
    const auto verified = nostril::VerifiedEvent::verify(std::move(*event), verifier);
    if (!verified) return fail(NOSTRIL_INVALID, "the event's signature is wrong");
    const auto published = client->client.publish(verified->event());
    if (published.accepted) return nostril_status{NOSTRIL_OK};
    std::string why = "no relay has taken it";
    for (const std::string& refusal : published.refusals) why += "; " + refusal;
    return fail(NOSTRIL_NOT_TAKEN, why);
  });
}

void nostril_text_free(char* text) {
  delete[] text;
}

// ---- Asking
// --------------------------------------------------------------------------------------

nostril_status nostril_ask_start(nostril_client* client, const nostril_question* question,
                                 const nostril_callbacks* callbacks, nostril_ask** ask) {
  if (ask != nullptr) *ask = nullptr;
  return guarded(NOSTRIL_NO_ANSWER, [&] {
    const auto asked = read_struct(question);
    const auto called = callbacks == nullptr ? nostril_callbacks{} : read_struct(callbacks);
    if (client == nullptr || ask == nullptr || !asked || !called) {
      return fail(NOSTRIL_INVALID, "client, ask or question are NULL, or a struct's size is wrong");
    }
    *ask = new nostril_ask{client->client.ask(question_of(*asked), callbacks_of(*called))};
    return nostril_status{NOSTRIL_OK};
  });
}

nostril_status nostril_ask_wait(nostril_ask* ask, int64_t wait_ms, nostril_answer** answer) {
  if (answer != nullptr) *answer = nullptr;
  return guarded(NOSTRIL_INTERNAL, [&] {
    if (ask == nullptr) return fail(NOSTRIL_INVALID, "ask is NULL");
    auto ended = wait_ms < 0 ? std::optional(ask->asking.wait())
                             : ask->asking.wait_for(std::chrono::milliseconds(wait_ms));
    if (!ended) return fail(NOSTRIL_TIMEOUT, "the answer has not ended");
    const nostril_status status = status_of(*ended);
    if (status != NOSTRIL_OK) fail(status, ended->detail);
    if (answer == nullptr) return status;
    auto out = std::make_unique<nostril_answer>();
    out->answer = std::move(*ended);
    if (out->answer.node) out->verdict = nostril::attestation::explain(out->answer.node->verdict);
    out->json = out->answer.to_json().value_or("");
    *answer = out.release();
    return status;
  });
}

void nostril_ask_cancel(nostril_ask* ask) {
  static_cast<void>(guarded(NOSTRIL_INTERNAL, [&] {
    if (ask != nullptr) ask->asking.cancel();
    return nostril_status{NOSTRIL_OK};
  }));
}

void nostril_ask_free(nostril_ask* ask) {
  delete ask;
}

// ---- Answers
// -------------------------------------------------------------------------------------

void nostril_answer_free(nostril_answer* answer) {
  delete answer;
}

nostril_status nostril_answer_status(const nostril_answer* answer) {
  return answer == nullptr ? nostril_status{NOSTRIL_INVALID} : status_of(answer->answer);
}

const char* nostril_answer_detail(const nostril_answer* answer) {
  return answer == nullptr ? "" : answer->answer.detail.c_str();
}

int nostril_answer_simulated(const nostril_answer* answer) {
  return answer != nullptr && answer->answer.node && answer->answer.node->verdict.simulated ? 1 : 0;
}

int nostril_answer_http_status(const nostril_answer* answer) {
  return answer == nullptr ? 0 : answer->answer.http_status;
}

const char* nostril_answer_node(const nostril_answer* answer) {
  return answer == nullptr || !answer->answer.node ? "" : answer->answer.node->npub.c_str();
}

const char* nostril_answer_model(const nostril_answer* answer) {
  return answer == nullptr || !answer->answer.node ? "" : answer->answer.node->model.c_str();
}

const char* nostril_answer_verdict(const nostril_answer* answer) {
  return answer == nullptr ? "" : answer->verdict.c_str();
}

const char* nostril_answer_request(const nostril_answer* answer, size_t* size) {
  static const std::string kNone;
  return body_of(answer == nullptr ? kNone : answer->answer.request, size);
}

const char* nostril_answer_response(const nostril_answer* answer, size_t* size) {
  static const std::string kNone;
  return body_of(answer == nullptr ? kNone : answer->answer.response, size);
}

const char* nostril_answer_record(const nostril_answer* answer) {
  return answer == nullptr ? "" : answer->answer.record.c_str();
}

const char* nostril_answer_receipt(const nostril_answer* answer) {
  return answer == nullptr ? "" : answer->answer.receipt.c_str();
}

const char* nostril_answer_json(const nostril_answer* answer) {
  return answer == nullptr ? "" : answer->json.c_str();
}

nostril_status nostril_check_answer(const nostril_settings* settings, const char* answer_json,
                                    size_t size, char** report) {
  if (report != nullptr) *report = nullptr;
  return guarded(NOSTRIL_UNUSABLE, [&] {
    if (settings == nullptr || answer_json == nullptr) {
      return fail(NOSTRIL_INVALID, "settings or answer are NULL");
    }
    const auto answer = nostril::client::parse_saved_answer({answer_json, size});
    if (!answer) return fail(NOSTRIL_INVALID, answer.error());
    const auto found =
        nostril::client::check_answer(*answer, settings->settings, nostril::SystemClock().unix_s());
    if (!found) return fail(NOSTRIL_INVALID, found.error());
    if (report != nullptr) *report = give(report_text(*found));
    if (!found->good) return fail(NOSTRIL_FALSE, "a finding is wrong");
    if (found->simulated) return nostril_status{NOSTRIL_SIMULATED};
    return nostril_status{NOSTRIL_OK};
  });
}

}  // extern "C"
