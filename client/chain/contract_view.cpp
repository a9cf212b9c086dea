#include "client/chain/contract_view.h"

#include "base/json.h"
#include "client/chain/follower.h"
#include "settlement/evm/asset.h"

#include <algorithm>
#include <utility>

namespace nostril::client::chain {

using settlement::evm::data_text;

Result<void, std::string> ContractView::check_place() {
  if (checked_) return {};
  if (const auto checked = chain::check_place(rpc_, place_); !checked) {
    return failure(checked.error().text);
  }
  checked_ = true;
  return {};
}

Result<Bytes, std::string> ContractView::call(const EthereumAddress& to, ByteSpan data) {
  if (auto checked = check_place(); !checked) return failure(checked.error());
  JsonWriter w;
  w.begin_array().begin_object();
  w.key("to").string(settlement::evm::to_string(to)).key("data").string(data_text(data));
  w.end_object().string("latest").end_array();
  auto said = rpc_.ask<Bytes>("eth_call", w.text(), [](const Json& value) {
    return settlement::evm::parse_data(value, settlement::evm::RpcLimits::kCallBytesMax);
  });
  if (!said) return failure(said.error().text);
  return std::move(*said);
}

Result<Amount, std::string> ContractView::amount(const EthereumAddress& to, ByteSpan data) {
  const auto said = call(to, data);
  if (!said) return failure(said.error());
  const auto amount = settlement::evm::parse_amount(*said);
  if (amount) return *amount;
  if (amount.error() == settlement::evm::AbiError::OutOfRange) return *Amount::from(Amount::kMax);
  return failure(settlement::evm::to_string(to) + " answers in another form: is it the contract?");
}

Result<settlement::evm::ChannelState, std::string> ContractView::channel(const ChannelId& id) {
  const auto said = call(place_.contract, settlement::evm::channel_question(id));
  if (!said) return failure(said.error());
  const auto state = settlement::evm::parse_channel_state(*said);
  if (!state) return failure(std::string("the contract answers in another form"));
  return *state;
}

Result<Amount, std::string> ContractView::pool(const EthereumAddress& owner,
                                               const EthereumAddress& token) {
  return amount(place_.contract, settlement::evm::pool_question(owner, token));
}

Result<Amount, std::string> ContractView::allowance(const EthereumAddress& payer,
                                                    const PublicKey& signer,
                                                    const EthereumAddress& token) {
  return amount(place_.contract, settlement::evm::allowance_question(payer, signer, token));
}

Result<std::uint64_t, std::string> ContractView::time() {
  const auto heads = rpc_.ask_each<settlement::evm::BlockHead>(
      "eth_getBlockByNumber", R"(["latest",false])", settlement::evm::parse_block);
  if (!heads) return failure(heads.error().text);
  return std::ranges::min_element(*heads, {}, &settlement::evm::BlockHead::time)->time;
}

}  // namespace nostril::client::chain
