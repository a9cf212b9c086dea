// Every translation, both ways, from bytes of applications and of engines. What is made must be
// JSON, and the same however the engine's stream is cut. First byte: route and cut.
#include "base/check.h"
#include "client/gateway/routes.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace {

using namespace nostril;
using namespace nostril::client;

constexpr std::array<std::string_view, 9> kPaths = {
    "/v1/chat/completions", "/v1/completions", "/v1/responses",
    "/v1/embeddings",       "/v1/messages",    "/api/chat",
    "/api/generate",        "/api/embed",      "/api/embeddings"};

std::string stream(const Route& route, const Json& request, bool native, std::string_view bytes,
                   std::size_t piece) {
  const auto form = form_for(route, request, native, {"id", "m", 1'800'000'000, [] { return 7; }});
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    out += form->feed(bytes.substr(at, piece));
  }
  return out + form->finish({"{\"a\":1}", "{\"b\":2}"});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Route* route = find_route(kPaths[data[0] % kPaths.size()]);
  CHECK(route != nullptr);
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto parsed = Json::parse(text);
  const Json request = parsed ? *parsed : Json();
  if (parsed && parsed->is_object()) {
    for (const bool native : {true, false}) {
      const auto call = call_for(*route, request, native);
      CHECK(!call || Json::parse(call->body));
    }
  }
  for (const bool native : {true, false}) {
    const std::string whole = stream(*route, request, native, text, text.size() + 1);
    CHECK(stream(*route, request, native, text, 1 + data[0] % 7U) == whole);
    const auto form =
        form_for(*route, request, native, {"id", "m", 1'800'000'000, [] { return 7; }});
    const auto answer = form->whole(text);
    if (answer && !native) CHECK(Json::parse(*answer) || *answer == text);
    CHECK(!form->stream_type().empty());
  }
  return 0;
}
