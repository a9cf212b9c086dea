#include "events/stored_answer.h"

#include "base/check.h"
#include "events/kinds.h"

#include <algorithm>
#include <utility>

namespace nostril {

namespace {

constexpr std::size_t kAuthorsMax = 64;

}  // namespace

std::vector<Event> seal_answer(const FinishedAnswer& answer, const ConversationKey& key,
                               const Keypair& session, const PublicKey& client, bool zstd,
                               const StoredTimes& times, Rng& rng) {
  CHECK(answer.body.size() <= kStoredBodyBytesMax);
  FrameSealer sealer(key.duplicate());
  FrameCompressor compressor;
  std::vector<Event> events;
  const auto add = [&](const Frame& frame) {
    events.push_back(make_frame_event(session, client, sealer.seal(events.size() + 1, frame, rng),
                                      times.created_at, rng, times.expires_at));
  };
  ByteSpan left = answer.body;
  do {
    const ByteSpan part = left.first(std::min(left.size(), kFrameDataBytesMax));
    left = left.subspan(part.size());
    DataFrame data;
    if (events.empty()) data.head = answer.head;
    data.zstd = zstd && !part.empty();
    data.bytes = data.zstd ? compressor.pack(part) : Bytes(part.begin(), part.end());
    add(data);
  } while (!left.empty());
  add(EndFrame{answer.record});
  CHECK(events.size() <= kStoredFramesMax);
  return events;
}

FrameOpener* StoredAnswerReader::opener_of(const PublicKey& author) {
  const auto found = openers_.find(author);
  if (found != openers_.end()) return &found->second;
  if (node_known_ || openers_.size() >= kAuthorsMax) return nullptr;
  const auto keys = handshake_.derive(author);
  if (!keys) return nullptr;
  FrameOpener opener(stored_answer_key(keys->stored, handshake_.open().request));
  return &openers_.emplace(author, std::move(opener)).first->second;
}

bool StoredAnswerReader::on_event(const Event& event) {
  if (answer_) return true;
  if (event.kind != kinds::kStoredFrame) return false;
  const auto recipient = frame_recipient(event);
  if (!recipient || *recipient != handshake_.client().public_key()) return false;
  FrameOpener* opener = opener_of(event.pubkey);
  if (opener == nullptr) return false;
  auto opened = opener->open(event.content);
  if (!opened || opened->n == 0 || opened->n > kStoredFramesMax) return false;
  if (!std::exchange(node_known_, true)) {
    std::erase_if(openers_, [&event](const auto& one) { return one.first != event.pubkey; });
  }
  frames_.try_emplace(opened->n, std::move(opened->frame));
  answer_ = assemble();
  return answer_.has_value();
}

/// The frames to the end, when all are there and stand where they should.
std::optional<FinishedAnswer> StoredAnswerReader::assemble() const {
  const auto* end = std::get_if<EndFrame>(&frames_.rbegin()->second);
  const std::uint64_t last = frames_.rbegin()->first;
  if (end == nullptr || last != frames_.size() || last < 2) return std::nullopt;
  FinishedAnswer answer;
  answer.record = end->record;
  FrameDecompressor decompressor;
  for (const auto& [n, frame] : frames_) {
    if (n == last) break;
    const auto* data = std::get_if<DataFrame>(&frame);
    if (data == nullptr || data->head.has_value() != (n == 1)) return std::nullopt;
    if (data->head) answer.head = *data->head;
    std::optional<Bytes> bytes = data->bytes;
    if (data->zstd) bytes = decompressor.unpack(data->bytes, kFrameDataBytesMax);
    if (!bytes || answer.body.size() + bytes->size() > kStoredBodyBytesMax) return std::nullopt;
    answer.body.insert(answer.body.end(), bytes->begin(), bytes->end());
  }
  return answer;
}

}  // namespace nostril
