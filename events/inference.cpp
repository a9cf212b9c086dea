#include "events/inference.h"

#include "base/check.h"
#include "base/enum_names.h"
#include "base/hex.h"
#include "events/kinds.h"
#include "events/tag_reader.h"

#include <array>
#include <bit>
#include <utility>

namespace nostril {

namespace {

using Limits = InferenceLimits;

constexpr std::array<std::string_view, kPriceUnitCount> kUnitNames = {
    "input", "cached", "output", "second", "request", "session"};
constexpr std::array<std::string_view, kRecordStatusCount> kStatusNames = {
    "ok", "partial", "cancelled", "client-lost", "unpaid", "error", "engine-died"};
constexpr std::string_view kVersion = "1";
constexpr std::string_view kEvmRail = "evm";
constexpr std::string_view kLightningRail = "ln";
constexpr std::int64_t kReceiptTimeMin = 1'000'000'000;
constexpr std::int64_t kReceiptTimeMax = 0xFFFFFFFF;

std::string decimal(std::uint64_t value) {
  return to_decimal(value);
}

std::string decimal(std::int64_t value) {
  CHECK(value >= 0);
  return to_decimal(static_cast<Uint128>(value));
}

template <typename Parsed>
void check_parses(const Parsed& parsed) {
  CHECK(parsed.has_value());
}

/// The draft as an event, to prove to ourselves that we can read what we write.
Event as_event(const EventDraft& draft, const PublicKey& author) {
  Event event;
  event.pubkey = author;
  event.created_at = draft.created_at;
  event.kind = draft.kind;
  event.tags = draft.tags;
  event.content = draft.content;
  return event;
}

void add_prices(Tags& tags, std::string_view name, const std::vector<PriceTag>& prices,
                std::string_view asset) {
  for (const PriceTag& price : prices) {
    tags.add({name, to_string(price.unit), price.amount.to_string(), decimal(price_per(price.unit)),
              asset});
  }
}

/// ["price", unit, amount, per, asset]: one a unit, all in one asset.
std::vector<PriceTag> read_prices(TagReader& reader, std::string_view name, std::string& asset) {
  std::vector<PriceTag> prices;
  for (const Tags::View tag : reader.all(name, Limits::kPricesMax)) {
    if (tag.size() != 5) {
      reader.fail(InferenceError::BadTag);
      break;
    }
    const auto unit = parse_price_unit(tag[1]);
    const auto amount = Amount::parse(tag[2]);
    if (!unit || !amount || tag[3] != decimal(price_per(*unit)) ||
        !is_name(tag[4], Limits::kAssetBytesMax) || (!asset.empty() && asset != tag[4])) {
      reader.fail(InferenceError::BadTag);
      break;
    }
    for (const PriceTag& known : prices) {
      if (known.unit == *unit) reader.fail(InferenceError::DoubleTag);
    }
    asset = tag[4];
    prices.push_back({*unit, *amount});
  }
  return prices;
}

void add_load(Tags& tags, const std::optional<LoadTag>& load) {
  if (!load) return;
  tags.add({"load", decimal(load->running), decimal(load->places), decimal(load->waiting),
            decimal(load->wait_ms)});
}

std::optional<LoadTag> read_load(TagReader& reader) {
  const auto tag = reader.optional("load");
  if (!tag) return std::nullopt;
  LoadTag load;
  if (tag->size() != 5) {
    reader.fail(InferenceError::BadTag);
    return std::nullopt;
  }
  load.running = reader.integer((*tag)[1], Limits::kLoadCountMax);
  load.places = reader.integer((*tag)[2], Limits::kLoadCountMax);
  load.waiting = reader.integer((*tag)[3], Limits::kLoadCountMax);
  load.wait_ms = reader.integer((*tag)[4], Limits::kLoadWaitMsMax);
  if (load.places == 0) reader.fail(InferenceError::BadTag);
  return load;
}

std::string address_text(const EthereumAddress& address) {
  return "0x" + encode_hex(address);
}

EthereumAddress read_address(TagReader& reader, std::string_view text) {
  const auto address =
      text.starts_with("0x") ? from_hex<EthereumAddress>(text.substr(2)) : std::nullopt;
  if (!address || address->is_zero()) reader.fail(InferenceError::BadTag);
  return address.value_or(EthereumAddress{});
}

/// The one that we know, among those of others.
std::optional<EvmRail> read_rail(TagReader& reader) {
  std::optional<EvmRail> out;
  for (const Tags::View tag : reader.all("rail", Limits::kRailsMax)) {
    if (tag.size() < 2 || tag[1] != kEvmRail) continue;
    if (out || tag.size() != 4) {
      reader.fail(out ? InferenceError::DoubleTag : InferenceError::BadTag);
      return std::nullopt;
    }
    out = EvmRail{read_address(reader, tag[2]), read_address(reader, tag[3])};
  }
  return out;
}

std::optional<LightningRail> read_lightning(TagReader& reader, std::string_view asset) {
  constexpr std::array<std::string_view, 4> kNetworks = {"bc", "tb", "tbs", "bcrt"};
  std::optional<LightningRail> out;
  for (const Tags::View tag : reader.all("rail", Limits::kRailsMax)) {
    if (tag.size() < 2 || tag[1] != kLightningRail) continue;
    if (out || tag.size() != 5 || asset != kLightningAsset ||
        std::ranges::find(kNetworks, tag[2]) == kNetworks.end()) {
      reader.fail(out ? InferenceError::DoubleTag : InferenceError::BadTag);
      return std::nullopt;
    }
    out = LightningRail{std::string(tag[2]), reader.amount(tag[3]), reader.amount(tag[4])};
    if (out->most.is_zero()) reader.fail(InferenceError::BadTag);
  }
  return out;
}

template <typename T>
Result<T, InferenceError> finish(const TagReader& reader, T value) {
  if (reader.error()) return failure(*reader.error());
  return value;
}

}  // namespace

std::string_view to_string(InferenceError error) {
  switch (error) {
    case InferenceError::WrongKind:
      return "another kind";
    case InferenceError::WrongVersion:
      return "another version";
    case InferenceError::MissingTag:
      return "a required tag is missing";
    case InferenceError::DoubleTag:
      return "a tag stands twice";
    case InferenceError::BadTag:
      return "a tag has a bad value";
    case InferenceError::TooMany:
      return "too many tags of a name";
    case InferenceError::BadContent:
      return "bad content";
  }
  return "unknown";
}

std::string_view to_string(PriceUnit unit) {
  return kUnitNames[static_cast<std::size_t>(unit)];
}

std::optional<PriceUnit> parse_price_unit(std::string_view text) {
  return enum_of<PriceUnit>(kUnitNames, text);
}

std::string_view to_string(RecordStatus status) {
  return kStatusNames[static_cast<std::size_t>(status)];
}

std::optional<RecordStatus> parse_record_status(std::string_view text) {
  return enum_of<RecordStatus>(kStatusNames, text);
}

std::uint32_t load_rank(const std::optional<LoadTag>& load) {
  constexpr std::uint32_t kQuarters = 4;
  constexpr std::uint64_t kShortWaitMs = 500;
  if (!load) return kQuarters / 2;
  if (load->waiting == 0 && load->running < load->places) {
    return static_cast<std::uint32_t>(load->running * kQuarters / load->places);
  }
  return kQuarters + static_cast<std::uint32_t>(std::bit_width(load->wait_ms / kShortWaitMs));
}

// ---- 31470 --------------------------------------------------------------------------------------

EventDraft build_offer(const Offer& offer) {
  EventDraft draft{
      .created_at = offer.created_at, .kind = kinds::kOffer, .tags = {}, .content = ""};
  Tags& tags = draft.tags;
  tags.add({"d", offer.model + "@" + offer.profile});
  tags.add({"v", kVersion});
  tags.add({"M", offer.model});
  tags.add({"T", offer.tee});
  tags.add({"key", encode_hex(offer.encryption_key), decimal(offer.encryption_key_expires_at)});
  const std::string digest = encode_hex(offer.attestation);
  tags.add({"a", decimal(std::uint64_t{kinds::kAttestation}) + ":" + encode_hex(offer.node) + ":" +
                     digest});
  tags.add({"attestation", digest});
  if (offer.weights) tags.add({"weights", encode_hex(*offer.weights)});
  add_prices(tags, "price", offer.prices, offer.asset);
  tags.add({"credit", offer.credit.to_string(), offer.asset});
  if (offer.rail) {
    tags.add(
        {"rail", kEvmRail, address_text(offer.rail->contract), address_text(offer.rail->payee)});
  }
  if (offer.lightning) {
    tags.add({"rail", kLightningRail, offer.lightning->network, offer.lightning->step.to_string(),
              offer.lightning->most.to_string()});
  }
  tags.add({"context", decimal(offer.context_tokens)});
  tags.add({"output", decimal(offer.output_tokens_max)});
  for (const std::string& feature : offer.features) tags.add({"feature", feature});
  tags.add({"engine", offer.engine, offer.engine_version});
  for (const std::string& relay : offer.relays) tags.add({"relay", relay});
  if (offer.url) tags.add({"u", *offer.url});
  add_load(tags, offer.load);
  if (offer.operator_key) tags.add({"p", encode_hex(*offer.operator_key), "", "operator"});
  tags.add({"expiration", decimal(offer.expires_at)});
  check_parses(parse_offer(as_event(draft, offer.node)));
  return draft;
}

Result<Offer, InferenceError> parse_offer(const Event& event) {
  TagReader reader(event, kinds::kOffer);
  reader.version(kVersion);
  Offer offer;
  offer.id = event.id;
  offer.node = event.pubkey;
  offer.created_at = event.created_at;
  offer.model = reader.text("M", Limits::kModelBytesMax);
  const std::string d = reader.text("d", Limits::kModelBytesMax + 1 + Limits::kProfileBytesMax);
  if (d.size() > offer.model.size() + 1 && d.starts_with(offer.model + "@")) {
    offer.profile = d.substr(offer.model.size() + 1);
    if (!is_name(offer.profile, Limits::kProfileBytesMax)) reader.fail(InferenceError::BadTag);
  } else {
    reader.fail(InferenceError::BadTag);
  }
  offer.tee = reader.name("T", Limits::kNameBytesMax);
  if (const auto tag = reader.exactly("key", 3)) {
    offer.encryption_key = reader.fixed<PublicKey>((*tag)[1]);
    offer.encryption_key_expires_at = reader.time((*tag)[2]);
  }
  offer.attestation = reader.fixed_tag<Digest>("attestation");
  const std::string address = decimal(std::uint64_t{kinds::kAttestation}) + ":" +
                              encode_hex(offer.node) + ":" + encode_hex(offer.attestation);
  if (reader.text("a", 256) != address) reader.fail(InferenceError::BadTag);
  if (const auto tag = reader.optional("weights")) offer.weights = reader.fixed_value<Digest>(*tag);
  if (const auto tag = reader.exactly("credit", 3)) {
    offer.credit = reader.amount((*tag)[1]);
    offer.asset = reader.checked_name((*tag)[2], Limits::kAssetBytesMax);
  }
  offer.prices = read_prices(reader, "price", offer.asset);
  offer.rail = read_rail(reader);
  offer.lightning = read_lightning(reader, offer.asset);
  if (offer.rail && offer.lightning) reader.fail(InferenceError::BadTag);
  offer.context_tokens = reader.number("context", Limits::kTokensMax);
  offer.output_tokens_max = reader.number("output", Limits::kTokensMax);
  for (const Tags::View tag : reader.all("feature", Limits::kFeaturesMax)) {
    offer.features.push_back(reader.checked_name(reader.value(tag), Limits::kNameBytesMax));
  }
  if (const auto tag = reader.exactly("engine", 3)) {
    offer.engine = reader.checked_text((*tag)[1], Limits::kNameBytesMax);
    offer.engine_version = reader.checked_text((*tag)[2], Limits::kNameBytesMax);
  }
  for (const Tags::View tag : reader.all("relay", Limits::kRelaysMax)) {
    const std::string_view url = reader.value(tag);
    if (!url.starts_with("wss://") && !url.starts_with("ws://"))
      reader.fail(InferenceError::BadTag);
    offer.relays.push_back(reader.checked_text(url, Limits::kUrlBytesMax));
  }
  if (offer.relays.empty()) reader.fail(InferenceError::MissingTag);
  if (const auto tag = reader.optional("u")) {
    const std::string_view url = reader.value(*tag);
    if (!url.starts_with("https://")) reader.fail(InferenceError::BadTag);
    offer.url = reader.checked_text(url, Limits::kUrlBytesMax);
  }
  offer.load = read_load(reader);
  if (const auto tag = reader.optional("p")) {
    if (tag->size() != 4 || (*tag)[3] != "operator") {
      reader.fail(InferenceError::BadTag);
    } else {
      offer.operator_key = reader.fixed<PublicKey>((*tag)[1]);
    }
  }
  offer.expires_at = reader.time(reader.text("expiration", 20));
  return finish(reader, std::move(offer));
}

// ---- 31471 --------------------------------------------------------------------------------------

EventDraft build_attestation(const AttestationEvent& attestation) {
  EventDraft draft{.created_at = attestation.created_at,
                   .kind = kinds::kAttestation,
                   .tags = {},
                   .content = attestation.evidence};
  Tags& tags = draft.tags;
  tags.add({"d", encode_hex(attestation.digest)});
  tags.add({"v", kVersion});
  tags.add({"T", attestation.tee});
  tags.add({"key", encode_hex(attestation.encryption_key),
            decimal(attestation.encryption_key_expires_at)});
  tags.add({"tls", encode_hex(attestation.tls_spki)});
  tags.add({"gpu", encode_hex(attestation.gpu_evidence)});
  tags.add({"weights", encode_hex(attestation.model_manifest)});
  tags.add({"nonce", encode_hex(attestation.nonce)});
  tags.add({"expiration", decimal(attestation.expires_at)});
  check_parses(parse_attestation(as_event(draft, attestation.node)));
  return draft;
}

Result<AttestationEvent, InferenceError> parse_attestation(const Event& event) {
  TagReader reader(event, kinds::kAttestation);
  reader.version(kVersion);
  AttestationEvent attestation;
  attestation.id = event.id;
  attestation.node = event.pubkey;
  attestation.created_at = event.created_at;
  attestation.digest = reader.fixed_tag<Digest>("d");
  attestation.tee = reader.name("T", Limits::kNameBytesMax);
  if (const auto tag = reader.exactly("key", 3)) {
    attestation.encryption_key = reader.fixed<PublicKey>((*tag)[1]);
    attestation.encryption_key_expires_at = reader.time((*tag)[2]);
  }
  attestation.tls_spki = reader.fixed_tag<Digest>("tls");
  attestation.gpu_evidence = reader.fixed_tag<Digest>("gpu");
  attestation.model_manifest = reader.fixed_tag<Digest>("weights");
  attestation.nonce = reader.fixed_tag<Digest>("nonce");
  attestation.expires_at = reader.time(reader.text("expiration", 20));
  if (event.content.empty() || event.content.size() > Limits::kEvidenceBytesMax) {
    reader.fail(InferenceError::BadContent);
  }
  attestation.evidence = event.content;
  return finish(reader, std::move(attestation));
}

// ---- 21470, 21471 -------------------------------------------------------------------------------

EventDraft build_model_request(const ModelRequest& request) {
  EventDraft draft{
      .created_at = request.created_at, .kind = kinds::kModelRequest, .tags = {}, .content = ""};
  Tags& tags = draft.tags;
  tags.add({"v", kVersion});
  tags.add({"M", request.model});
  for (const std::string& tee : request.tees) tags.add({"T", tee});
  add_prices(tags, "price-max", request.prices_max, request.asset);
  tags.add({"level", decimal(std::uint64_t{request.level})});
  if (request.region) tags.add({"g", *request.region});
  tags.add({"challenge", encode_hex(request.nonce)});
  check_parses(parse_model_request(as_event(draft, request.requester)));
  return draft;
}

Result<ModelRequest, InferenceError> parse_model_request(const Event& event) {
  TagReader reader(event, kinds::kModelRequest);
  reader.version(kVersion);
  ModelRequest request;
  request.id = event.id;
  request.requester = event.pubkey;
  request.created_at = event.created_at;
  request.model = reader.text("M", Limits::kModelBytesMax);
  for (const Tags::View tag : reader.all("T", Limits::kTeeKindsMax)) {
    request.tees.push_back(reader.checked_name(reader.value(tag), Limits::kNameBytesMax));
  }
  request.prices_max = read_prices(reader, "price-max", request.asset);
  request.level = static_cast<std::uint32_t>(reader.number("level", 4));
  if (const auto tag = reader.optional("g")) {
    request.region = reader.checked_name(reader.value(*tag), 12);
  }
  request.nonce = reader.fixed_tag<Digest>("challenge");
  if (!event.content.empty()) reader.fail(InferenceError::BadContent);
  return finish(reader, std::move(request));
}

EventDraft build_offer_reply(const OfferReply& reply) {
  EventDraft draft{
      .created_at = reply.created_at, .kind = kinds::kOfferReply, .tags = {}, .content = ""};
  Tags& tags = draft.tags;
  tags.add({"v", kVersion});
  tags.add({"e", encode_hex(reply.request)});
  tags.add({"p", encode_hex(reply.requester)});
  tags.add({"offer", encode_hex(reply.offer)});
  tags.add({"attestation", encode_hex(reply.attestation)});
  tags.add({"queue", decimal(reply.queue)});
  add_load(tags, reply.load);
  check_parses(parse_offer_reply(as_event(draft, reply.node)));
  return draft;
}

Result<OfferReply, InferenceError> parse_offer_reply(const Event& event) {
  TagReader reader(event, kinds::kOfferReply);
  reader.version(kVersion);
  OfferReply reply;
  reply.id = event.id;
  reply.node = event.pubkey;
  reply.created_at = event.created_at;
  reply.request = reader.fixed_tag<EventId>("e");
  reply.requester = reader.fixed_tag<PublicKey>("p");
  reply.offer = reader.fixed_tag<EventId>("offer");
  reply.attestation = reader.fixed_tag<Digest>("attestation");
  reply.queue = reader.number("queue", Limits::kLoadCountMax);
  reply.load = read_load(reader);
  if (!event.content.empty()) reader.fail(InferenceError::BadContent);
  return finish(reader, std::move(reply));
}

// ---- 1471 ---------------------------------------------------------------------------------------

EventDraft build_record(const ResponseRecord& record) {
  EventDraft draft{
      .created_at = record.created_at, .kind = kinds::kRecord, .tags = {}, .content = ""};
  Tags& tags = draft.tags;
  tags.add({"v", kVersion});
  tags.add({"request", encode_hex(record.request)});
  tags.add({"request-hash", encode_hex(record.request_hash)});
  tags.add({"response-hash", encode_hex(record.response_hash)});
  tags.add({"offer", encode_hex(record.offer)});
  tags.add({"attestation", encode_hex(record.attestation)});
  tags.add({"model", record.model});
  if (record.weights) tags.add({"weights", encode_hex(*record.weights)});
  tags.add({"engine", record.engine, record.engine_version});
  if (!record.sampling.empty()) tags.add({"sampling", record.sampling});
  tags.add({"usage", decimal(record.usage.input), decimal(record.usage.cached),
            decimal(record.usage.output), decimal(record.milliseconds)});
  tags.add({"channel", encode_hex(record.channel), decimal(record.n)});
  if (record.previous) tags.add({"previous", encode_hex(*record.previous)});
  tags.add({"cost", record.cost.to_string(), record.asset});
  tags.add({"spent", record.spent.to_string(), decimal(std::uint64_t{record.remainder})});
  tags.add({"status", to_string(record.status), record.finish});
  tags.add({"time", decimal(record.accepted_at_ms), decimal(record.first_at_ms),
            decimal(record.ended_at_ms)});
  check_parses(parse_record(as_event(draft, record.node)));
  return draft;
}

namespace {

void read_record_money(TagReader& reader, ResponseRecord& record) {
  if (const auto tag = reader.exactly("usage", 5)) {
    record.usage.input = reader.integer((*tag)[1], Limits::kTokensMax);
    record.usage.cached = reader.integer((*tag)[2], Limits::kTokensMax);
    record.usage.output = reader.integer((*tag)[3], Limits::kTokensMax);
    record.milliseconds = reader.integer((*tag)[4], Limits::kTokensMax);
    if (record.usage.cached > record.usage.input) reader.fail(InferenceError::BadTag);
  }
  if (const auto tag = reader.exactly("channel", 3)) {
    record.channel = reader.fixed<ChannelId>((*tag)[1]);
    record.n = reader.integer((*tag)[2], Limits::kTokensMax);
  }
  if (const auto tag = reader.optional("previous")) {
    record.previous = reader.fixed_value<EventId>(*tag);
  }
  // The first statement has none before it, every other one has.
  if (record.n == 0 || (record.n == 1) == record.previous.has_value()) {
    reader.fail(InferenceError::BadTag);
  }
  if (const auto tag = reader.exactly("cost", 3)) {
    record.cost = reader.amount((*tag)[1]);
    record.asset = reader.checked_name((*tag)[2], Limits::kAssetBytesMax);
  }
  if (const auto tag = reader.exactly("spent", 3)) {
    record.spent = reader.amount((*tag)[1]);
    record.remainder = static_cast<std::uint32_t>(reader.integer((*tag)[2], 999'999));
  }
  if (record.cost > record.spent) reader.fail(InferenceError::BadTag);
}

}  // namespace

Result<ResponseRecord, InferenceError> parse_record(const Event& event) {
  TagReader reader(event, kinds::kRecord);
  reader.version(kVersion);
  ResponseRecord record;
  record.id = event.id;
  record.node = event.pubkey;
  record.created_at = event.created_at;
  record.request = reader.fixed_tag<RequestId>("request");
  record.request_hash = reader.fixed_tag<Digest>("request-hash");
  record.response_hash = reader.fixed_tag<Digest>("response-hash");
  record.offer = reader.fixed_tag<EventId>("offer");
  record.attestation = reader.fixed_tag<Digest>("attestation");
  record.model = reader.text("model", Limits::kModelBytesMax);
  if (const auto tag = reader.optional("weights"))
    record.weights = reader.fixed_value<Digest>(*tag);
  if (const auto tag = reader.exactly("engine", 3)) {
    record.engine = reader.checked_text((*tag)[1], Limits::kNameBytesMax);
    record.engine_version = reader.checked_text((*tag)[2], Limits::kNameBytesMax);
  }
  if (const auto tag = reader.optional("sampling")) {
    record.sampling = reader.checked_text(reader.value(*tag), Limits::kSamplingBytesMax);
  }
  read_record_money(reader, record);
  if (const auto tag = reader.exactly("status", 3)) {
    const auto status = parse_record_status((*tag)[1]);
    if (!status || (*tag)[2].size() > Limits::kNameBytesMax) reader.fail(InferenceError::BadTag);
    record.status = status.value_or(RecordStatus::Error);
    record.finish = (*tag)[2];
  }
  if (const auto tag = reader.exactly("time", 4)) {
    record.accepted_at_ms = reader.time((*tag)[1]);
    record.first_at_ms = reader.time((*tag)[2]);
    record.ended_at_ms = reader.time((*tag)[3]);
  }
  if (!event.content.empty()) reader.fail(InferenceError::BadContent);
  return finish(reader, std::move(record));
}

// ---- 1472 ---------------------------------------------------------------------------------------

EventDraft build_receipt(const BalanceReceipt& receipt) {
  EventDraft draft{
      .created_at = receipt.created_at, .kind = kinds::kReceipt, .tags = {}, .content = ""};
  draft.tags.add({"d", encode_hex(receipt.channel)});
  draft.tags.add({"amount", receipt.amount.to_string()});
  draft.tags.add({"x", encode_hex(receipt.running_hash)});
  check_parses(parse_receipt(as_event(draft, receipt.signer)));
  return draft;
}

Result<BalanceReceipt, InferenceError> parse_receipt(const Event& event) {
  if (event.kind != kinds::kReceipt) return failure(InferenceError::WrongKind);
  if (!event.content.empty()) return failure(InferenceError::BadContent);
  if (event.created_at < kReceiptTimeMin || event.created_at > kReceiptTimeMax) {
    return failure(InferenceError::BadTag);
  }
  const Tags& tags = event.tags;
  if (tags.size() < 3) return failure(InferenceError::MissingTag);
  if (tags.size() > 3) return failure(InferenceError::TooMany);
  constexpr std::array<std::string_view, 3> kNames = {"d", "amount", "x"};
  for (std::size_t index = 0; index < kNames.size(); ++index) {
    if (tags[index].size() != 2 || tags[index].name() != kNames[index]) {
      return failure(InferenceError::BadTag);
    }
  }
  const auto channel = from_hex<ChannelId>(tags[0][1]);
  const auto amount = Amount::parse(tags[1][1]);
  const auto running_hash = from_hex<Digest>(tags[2][1]);
  if (!channel || !amount || amount->is_zero() || !running_hash) {
    return failure(InferenceError::BadTag);
  }
  return BalanceReceipt{.id = event.id,
                        .signer = event.pubkey,
                        .created_at = event.created_at,
                        .channel = *channel,
                        .amount = *amount,
                        .running_hash = *running_hash};
}

}  // namespace nostril
