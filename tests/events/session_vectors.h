#pragma once

#include "base/check.h"
#include "base/hex.h"
#include "base/json.h"
#include "events/features.h"
#include "events/session.h"
#include "settlement/channel.h"
#include "tests/support/inference_fixtures.h"

#include <string>
#include <vector>

/// The values of spec/vectors/session.json, made from secrets that are SHA-256 of a name. The same
/// code makes the file and checks it; the JavaScript in tests/interop checks it independently.
namespace nostril::test {

/// Auxiliary randomness of zeros, so that signatures are always the same.
class ZeroRng final : public Rng {
 public:
  void fill(std::span<std::uint8_t> out) override { std::ranges::fill(out, std::uint8_t{0}); }
};

class VectorWriter {
 public:
  std::string write() {
    w_.begin_object();
    keys();
    schedule();
    handshake();
    frames();
    stored();
    money();
    meters();
    w_.end_object();
    return std::move(w_).take() + "\n";
  }

 private:
  void hex(std::string_view name, ByteSpan bytes) { w_.key(name).string(encode_hex(bytes)); }

  void keys() {
    w_.key("keys").begin_object();
    for (const char* name : {"node", "N", "c", "s", "payer"}) {
      const Keypair pair = key_of(name);
      w_.key(name).begin_object();
      hex("secret", pair.expose_secret());
      hex("public", pair.public_key().bytes);
      w_.end_object();
    }
    w_.end_object();
  }

  void schedule() {
    w_.key("offer").raw(to_json(offer_event_));
    hex("k0", k0_.expose());
    hex("ephemeral", ephemeral_.expose());
    hex("info", session_info(context_));
    hex("client_to_node", keys_.client_to_node.expose());
    hex("node_to_client", keys_.node_to_client.expose());
    const ConversationKey first = ratchet(keys_.node_to_client);
    hex("node_to_client_generation_1", first.expose());
    hex("node_to_client_generation_2", ratchet(first).expose());
    hex("stored", keys_.stored.expose());
    hex("stored_answer_key", stored_answer_key(keys_.stored, open_.request).expose());
  }

  void sealed(std::string_view from, std::uint64_t n, const ConversationKey& key,
              const Frame& frame) {
    sealed(from, key, print_frame(n, frame));
  }

  void sealed(std::string_view from, const ConversationKey& key, const std::string& text) {
    std::array<std::uint8_t, 32> nonce{};
    nonce.fill(++nonces_);
    w_.begin_object();
    w_.key("from").string(from);
    w_.key("text").string(text);
    hex("nonce", nonce);
    w_.key("payload").string(nip44_encrypt_with_nonce(key, text, nonce));
    w_.end_object();
  }

  void handshake() {
    w_.key("open");
    sealed("client", 0, k0_, open_);
    AcceptFrame accept;
    accept.request = open_.request;
    accept.session_key = s_.public_key();
    accept.queue = 2;
    accept.credit = 262'144;
    w_.key("accept");
    sealed("node", 0, k0_, accept);
  }

  void frames() {
    const auto& up = keys_.client_to_node;
    const auto& down = keys_.node_to_client;
    auto bytes = [](std::string_view text) { return Bytes(text.begin(), text.end()); };
    w_.key("frames").begin_array();
    sealed("node", 0, down, ProgressFrame{ProgressStage::Prefill, 17});
    sealed("node", 1, down,
           DataFrame{ResponseHead{200, "text/event-stream"},
                     bytes("data: {\"x\":\"gr\xC3\xBC\xC3\x9F\"}\n\n")});
    sealed("node", 2, down, DataFrame{{}, {0x00, 0xFF, 0xC3, 0x28}});
    sealed("client", 0, up, AckFrame{1, {{2, 3}}, 262'144, true});
    sealed("client", 0, up, CreditFrame{524'288});
    sealed("client", 0, up, ResumeFrame{1, {{2, 2}, {4, 6}}, 262'144});
    sealed("node", 3, down, CheckpointFrame{24, digest_of("so far"), {5, 1, 2}});
    sealed("client", 1, up, CancelFrame{"enough"});
    sealed("node", 4, down, make_error(ErrorCode::RateLimited, "try later", 1500));
    sealed("node", 1024, ratchet(down), DataFrame{{}, bytes("after the ratchet")});
    w_.end_array();
    w_.key("zstd_frames").begin_array();
    std::uint64_t n = 4;
    for (const Bytes& part : zstd_parts()) {
      sealed("node", ++n, down, DataFrame{{}, part, true});
    }
    w_.end_array();
    w_.key("zstd_text")
        .string("data: {\"content\":\"zstd \"}\n\ndata: {\"content\":\"stream\"}\n\n");
    w_.key("quiet");
    sealed("node", down, print_padded_frame(7, DataFrame{{}, bytes("small")}, kQuietTextBytes));
  }

  /// Two parts of one stream, as libzstd 1.5.4 made them: other versions may pack otherwise.
  static std::vector<Bytes> zstd_parts() {
    std::vector<Bytes> parts;
    for (const std::string_view text :
         {"28b52ffd0030d80000646174613a207b22636f6e74656e74223a227a73746420227d0a0a",
          "8400005073747265616d227d0a0a0100ee4d20"}) {
      Bytes part(text.size() / 2);
      CHECK(decode_hex(text, part));
      parts.push_back(std::move(part));
    }
    return parts;
  }

  void stored() {
    const ConversationKey key = stored_answer_key(keys_.stored, open_.request);
    const std::vector<Bytes> parts = zstd_parts();
    w_.key("stored_frames").begin_array();
    sealed("node", 1, key, DataFrame{ResponseHead{200, "text/event-stream"}, parts[0], true});
    sealed("node", 2, key, DataFrame{{}, parts[1], true});
    sealed("node", 3, key,
           EndFrame{sign_event(build_record(example_record(offer_)), node_, zeros_)});
    w_.end_array();
  }

  void money() {
    using settlement::NodeChannel;
    const settlement::ChannelTerms terms{.signer = payer_.public_key(),
                                         .node = node_.public_key(),
                                         .asset = offer_.asset,
                                         .salt = open_.payment->salt};
    const auto prices = settlement::PriceTable::of(offer_);
    NodeChannel channel(terms, Amount::of(1'000'000));
    settlement::PayerChannel book(terms, Amount::of(1'000'000));
    w_.key("channel").begin_object();
    hex("signer", terms.signer.bytes);
    hex("node", terms.node.bytes);
    hex("salt", terms.salt);
    w_.key("asset").string(terms.asset);
    hex("id", channel.id().bytes);
    hex("start", channel.running_hash().bytes);
    w_.end_object();

    struct Step {
      std::uint8_t request;
      Usage usage;
      RecordStatus status;
    };

    const std::vector<Step> steps = {{1, {120, 20, 45}, RecordStatus::Ok},
                                     {2, {1000, 0, 100}, RecordStatus::Partial},
                                     {2, {1000, 0, 333}, RecordStatus::Cancelled}};
    w_.key("statements").begin_array();
    for (const Step& step : steps) {
      ResponseRecord record = example_record(offer_);
      record.request.bytes.fill(step.request);
      record.usage = step.usage;
      record.milliseconds = 0;
      record.status = step.status;
      CHECK(channel.statement(record, prices));
      const Event event = sign_event(build_record(record), node_, zeros_);
      record.id = event.id;
      channel.commit(record, prices);
      const auto draft = book.pay(record,
                                  {.request = record.request,
                                   .request_hash = record.request_hash,
                                   .response_hash = record.response_hash,
                                   .offer = record.offer,
                                   .limit = {step.usage, 0}},
                                  prices, 1'800'000'020);
      CHECK(draft && draft->has_value());
      w_.begin_object();
      w_.key("record").raw(to_json(event));
      hex("running_hash", channel.running_hash().bytes);
      w_.key("receipt").raw(to_json(sign_event(**draft, payer_, zeros_)));
      w_.end_object();
    }
    w_.end_array();
  }

  void meters() {
    struct Case {
      const char* input;
      const char* cached;
      const char* output;
      std::vector<Usage> queries;
    };

    const std::vector<Case> cases = {
        {"150000", "30000", "600000", {{120, 20, 45}, {1000, 0, 333}, {1, 0, 0}}},
        {"1", "1", "1", {{1, 0, 0}, {999'999, 0, 0}, {0, 0, 1}}},
        {"0", "0", "1", {{5000, 0, 0}, {0, 0, 0}, {0, 0, 1}}},
        {"79228162514264337593543950335", "0", "1", {{1'000'000, 0, 0}}},
        {"10000000000000000000",
         "1000000000000000000",
         "30000000000000000000",
         {{123'456, 7'890, 4'321}, {98'765, 98'765, 1}}},
    };
    w_.key("meters").begin_array();
    for (const Case& item : cases) {
      Offer offer;
      offer.asset = "msat";
      offer.prices = {{PriceUnit::Input, *Amount::parse(item.input)},
                      {PriceUnit::Cached, *Amount::parse(item.cached)},
                      {PriceUnit::Output, *Amount::parse(item.output)}};
      const auto prices = settlement::PriceTable::of(offer);
      settlement::Meter meter;
      w_.begin_object();
      w_.key("input").string(item.input).key("cached").string(item.cached);
      w_.key("output").string(item.output);
      w_.key("steps").begin_array();
      for (const Usage& usage : item.queries) {
        CHECK(meter.add(*prices.charge(usage, 0)));
        w_.begin_object();
        w_.key("usage").begin_array();
        for (const std::uint64_t count : {usage.input, usage.cached, usage.output}) {
          w_.integer(static_cast<std::int64_t>(count));
        }
        w_.end_array();
        w_.key("spent").string(meter.spent().to_string());
        w_.key("remainder").integer(meter.remainder());
        w_.end_object();
      }
      w_.end_array().end_object();
    }
    w_.end_array();
  }

  static OpenFrame example_open(const Offer& offer, const PublicKey& signer) {
    OpenFrame open;
    open.request.bytes.fill(1);
    open.offer = offer.id;
    open.attestation = offer.attestation;
    open.method = "POST";
    open.path = "/v1/chat/completions";
    open.headers = {{"content-type", "application/json"}};
    const std::string_view body = "{\"model\":\"qwen3-32b\",\"messages\":[]}";
    open.body_bytes = body.size();
    open.body.assign(body.begin(), body.end());
    open.payment = PaymentTerms{.signer = signer, .salt = {1, 2, 3}};
    open.credit = 262'144;
    return open;
  }

  JsonWriter w_;
  ZeroRng zeros_;
  std::uint8_t nonces_ = 0;
  Keypair node_ = key_of("node");
  Keypair n_ = key_of("N");
  Keypair c_ = key_of("c");
  Keypair s_ = key_of("s");
  Keypair payer_ = key_of("payer");
  Offer offer_ = example_offer(node_, n_.public_key());
  Event offer_event_ = sign_event(build_offer(offer_), node_, zeros_);
  OpenFrame open_ = [this] {
    offer_.id = offer_event_.id;
    return example_open(offer_, payer_.public_key());
  }();
  SessionContext context_{.offer = offer_event_.id,
                          .attestation = offer_.attestation,
                          .client = c_.public_key(),
                          .encryption = n_.public_key(),
                          .node = s_.public_key(),
                          .request = open_.request};
  ConversationKey k0_ = *ConversationKey::derive(c_, n_.public_key());
  ConversationKey ephemeral_ = *ConversationKey::derive(s_, c_.public_key());
  SessionKeys keys_ = derive_session_keys(k0_, ephemeral_, context_);
};

inline std::string make_session_vectors() {
  return VectorWriter().write();
}

}  // namespace nostril::test
