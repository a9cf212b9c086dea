#include "net/ws_deflate_offer.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

namespace nostril::net {

namespace {

constexpr std::string_view kField = "Sec-WebSocket-Extensions";
constexpr std::string_view kName = "permessage-deflate";

struct Parameter {
  std::string name;
  std::optional<std::string> value;
};

struct Extension {
  std::string name;
  std::vector<Parameter> parameters;
};

// extension-list = 1#( token *( ";" token [ "=" ( token / quoted token ) ] ) ). Each function takes
// what it reads off the front of text_; false or nothing: not there, or malformed.
class ExtensionReader {
 public:
  explicit ExtensionReader(std::string_view text) : text_(text) {}

  bool read_all(std::vector<Extension>& out) {
    const std::size_t before = out.size();
    do {
      skip_space();
      if (text_.empty() || text_.front() == ',') continue;  // a list may have empty elements
      if (!read_extension(out)) return false;
    } while (take(','));
    return text_.empty() && out.size() > before;
  }

 private:
  bool read_extension(std::vector<Extension>& out) {
    Extension extension{take_token(), {}};
    if (extension.name.empty()) return false;
    while (take(';')) {
      skip_space();
      Parameter parameter{take_token(), std::nullopt};
      if (parameter.name.empty()) return false;
      if (take('=')) {
        skip_space();
        parameter.value = take_value();
        if (!is_http_token(*parameter.value)) return false;
      }
      extension.parameters.push_back(std::move(parameter));
    }
    skip_space();
    out.push_back(std::move(extension));
    return true;
  }

  void skip_space() { text_.remove_prefix(std::min(text_.find_first_not_of(" \t"), text_.size())); }

  bool take(char c) {
    skip_space();
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }

  std::string take_token() {
    std::size_t size = 0;
    while (size < text_.size() && is_http_token(text_.substr(size, 1))) ++size;
    std::string out(text_.substr(0, size));
    text_.remove_prefix(size);
    return out;
  }

  // Empty when the quotes are not closed.
  std::string take_value() {
    if (text_.empty() || text_.front() != '"') return take_token();
    std::string out;
    for (std::size_t i = 1; i < text_.size(); ++i) {
      if (text_[i] == '"') {
        text_.remove_prefix(i + 1);
        return out;
      }
      if (text_[i] == '\\' && ++i == text_.size()) break;
      out.push_back(text_[i]);
    }
    return {};
  }

  std::string_view text_;
};

std::optional<std::vector<Extension>> read_extensions(const HttpHeaders& headers) {
  std::vector<Extension> out;
  for (const HttpHeader& field : headers.fields()) {
    if (!equals_ignoring_case(field.name, kField)) continue;
    if (!ExtensionReader(field.value).read_all(out)) return std::nullopt;
  }
  return out;
}

// 8 to 15 without a leading zero.
std::optional<int> window_bits_of(std::string_view text) {
  if (text == "8" || text == "9") return text[0] - '0';
  if (text.size() == 2 && text[0] == '1' && text[1] >= '0' && text[1] <= '5')
    return 10 + (text[1] - '0');
  return std::nullopt;
}

struct Parameters {
  bool server_no_context_takeover = false;
  bool client_no_context_takeover = false;
  bool has_client_bits = false;
  std::optional<int> server_bits;
  std::optional<int> client_bits;  // an offer may leave the number out
};

// Nothing when one is unknown, doubled or has a value that it may not have.
std::optional<Parameters> read_parameters(const Extension& extension) {
  Parameters out;
  for (const auto& [name, value] : extension.parameters) {
    if (name == "server_no_context_takeover" || name == "client_no_context_takeover") {
      bool& flag = name[0] == 's' ? out.server_no_context_takeover : out.client_no_context_takeover;
      if (value || std::exchange(flag, true)) return std::nullopt;
    } else if (name == "server_max_window_bits") {
      if (out.server_bits || !value) return std::nullopt;
      out.server_bits = window_bits_of(*value);
      if (!out.server_bits) return std::nullopt;
    } else if (name == "client_max_window_bits") {
      if (std::exchange(out.has_client_bits, true)) return std::nullopt;
      if (value) out.client_bits = window_bits_of(*value);
      if (value && !out.client_bits) return std::nullopt;
    } else {
      return std::nullopt;
    }
  }
  return out;
}

}  // namespace

Result<std::optional<WsDeflateAnswer>, WsExtensionError> answer_ws_deflate(
    const HttpHeaders& request, int window_bits) {
  const auto offers = read_extensions(request);
  if (!offers) return failure(WsExtensionError::Malformed);
  for (const Extension& offer : *offers) {
    if (offer.name != kName) continue;
    const std::optional<Parameters> asked = read_parameters(offer);
    if (!asked) continue;
    WsDeflateAnswer answer;
    answer.agreement = {true, true, window_bits, 15};
    answer.text = std::string(kName) + "; server_no_context_takeover; client_no_context_takeover";
    if (asked->server_bits) {
      answer.agreement.server_window_bits = std::min(window_bits, *asked->server_bits);
      answer.text +=
          "; server_max_window_bits=" + std::to_string(answer.agreement.server_window_bits);
    }
    return std::optional(std::move(answer));
  }
  return std::optional<WsDeflateAnswer>{};
}

Result<std::optional<WsDeflateAgreement>, WsExtensionError> read_ws_deflate_answer(
    const HttpHeaders& answer) {
  const auto chosen = read_extensions(answer);
  if (!chosen) return failure(WsExtensionError::Malformed);
  if (chosen->empty()) return std::optional<WsDeflateAgreement>{};
  if (chosen->size() > 1 || chosen->front().name != kName)
    return failure(WsExtensionError::NotOffered);
  const std::optional<Parameters> said = read_parameters(chosen->front());
  if (!said || (said->has_client_bits && !said->client_bits))
    return failure(WsExtensionError::NotOffered);
  return std::optional(
      WsDeflateAgreement{said->server_no_context_takeover, said->client_no_context_takeover,
                         said->server_bits.value_or(15), said->client_bits.value_or(15)});
}

}  // namespace nostril::net
