// What the contract's pages promise, against spec/vectors/contract.json, which ethers and
// nostr-tools made (tests/contracts/make_vectors.mjs) and a chain takes
// (tests/contracts/vectors.test.mjs).
#include "base/json.h"
#include "events/event.h"
#include "schnorr/keccak.h"
#include "settlement/evm/abi.h"
#include "settlement/evm/channel.h"
#include "settlement/evm/log.h"
#include "settlement/evm/order.h"
#include "settlement/evm/signed_order.h"
#include "settlement/evm/transaction.h"
#include "tests/schnorr/vectors.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::settlement::evm {
namespace {

using test::text_of;
using test::unhex;

const Json& vectors() {
  static const Json kVectors = [] {
    auto parsed = Json::parse(test::read_source("spec/vectors/contract.json"));
    CHECK(parsed.has_value());
    return std::move(*parsed);
  }();
  return kVectors;
}

const Json& part(std::string_view name) {
  const Json* found = vectors().find(name);
  CHECK(found != nullptr);
  return *found;
}

/// Without 0x.
Bytes bytes_of(const Json& object, std::string_view key) {
  const std::string text = text_of(object, key);
  CHECK(text.starts_with("0x"));
  return unhex(std::string_view(text).substr(2));
}

template <typename T>
T fixed_of(const Json& object, std::string_view key) {
  const auto value = T::from(bytes_of(object, key));
  CHECK(value.has_value());
  return *value;
}

ContractPlace place() {
  const Json& object = part("place");
  return {.chain_id = std::stoull(text_of(object, "chain_id")),
          .contract = fixed_of<EthereumAddress>(object, "contract")};
}

Channel terms() {
  const Json& object = part("terms");
  Channel out{.payer = fixed_of<EthereumAddress>(object, "payer"),
              .salt = {},
              .signer = fixed_of<PublicKey>(object, "signer"),
              .payee = fixed_of<EthereumAddress>(object, "payee"),
              .token = fixed_of<EthereumAddress>(object, "token")};
  std::ranges::copy(unhex(text_of(object, "salt")), out.salt.begin());
  return out;
}

ChannelId id() {
  return fixed_of<ChannelId>(vectors(), "id");
}

VerifiedEvent event(std::string_view name) {
  auto parsed = parse_event(part(name).dump());
  CHECK(parsed.has_value());
  Verifier verifier(16);
  auto verified = VerifiedEvent::verify(std::move(*parsed), verifier);
  CHECK(verified.has_value());
  return *verified;
}

Amount amount(std::uint64_t value) {
  return Amount::of(value);
}

const Amount kMost = *Amount::from(Amount::kMax);

std::string call(std::string_view name) {
  return encode_hex(bytes_of(part("calls"), name));
}

TEST(EvmChannel, IsNamedAsTheContractNamesIt) {
  EXPECT_EQ(channel_id(place(), terms()), id());
}

TEST(EvmChannel, EveryTermAndThePlaceAreInTheName) {
  const auto other = [](auto change) {
    ContractPlace where = place();
    Channel channel = terms();
    change(where, channel);
    return channel_id(where, channel);
  };
  EXPECT_NE(other([](auto& where, auto&) { where.chain_id += 1; }), id());
  EXPECT_NE(other([](auto& where, auto&) { where.contract.bytes[19] ^= 1; }), id());
  EXPECT_NE(other([](auto&, auto& channel) { channel.payer.bytes[0] ^= 1; }), id());
  EXPECT_NE(other([](auto&, auto& channel) { channel.salt[11] ^= 1; }), id());
  EXPECT_NE(other([](auto&, auto& channel) { channel.signer.bytes[31] ^= 1; }), id());
  EXPECT_NE(other([](auto&, auto& channel) { channel.payee.bytes[19] ^= 1; }), id());
  EXPECT_NE(other([](auto&, auto& channel) { channel.token.bytes[19] ^= 1; }), id());
  EXPECT_NE(other([](auto&, auto& channel) { std::swap(channel.payee, channel.token); }), id());
}

TEST(EvmReceipt, OurEventIsTheOneThatTheContractRebuilds) {
  const VerifiedEvent receipt = event("receipt");
  const auto parsed = parse_receipt(receipt.event());
  ASSERT_TRUE(parsed.has_value());
  const EventDraft draft = build_receipt(*parsed);
  const Event built{.id = {},
                    .pubkey = parsed->signer,
                    .created_at = draft.created_at,
                    .kind = draft.kind,
                    .tags = draft.tags,
                    .content = draft.content,
                    .sig = {}};
  EXPECT_EQ(compute_id(built), receipt->id);
}

TEST(EvmReceipt, BecomesTheRowThatAChainTakes) {
  const auto row = claim_row(place(), terms(), event("receipt"));
  ASSERT_TRUE(row.has_value());
  EXPECT_EQ(encode_hex(*row), encode_hex(bytes_of(vectors(), "row")));
}

TEST(EvmReceipt, OfAnotherChannelIsNoRow) {
  const VerifiedEvent receipt = event("receipt");
  Channel other = terms();
  other.salt[0] ^= 1;
  EXPECT_FALSE(claim_row(place(), other, receipt).has_value());
  ContractPlace elsewhere = place();
  elsewhere.chain_id += 1;
  EXPECT_FALSE(claim_row(elsewhere, terms(), receipt).has_value());
  EXPECT_FALSE(claim_row(place(), terms(), event("order")).has_value());
}

TEST(EvmOrder, OurEventIsTheOneThatTheContractRebuilds) {
  const VerifiedEvent order = event("order");
  const auto parsed = parse_order(order.event());
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->channel, id());
  EXPECT_EQ(parsed->total, amount(5'000'000));
  EXPECT_EQ(parsed->expires_at, 4'000'000'000);
  const EventDraft draft = build_order(*parsed);
  const Event built{.id = {},
                    .pubkey = parsed->signer,
                    .created_at = draft.created_at,
                    .kind = draft.kind,
                    .tags = draft.tags,
                    .content = draft.content,
                    .sig = {}};
  EXPECT_EQ(compute_id(built), order->id);
}

TEST(EvmOrder, HasOneFormOnly) {
  const Event good = event("order").event();
  const auto refused = [&](auto change) {
    Event changed = good;
    change(changed);
    return !parse_order(changed).has_value();
  };
  const std::string channel = encode_hex(id());
  const auto with_tags = [&](const Tags& tags) {
    Event changed = good;
    changed.tags = tags;
    return parse_order(changed).has_value();
  };
  EXPECT_TRUE(with_tags({{"d", channel}, {"amount", "1"}, {"expiration", "1000000000"}}));
  EXPECT_FALSE(with_tags({{"d", channel}, {"amount", "0"}, {"expiration", "1000000000"}}));
  EXPECT_FALSE(with_tags({{"d", channel}, {"amount", "01"}, {"expiration", "1000000000"}}));
  EXPECT_FALSE(with_tags({{"d", channel}, {"amount", "1"}, {"expiration", "999999999"}}));
  EXPECT_FALSE(with_tags({{"d", channel}, {"amount", "1"}, {"expiration", "4294967296"}}));
  EXPECT_FALSE(with_tags({{"amount", "1"}, {"d", channel}, {"expiration", "1000000000"}}));
  EXPECT_FALSE(with_tags({{"d", channel}, {"amount", "1"}}));
  EXPECT_FALSE(with_tags({{"d", channel}, {"amount", "1", ""}, {"expiration", "1000000000"}}));
  EXPECT_TRUE(refused([](Event& changed) { changed.content = " "; }));
  EXPECT_TRUE(refused([](Event& changed) { changed.kind = 1472; }));
  EXPECT_TRUE(refused([](Event& changed) { changed.created_at = 999'999'999; }));
  EXPECT_TRUE(refused([](Event& changed) { changed.created_at = 4'294'967'296; }));
}

/// The order as who brings it gets it.
std::string order_text() {
  const auto order = SignedOrder::make(place(), terms(), event("order"));
  CHECK(order.has_value());
  return order->text();
}

TEST(EvmSignedOrder, IsReadAsItWasWritten) {
  Verifier verifier;
  const auto read = SignedOrder::parse(order_text(), verifier);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->place(), place());
  EXPECT_EQ(read->channel(), terms());
  EXPECT_EQ(read->order().total, amount(5'000'000));
  EXPECT_EQ(encode_hex(read->call()), call("openSigned"));
  EXPECT_EQ(read->text(), order_text());
}

TEST(EvmSignedOrder, IsForItsOwnChannelOnly) {
  Verifier verifier;
  const auto error = [&](std::string from, const std::string& to) {
    std::string text = order_text();
    const std::size_t at = text.find(from);
    CHECK(at != std::string::npos);
    const auto read = SignedOrder::parse(text.replace(at, from.size(), to), verifier);
    return read ? std::string("taken") : std::string(to_string(read.error()));
  };
  const std::string other(to_string(SignedOrderError::AnotherChannel));
  const std::string terms_bad(to_string(SignedOrderError::BadTerms));
  const std::string event_bad(to_string(SignedOrderError::BadEvent));
  const std::string not_json(to_string(SignedOrderError::NotJson));
  EXPECT_EQ(error("\"31337\"", "\"1\""), other);
  EXPECT_EQ(error("\"salt\":\"01", "\"salt\":\"02"), other);
  EXPECT_EQ(error("\"payer\":\"0xf3", "\"payer\":\"0xf4"), other);
  EXPECT_EQ(error("\"payee\":\"0x70", "\"payee\":\"0x71"), other);
  EXPECT_EQ(error("\"payer\":\"0xf3", "\"payer\":\"0xF3"), terms_bad) << "one spelling only";
  EXPECT_EQ(error("\"31337\"", "\"031337\""), terms_bad);
  EXPECT_EQ(error("\"31337\"", "31337"), terms_bad);
  EXPECT_EQ(error("\"salt\":\"01", "\"salt\":\""), terms_bad);
  EXPECT_EQ(error("\"amount\",\"5000000\"", "\"amount\",\"5000001\""), event_bad);
  EXPECT_EQ(error("\"sig\":\"ed", "\"sig\":\"ee"), event_bad);
  EXPECT_EQ(error("{\"chain\"", "{\"more\":1,\"chain\""), not_json);
  EXPECT_EQ(error("\"order\"", "\"Order\""), not_json);
  EXPECT_EQ(error("}}", "}}" + std::string(SignedOrder::kBytesMax, ' ')), not_json);
  // A receipt of the same signer for the same channel is no order.
  EXPECT_FALSE(SignedOrder::make(place(), terms(), event("receipt")));
}

TEST(EvmCalls, AreThoseOfAnIndependentEncoder) {
  const Channel channel = terms();
  EXPECT_EQ(encode_hex(deposit_call(channel.payer, channel.token, amount(7))), call("deposit"));
  EXPECT_EQ(encode_hex(withdraw_call(channel.token, kMost, channel.payee)), call("withdraw"));
  EXPECT_EQ(encode_hex(allow_call(channel.signer, channel.token, amount(5'000'000))),
            call("allow"));
  EXPECT_EQ(encode_hex(channel_call(AmountCall::Open, channel, amount(1))), call("open"));
  EXPECT_EQ(encode_hex(channel_call(AmountCall::OpenPooled, channel, amount(5'000'000))),
            call("openPooled"));
  EXPECT_EQ(encode_hex(channel_call(AmountCall::TopUp, channel, kMost)), call("topUp"));
  EXPECT_EQ(encode_hex(channel_call(AmountCall::TopUpPooled, channel, amount(256))),
            call("topUpPooled"));
  EXPECT_EQ(encode_hex(channel_call(AmountCall::Refund, channel, amount(3))), call("refund"));
  EXPECT_EQ(encode_hex(channel_call(CloseCall::Request, channel)), call("requestClose"));
  EXPECT_EQ(encode_hex(channel_call(CloseCall::Finalise, channel)), call("finalise"));
  EXPECT_EQ(encode_hex(channel_question(id())), call("channel"));
  EXPECT_EQ(encode_hex(pool_question(channel.payer, channel.token)), call("pool"));
  EXPECT_EQ(encode_hex(approve_call(channel.payee, amount(255))).substr(0, 8), "095ea7b3");
}

TEST(EvmCalls, CarryRowsAndOrders) {
  const Channel channel = terms();
  const ClaimRow row = *claim_row(place(), channel, event("receipt"));
  const std::array<ClaimRow, 2> rows{row, row};
  const std::span<const ClaimRow> both(rows);
  EXPECT_EQ(encode_hex(claim_call(channel.payee, channel.token, both.first(1))), call("claim"));
  EXPECT_EQ(encode_hex(claim_call(channel.payee, channel.token, both)), call("claimTwice"));
  EXPECT_EQ(encode_hex(claim_call(channel.payee, channel.token, {})), call("claimNothing"));
  EXPECT_EQ(encode_hex(claim_to_pool_call(channel.token, both.first(1))), call("claimToPool"));
  const VerifiedEvent order = event("order");
  EXPECT_EQ(encode_hex(open_signed_call(channel, *parse_order(order.event()),
                                        *contract_signature(order->sig))),
            call("openSigned"));
}

TEST(EvmAnswers, AreReadExactly) {
  const Json& answers = part("answers");
  EXPECT_EQ(*parse_channel_state(bytes_of(answers, "open")),
            (ChannelState{.locked = amount(5'000'000),
                          .claimed = amount(1'234'567),
                          .close_at = 0,
                          .returned = false,
                          .known = true}));
  EXPECT_EQ(*parse_channel_state(bytes_of(answers, "closing")),
            (ChannelState{.locked = kMost,
                          .claimed = kMost,
                          .close_at = (std::uint64_t{1} << 40) - 1,
                          .returned = true,
                          .known = true}));
  EXPECT_EQ(*parse_channel_state(bytes_of(answers, "unknown")), ChannelState{});
  EXPECT_EQ(*parse_amount(bytes_of(answers, "pool")), kMost);
}

TEST(EvmAnswers, OfAnotherFormAreRefused) {
  const Bytes good = bytes_of(part("answers"), "open");
  Bytes shorter = good;
  shorter.pop_back();
  EXPECT_EQ(parse_channel_state(shorter).error(), AbiError::WrongSize);
  Bytes longer = good;
  longer.resize(good.size() + 32);
  EXPECT_EQ(parse_channel_state(longer).error(), AbiError::WrongSize);
  EXPECT_EQ(parse_channel_state({}).error(), AbiError::WrongSize);
  // The bytes above each field's own.
  for (const std::size_t at : {0U, 19U, 32U, 51U, 64U, 90U, 96U, 126U, 128U, 158U}) {
    Bytes changed = good;
    changed[at] = 2;
    EXPECT_EQ(parse_channel_state(changed).error(), AbiError::OutOfRange) << at;
  }
  Bytes overdrawn = good;
  overdrawn[32 + 20] = 1;
  EXPECT_EQ(parse_channel_state(overdrawn).error(), AbiError::Inconsistent);
  Bytes unknown = good;
  unknown[159] = 0;
  EXPECT_EQ(parse_channel_state(unknown).error(), AbiError::Inconsistent);
}

ContractLog log_named(std::string_view name) {
  for (const Json& entry : part("logs").items()) {
    if (text_of(entry, "name") != name) continue;
    std::vector<Digest> topics;
    for (const Json& topic : entry.find("topics")->items()) {
      topics.push_back(test::fixed<Digest>(topic.string()->substr(2)));
    }
    const auto log = parse_log(topics, bytes_of(entry, "data"));
    CHECK(log.has_value());
    return *log;
  }
  CHECK(false);
}

TEST(EvmLogs, AreReadExactly) {
  EXPECT_EQ(log_named("Opened"),
            ContractLog(OpenedLog{.id = id(), .channel = terms(), .locked = amount(5'000'000)}));
  EXPECT_EQ(log_named("Locked"), ContractLog(LockedLog{.id = id(), .locked = kMost}));
  EXPECT_EQ(log_named("Claimed"),
            ContractLog(ClaimedLog{.id = id(), .claimed = amount(1'234'567)}));
  EXPECT_EQ(log_named("CloseRequested"),
            ContractLog(CloseRequestedLog{.id = id(), .close_at = 1'800'086'400}));
  EXPECT_EQ(log_named("Finalised"),
            ContractLog(FinalisedLog{.id = id(), .locked = amount(1'234'567)}));
  EXPECT_EQ(log_named("Skipped"),
            ContractLog(SkippedLog{.row = 99, .reason = SkipReason::BadSignature}));
  EXPECT_EQ(
      log_named("Kept"),
      ContractLog(KeptLog{.payee = terms().payee, .token = terms().token, .amount = amount(42)}));
  const Digest withdrawn = keccak256(as_bytes("Withdrawn(address,address,address,uint256)"));
  Digest owner;
  owner.bytes.back() = 1;
  Digest token;
  token.bytes.back() = 2;
  Bytes rest;
  append_number_word(rest, 3);
  append_number_word(rest, 42);
  const auto log = parse_log(std::vector<Digest>{withdrawn, owner, token}, rest);
  WithdrawnLog expected;
  expected.amount = amount(42);
  expected.owner.bytes.back() = 1;
  expected.token.bytes.back() = 2;
  expected.to.bytes.back() = 3;
  EXPECT_EQ(log.value(), ContractLog(expected));
  EXPECT_EQ(log_named("Deposited"), ContractLog(OtherLog{}));
  EXPECT_EQ(log_named("Allowed"), ContractLog(OtherLog{}));
}

TEST(EvmLogs, OfAnotherFormAreRefused) {
  for (const Json& entry : part("logs").items()) {
    std::vector<Digest> topics;
    for (const Json& topic : entry.find("topics")->items()) {
      topics.push_back(test::fixed<Digest>(topic.string()->substr(2)));
    }
    const Bytes data = bytes_of(entry, "data");
    const bool is_other = std::holds_alternative<OtherLog>(*parse_log(topics, data));
    std::vector<Digest> fewer(topics.begin(), topics.end() - 1);
    if (fewer.empty()) {
      EXPECT_EQ(*parse_log(fewer, data), ContractLog(OtherLog{}));
    } else {
      EXPECT_EQ(parse_log(fewer, data).has_value(), is_other);
    }
    Bytes longer = data;
    longer.push_back(0);
    EXPECT_EQ(parse_log(topics, longer).has_value(), is_other);
    EXPECT_EQ(parse_log(topics, {}).has_value(), is_other);
  }
}

Uint128 number_of(const Json& object, std::string_view key) {
  const Json* field = object.find(key);
  CHECK(field != nullptr);
  const std::string text = field->string() ? std::string(*field->string()) : field->dump();
  const auto value = parse_decimal(text, ~Uint128{0});
  CHECK(value.has_value());
  return *value;
}

Transaction transaction_of(const Json& fields) {
  Transaction out;
  out.chain_id = static_cast<std::uint64_t>(number_of(fields, "chainId"));
  out.nonce = static_cast<std::uint64_t>(number_of(fields, "nonce"));
  out.priority_fee_max = number_of(fields, "maxPriorityFeePerGas");
  out.fee_max = number_of(fields, "maxFeePerGas");
  out.gas_max = static_cast<std::uint64_t>(number_of(fields, "gasLimit"));
  if (fields.find("to") != nullptr) out.to = fixed_of<EthereumAddress>(fields, "to");
  out.value = number_of(fields, "value");
  out.data = bytes_of(fields, "data");
  return out;
}

/// The first account of every anvil; its key is public.
EcdsaKey test_key() {
  const Bytes bytes = unhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
  return *EcdsaKey::from_secret(
      SecretBytes<32>(std::span<const std::uint8_t, 32>(bytes.data(), 32)));
}

TEST(EvmTransactions, AreThoseOfAnIndependentWallet) {
  const EcdsaKey key = test_key();
  for (const Json& entry : part("transactions").items()) {
    const Transaction transaction = transaction_of(*entry.find("fields"));
    EXPECT_EQ(signing_digest(transaction), fixed_of<Digest>(entry, "digest"));
    const SignedTransaction ours = sign(transaction, key);
    EXPECT_EQ(encode_hex(ours.raw), encode_hex(bytes_of(entry, "raw")));
    EXPECT_EQ(ours.hash, fixed_of<Digest>(entry, "hash"));
    EXPECT_EQ(ours.from, fixed_of<EthereumAddress>(entry, "from"));
    const auto parsed = parse_transaction(ours.raw);
    ASSERT_TRUE(parsed.has_value()) << to_string(parsed.error());
    EXPECT_EQ(*parsed, ours);
  }
}

TEST(EvmTransactions, ChangedInAnyByteAreRefusedOrSomebodyElses) {
  for (const Json& entry : part("transactions").items()) {
    const Bytes raw = bytes_of(entry, "raw");
    const auto from = fixed_of<EthereumAddress>(entry, "from");
    for (std::size_t at = 0; at < raw.size(); ++at) {
      Bytes changed = raw;
      changed[at] ^= static_cast<std::uint8_t>(1U << (at % 8));
      const auto parsed = parse_transaction(changed);
      EXPECT_TRUE(!parsed || parsed->from != from) << at;
      if (parsed) {
        EXPECT_EQ(parsed->raw, changed);
      }
    }
    for (std::size_t size = 0; size < raw.size(); ++size) {
      EXPECT_FALSE(parse_transaction(ByteSpan(raw).first(size)).has_value()) << size;
    }
    Bytes longer = raw;
    longer.push_back(0);
    EXPECT_EQ(parse_transaction(longer).error(), TransactionError::BadRlp);
  }
}

}  // namespace
}  // namespace nostril::settlement::evm
