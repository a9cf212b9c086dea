#include "settlement/evm/log.h"

#include "schnorr/keccak.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace nostril::settlement::evm {

namespace {

constexpr std::uint64_t kCloseAtMax = (std::uint64_t{1} << 40) - 1;
constexpr std::uint64_t kRowMax = UINT32_MAX;
constexpr std::size_t kDataBytesMax = 128;  // Opened's four words

/// Indexed arguments and data behind each other, as one sequence of words.
using LogReader = ContractLog (*)(WordReader&);

ChannelId id_word(WordReader& words) {
  return ChannelId{words.word()};
}

ContractLog read_opened(WordReader& words) {
  OpenedLog log;
  log.id = id_word(words);
  log.channel.payer = words.address();
  log.channel.payee = words.address();
  const Amount salt = words.amount();
  for (std::size_t i = 0; i < log.channel.salt.size(); ++i) {
    log.channel.salt[log.channel.salt.size() - 1 - i] =
        static_cast<std::uint8_t>(salt.value() >> (8 * i));
  }
  log.channel.signer = PublicKey{words.word()};
  log.channel.token = words.address();
  log.locked = words.amount();
  return log;
}

ContractLog read_locked(WordReader& words) {
  const ChannelId id = id_word(words);
  return LockedLog{.id = id, .locked = words.amount()};
}

ContractLog read_claimed(WordReader& words) {
  const ChannelId id = id_word(words);
  return ClaimedLog{.id = id, .claimed = words.amount()};
}

ContractLog read_close_requested(WordReader& words) {
  const ChannelId id = id_word(words);
  return CloseRequestedLog{.id = id, .close_at = words.number(kCloseAtMax)};
}

ContractLog read_finalised(WordReader& words) {
  const ChannelId id = id_word(words);
  return FinalisedLog{.id = id, .locked = words.amount()};
}

ContractLog read_skipped(WordReader& words) {
  const std::uint64_t row = words.number(kRowMax);
  const auto reason = words.number(static_cast<std::uint64_t>(SkipReason::BadSignature));
  return SkippedLog{.row = row, .reason = static_cast<SkipReason>(reason)};
}

ContractLog read_kept(WordReader& words) {
  const EthereumAddress payee = words.address();
  const EthereumAddress token = words.address();
  return KeptLog{.payee = payee, .token = token, .amount = words.amount()};
}

ContractLog read_withdrawn(WordReader& words) {
  const EthereumAddress owner = words.address();
  const EthereumAddress token = words.address();
  const EthereumAddress to = words.address();
  return WithdrawnLog{.owner = owner, .token = token, .to = to, .amount = words.amount()};
}

struct LogForm {
  Digest topic;
  std::size_t topics = 0;  ///< with the first
  LogReader read = nullptr;
};

const std::array<LogForm, 8>& forms() {
  static const auto kForms = [] {
    const auto form = [](std::string_view signature, std::size_t topics, LogReader read) {
      return LogForm{.topic = keccak256(as_bytes(signature)), .topics = topics, .read = read};
    };
    return std::array<LogForm, 8>{
        form("Opened(bytes32,address,address,uint96,bytes32,address,uint96)", 4, read_opened),
        form("Locked(bytes32,uint96)", 2, read_locked),
        form("Claimed(bytes32,uint96)", 2, read_claimed),
        form("CloseRequested(bytes32,uint40)", 2, read_close_requested),
        form("Finalised(bytes32,uint96)", 2, read_finalised),
        form("Skipped(uint256,uint8)", 1, read_skipped),
        form("Kept(address,address,uint256)", 3, read_kept),
        form("Withdrawn(address,address,address,uint256)", 3, read_withdrawn)};
  }();
  return kForms;
}

}  // namespace

Result<ContractLog, AbiError> parse_log(std::span<const Digest> topics, ByteSpan data) {
  if (topics.empty()) return ContractLog(OtherLog{});
  const auto form = std::ranges::find(forms(), topics[0], &LogForm::topic);
  if (form == forms().end()) return ContractLog(OtherLog{});
  if (topics.size() != form->topics || data.size() > kDataBytesMax) {
    return failure(AbiError::WrongSize);
  }
  Bytes joined;
  for (const Digest& topic : topics.subspan(1)) {
    joined.insert(joined.end(), topic.bytes.begin(), topic.bytes.end());
  }
  joined.insert(joined.end(), data.begin(), data.end());
  WordReader words(joined);
  ContractLog log = form->read(words);
  if (const auto error = words.error()) return failure(*error);
  return log;
}

}  // namespace nostril::settlement::evm
