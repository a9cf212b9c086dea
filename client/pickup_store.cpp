#include "client/pickup_store.h"

#include "base/base64.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "client/key_file.h"
#include "events/event.h"
#include "events/kinds.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

namespace nostril::client {

namespace {

namespace fs = std::filesystem;

constexpr const char* kKeyFile = "key.nsec";
constexpr const char* kRequestFile = "request.json";
constexpr std::size_t kRequestBytesMax = std::size_t{16} << 20;

/// The event is not kept as it came, so the offer's id stands beside its tags.
void write_offer(JsonWriter& w, const Offer& offer) {
  const EventDraft draft = build_offer(offer);
  w.begin_object();
  w.key("id").string(encode_hex(offer.id));
  w.key("pubkey").string(encode_hex(offer.node));
  w.key("created_at").integer(offer.created_at);
  w.key("tags").begin_array();
  for (const Tags::View tag : draft.tags) {
    w.begin_array();
    for (std::size_t i = 0; i < tag.size(); ++i) w.string(tag[i]);
    w.end_array();
  }
  w.end_array().end_object();
}

std::string request_text(const PendingAnswer& pending) {
  JsonWriter w;
  w.begin_object();
  w.key("request").string(encode_hex(pending.request));
  w.key("sent_at").integer(pending.sent_at_s);
  w.key("method").string(pending.method);
  w.key("path").string(pending.path);
  w.key("body64").string(encode_base64(as_bytes(pending.body)));
  w.key("offer");
  write_offer(w, pending.offer);
  w.end_object();
  return std::move(w).take() + "\n";
}

std::optional<Offer> read_offer(const Json& json) {
  Event event;
  const auto id = json.find_string("id");
  const auto node = json.find_string("pubkey");
  const auto created_at = json.find_integer("created_at");
  const Json* tags = json.find("tags");
  if (!id || !node || !created_at || tags == nullptr) return std::nullopt;
  const auto event_id = from_hex<EventId>(*id);
  const auto author = from_hex<PublicKey>(*node);
  if (!event_id || !author) return std::nullopt;
  event.id = *event_id;
  event.pubkey = *author;
  event.created_at = *created_at;
  event.kind = kinds::kOffer;
  for (const Json& tag : tags->items()) {
    for (const Json& element : tag.items()) event.tags.add_element(element.string().value_or(""));
    if (tag.items().empty()) return std::nullopt;
    event.tags.finish_tag();
  }
  auto offer = parse_offer(event);
  if (!offer) return std::nullopt;
  return *std::move(offer);
}

std::optional<PendingAnswer> read_pending(const fs::path& folder) {
  auto key = read_key_file(folder / kKeyFile);
  std::ifstream file(folder / kRequestFile, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto json = Json::parse(text, {.bytes_max = kRequestBytesMax});
  if (!key || !json) return std::nullopt;
  const auto request = json->find_string("request");
  const auto sent_at = json->find_integer("sent_at");
  const auto method = json->find_string("method");
  const auto path = json->find_string("path");
  const auto body64 = json->find_string("body64");
  const Json* offer_json = json->find("offer");
  if (!request || !sent_at || !method || !path || !body64 || offer_json == nullptr) {
    return std::nullopt;
  }
  const auto id = from_hex<RequestId>(*request);
  const auto body = decode_base64(*body64);
  auto offer = read_offer(*offer_json);
  if (!id || !body || !offer) return std::nullopt;
  return PendingAnswer{
      *std::move(key),    *std::move(offer),           *id,     std::string(*method),
      std::string(*path), std::string(as_text(*body)), *sent_at};
}

}  // namespace

Result<void, std::string> PickupStore::put(const PendingAnswer& pending) {
  const std::string text = request_text(pending);
  const std::string c = encode_hex(pending.key.public_key());
  const fs::path folder = folder_ / (encode_hex(pending.request) + "-" + c.substr(0, 16));
  std::error_code error;
  fs::create_directories(folder, error);
  fs::permissions(folder_, fs::perms::owner_all, error);
  if (error) return failure(folder.string() + ": " + error.message());
  const auto count = std::distance(fs::directory_iterator(folder_, error), {});
  if (text.size() > kRequestBytesMax || static_cast<std::size_t>(count) > kPendingMax) {
    fs::remove_all(folder, error);
    return failure(folder_.string() + ": too many answers wait to be picked up");
  }
  std::ofstream file(folder / kRequestFile, std::ios::binary | std::ios::trunc);
  file << text;
  if (!file.flush()) return failure((folder / kRequestFile).string() + ": can't be written");
  // The key last: with it the folder is whole, and on the disk.
  return write_key_file(folder / kKeyFile, pending.key);
}

std::vector<PendingAnswer> PickupStore::all() const {
  std::vector<PendingAnswer> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    auto pending = read_pending(entry.path());
    if (!pending) {
      log(LogLevel::Warning, "{} does not read", public_text(entry.path().string()));
      continue;
    }
    out.push_back(*std::move(pending));
  }
  std::ranges::sort(out, {}, &PendingAnswer::sent_at_s);
  return out;
}

void PickupStore::remove(const RequestId& request) {
  const std::string prefix = encode_hex(request) + "-";
  std::error_code error;
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    if (entry.path().filename().string().starts_with(prefix)) folders.push_back(entry.path());
  }
  for (const fs::path& folder : folders) fs::remove_all(folder, error);
}

}  // namespace nostril::client
