#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "events/amount.h"
#include "events/event.h"
#include "events/inference.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

/// What travels inside sealed frames (kind 21472): one-line JSON texts, spec/05-session.md.
/// Threads: pure, any.
namespace nostril {

/// Bound on one frame's JSON text: sealed and signed it is an event below 16 KiB.
inline constexpr std::size_t kFrameTextBytesMax = 10240;
/// Response or request body bytes in one frame: in base64 they still fit beside the rest.
inline constexpr std::size_t kFrameDataBytesMax = 7168;
/// A part of a zstd stream: what it holds, should nothing of it get shorter.
inline constexpr std::size_t kFrameZstdBytesMax = kFrameDataBytesMax + 64;
/// Body bytes that ride in the first frame.
inline constexpr std::size_t kOpenBodyBytesMax = 5120;
/// Every integer in a frame: what a JavaScript number holds exactly.
inline constexpr std::uint64_t kFrameIntegerMax = (std::uint64_t{1} << 53) - 1;
/// Missing ranges named in one ack.
inline constexpr std::size_t kAckRangesMax = 32;

struct Header {
  std::string name;  ///< lowercase
  std::string value;

  bool operator==(const Header&) const = default;
};

/// Which channel pays. The node knows the price by the offer.
struct PaymentTerms {
  PublicKey signer;                     ///< payment signer: author of the receipts
  std::array<std::uint8_t, 16> salt{};  ///< makes channels of one signer with one node distinct
  std::optional<EthereumAddress> payer = {};  ///< of a channel on a chain: who locked the money

  bool operator==(const PaymentTerms&) const = default;
};

/// Client: a request as HTTP would carry it. The rest of a longer body follows in data frames.
struct OpenFrame {
  RequestId request;
  EventId offer;
  Digest attestation;
  std::string method;                 ///< "POST", "GET"
  std::string path;                   ///< "/v1/chat/completions"
  std::vector<Header> headers;        ///< 16 at most; the node passes on those it knows
  std::uint64_t body_bytes = 0;       ///< of the whole body
  Bytes body;                         ///< its beginning, kOpenBodyBytesMax at most
  bool durable = false;               ///< keep on answering when the client is lost
  std::vector<std::string> features;  ///< what the client would use: events/features.h
  std::optional<PaymentTerms> payment;
  std::uint64_t credit = 0;  ///< response bytes that may be sent before the first ack

  bool operator==(const OpenFrame&) const = default;
};

/// For a client that lost its channel state: its own newest receipt and the statement it pays.
struct ChannelResync {
  Event record;          ///< 1471, statement n
  Event receipt;         ///< 1472, of the client's payment signer
  Digest previous_hash;  ///< H_(n-1); the receipt's x must follow from it

  bool operator==(const ChannelResync& other) const {
    return record.id == other.record.id && receipt.id == other.receipt.id &&
           previous_hash == other.previous_hash;
  }
};

/// Node: the request is taken.
struct AcceptFrame {
  RequestId request;
  PublicKey session_key;              ///< s; equal to the event's author in the first accept
  std::vector<std::string> features;  ///< those of the client's that apply
  std::uint64_t queue = 0;            ///< requests before this one
  std::uint64_t credit = 0;  ///< request body bytes (beyond the open frame's) that may be sent
  std::optional<ChannelResync> resync;

  bool operator==(const AcceptFrame&) const = default;
};

struct ResponseHead {
  std::uint16_t status = 200;  ///< HTTP
  std::string content_type;

  bool operator==(const ResponseHead&) const = default;
};

/// Exact body bytes, either direction; or, with the feature zstd, the next part of the direction's
/// zstd stream that holds them (events/frame_stream.h).
struct DataFrame {
  std::optional<ResponseHead> head;  ///< with the first bytes of a response
  Bytes bytes;
  bool zstd = false;

  bool operator==(const DataFrame&) const = default;
};

enum class ProgressStage : std::uint8_t { Queued, Prefill, Generating };

struct ProgressFrame {
  ProgressStage stage = ProgressStage::Queued;
  std::uint64_t position = 0;  ///< queue position, or tokens done

  bool operator==(const ProgressFrame&) const = default;
};

/// Inclusive range of frame numbers.
struct FrameRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;

  bool operator==(const FrameRange&) const = default;
};

/// What arrived: every frame to `upto`, and after it all but `missing`.
struct AckFrame {
  std::uint64_t upto = 0;
  std::vector<FrameRange> missing;
  std::uint64_t credit = 0;  ///< body bytes that may be sent in data frames since the session began
  bool ask = false;          ///< please answer with an ack

  bool operator==(const AckFrame&) const = default;
};

struct CreditFrame {
  std::uint64_t credit = 0;  ///< as in AckFrame

  bool operator==(const CreditFrame&) const = default;
};

/// Node: hash of the response so far, so that a long answer is checked on its way.
struct CheckpointFrame {
  std::uint64_t bytes = 0;
  Digest response_hash;
  Usage usage;

  bool operator==(const CheckpointFrame&) const = default;
};

struct CancelFrame {
  std::string reason;

  bool operator==(const CancelFrame&) const = default;
};

/// Client, after it came back on some relay: an ack that asks for everything missing at once.
struct ResumeFrame {
  std::uint64_t upto = 0;
  std::vector<FrameRange> missing;
  std::uint64_t credit = 0;

  bool operator==(const ResumeFrame&) const = default;
};

/// Node: the credit limit is reached; a receipt for this statement lets the answer go on.
struct NeedReceiptFrame {
  Event record;  ///< 1471

  bool operator==(const NeedReceiptFrame& other) const { return record.id == other.record.id; }
};

struct ReceiptFrame {
  Event receipt;  ///< 1472

  bool operator==(const ReceiptFrame& other) const { return receipt.id == other.receipt.id; }
};

/// spec/08-errors.md
enum class ErrorCode : std::uint8_t {
  BadRequest,
  NotFound,
  TooLarge,
  UnknownOffer,
  KeyExpired,
  PaymentRequired,
  BadReceipt,
  Busy,
  RateLimited,
  Timeout,
  EngineDied,
  EngineRefused,
  Protocol,
  Internal,
};
inline constexpr std::size_t kErrorCodeCount = 14;
std::string_view to_string(ErrorCode code);
std::optional<ErrorCode> parse_error_code(std::string_view text);

struct ErrorCodeInfo {
  std::uint16_t http_status;
  bool retryable;  ///< the same request may succeed later or at another node
};

ErrorCodeInfo error_code_info(ErrorCode code);

struct ErrorFrame {
  ErrorCode code = ErrorCode::Internal;
  bool retryable = false;
  std::uint64_t retry_after_ms = 0;
  std::string message;  ///< 512 bytes at most; never part of a prompt
  bool final = true;    ///< false: an end frame with a record follows

  bool operator==(const ErrorFrame&) const = default;
};

struct EndFrame {
  Event record;  ///< 1471

  bool operator==(const EndFrame& other) const { return record.id == other.record.id; }
};

/// Method, path, headers and sizes are within what a frame carries: 16 headers with 1 KiB in all,
/// a path of 256 bytes, printable ASCII only.
[[nodiscard]] bool is_sendable(const OpenFrame& frame);
/// What an engine said, made fit for a frame: other status than 200 to 599 becomes 502, an unfit
/// content type is left out.
[[nodiscard]] ResponseHead make_head(std::uint16_t status, std::string_view content_type);
/// With the code's own `retryable`; the message is cut to 512 bytes of printable ASCII.
[[nodiscard]] ErrorFrame make_error(ErrorCode code, std::string_view message,
                                    std::uint64_t retry_after_ms = 0);

using Frame = std::variant<OpenFrame, AcceptFrame, DataFrame, ProgressFrame, AckFrame, CreditFrame,
                           CheckpointFrame, CancelFrame, ResumeFrame, NeedReceiptFrame,
                           ReceiptFrame, ErrorFrame, EndFrame>;

/// A frame with its number. Progress, ack, credit and resume repeat the number of the sender's last
/// numbered frame instead of taking a new one: they are never repaired, a newer one says it all.
struct NumberedFrame {
  std::uint64_t n = 0;
  Frame frame;
};

[[nodiscard]] bool takes_number(const Frame& frame);
[[nodiscard]] std::string_view frame_type(const Frame& frame);

enum class FrameError : std::uint8_t {
  TooLarge,
  NotJson,
  UnknownType,
  MissingField,
  BadField,
};
std::string_view to_string(FrameError error);

/// One line of JSON: "t" and "n" first, then the type's members in the order of spec/05-session.md.
/// CHECKs that the text is within kFrameTextBytesMax.
[[nodiscard]] std::string print_frame(std::uint64_t n, const Frame& frame);
/// The same with a last member `pad` that makes the text the smallest multiple of `unit` bytes that
/// holds it; as it is when that would be more than kFrameTextBytesMax.
[[nodiscard]] std::string print_padded_frame(std::uint64_t n, const Frame& frame, std::size_t unit);
/// Members that it does not know are ignored.
[[nodiscard]] Result<NumberedFrame, FrameError> parse_frame(std::string_view text);

}  // namespace nostril
