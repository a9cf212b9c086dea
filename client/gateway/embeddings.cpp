#include "client/gateway/embeddings.h"

#include "base/base64.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

namespace nostril::client {

namespace {

std::optional<std::string> as_base64(const Json& vector) {
  static_assert(std::numeric_limits<float>::is_iec559);
  Bytes bytes;
  bytes.reserve(vector.items().size() * sizeof(float));
  for (const Json& item : vector.items()) {
    const auto number = item.number();
    if (!number || std::abs(*number) > std::numeric_limits<float>::max()) return std::nullopt;
    const auto word = std::bit_cast<std::uint32_t>(static_cast<float>(*number));
    for (unsigned shift = 0; shift < 32; shift += 8) {
      bytes.push_back(static_cast<std::uint8_t>(word >> shift));
    }
  }
  return encode_base64(bytes);
}

bool write_item(JsonWriter& w, const Json& item) {
  w.begin_object();
  for (const auto& [name, value] : item.members()) {
    w.key(name);
    if (name != "embedding" || !value.is_array()) {
      w.value(value);
      continue;
    }
    const auto text = as_base64(value);
    if (!text) return false;
    w.string(*text);
  }
  w.end_object();
  return true;
}

class EmbeddingsAnswer final : public AnswerForm {
 public:
  explicit EmbeddingsAnswer(bool base64) : base64_(base64) {}

  [[nodiscard]] std::string_view stream_type() const override { return "application/json"; }

  [[nodiscard]] std::string feed(std::string_view) override { return {}; }

  [[nodiscard]] std::string finish(const Proof&) override { return {}; }

  [[nodiscard]] std::string fail(const ApiError&) override { return {}; }

  [[nodiscard]] std::optional<std::string> whole(std::string_view body) override {
    return base64_ ? embeddings_in_base64(body) : std::optional(std::string(body));
  }

 private:
  const bool base64_;
};

}  // namespace

std::optional<std::string> embeddings_in_base64(std::string_view answer) {
  const auto parsed = Json::parse(answer, {.bytes_max = 64U << 20, .values_max = 4U << 20});
  const Json* data = parsed ? parsed->find("data") : nullptr;
  if (data == nullptr || !data->is_array()) return std::nullopt;
  JsonWriter w;
  w.begin_object();
  for (const auto& [name, value] : parsed->members()) {
    w.key(name);
    if (name != "data") {
      w.value(value);
      continue;
    }
    w.begin_array();
    for (const Json& item : value.items()) {
      if (!write_item(w, item)) return std::nullopt;
    }
    w.end_array();
  }
  w.end_object();
  return std::move(w).take();
}

std::unique_ptr<AnswerForm> embeddings_answer(bool base64) {
  return std::make_unique<EmbeddingsAnswer>(base64);
}

}  // namespace nostril::client
