#include "schnorr/nip44.h"

#include "base/base64.h"
#include "base/check.h"

#include <openssl/evp.h>

#include <algorithm>
#include <bit>
#include <memory>

namespace nostril {

namespace {

constexpr std::uint8_t kVersion = 2;
constexpr std::size_t kNonceBytes = 32;
constexpr std::size_t kMacBytes = 32;
constexpr std::size_t kHeadBytes = 1 + kNonceBytes;  // version and nonce
constexpr std::size_t kShortPrefixBytes = 2;
constexpr std::size_t kExtendedPrefixBytes = 6;
constexpr std::size_t kShortPlaintextBytesMax = 65535;
constexpr std::size_t kPaddedBytesMin = 32;

constexpr std::size_t base64_chars(std::size_t bytes) {
  return (bytes + 2) / 3 * 4;
}

constexpr std::size_t kPayloadCharsMin =
    base64_chars(kHeadBytes + kShortPrefixBytes + kPaddedBytesMin + kMacBytes);
// The largest plaintext is a power of two, which is its own padded size.
static_assert(std::has_single_bit(kNip44PlaintextBytesMax));
constexpr std::size_t kPayloadCharsMax =
    base64_chars(kHeadBytes + kExtendedPrefixBytes + kNip44PlaintextBytesMax + kMacBytes);

std::size_t prefix_size(std::size_t plaintext_bytes) {
  return plaintext_bytes > kShortPlaintextBytesMax ? kExtendedPrefixBytes : kShortPrefixBytes;
}

/// HKDF-expand(conversation key, nonce, 76) = ChaCha20 key, ChaCha20 nonce, HMAC key.
class MessageKeys {
 public:
  MessageKeys(const ConversationKey& key, ByteSpan nonce) {
    hkdf_expand(key.hmac(), nonce, all_.expose_mutable());
  }

  [[nodiscard]] std::span<const std::uint8_t, 32> cipher_key() const {
    return all_.expose().first<32>();
  }

  [[nodiscard]] std::span<const std::uint8_t, 12> cipher_nonce() const {
    return all_.expose().subspan<32, 12>();
  }

  [[nodiscard]] ByteSpan hmac_key() const { return all_.expose().subspan<44, 32>(); }

 private:
  SecretBytes<76> all_;
};

/// One a thread: fetching the algorithm and making a context costs more than a short message.
class ChaCha20 {
 public:
  static ChaCha20& of_this_thread() {
    thread_local ChaCha20 instance;
    return instance;
  }

  /// Encrypts or decrypts in place.
  void apply(const MessageKeys& keys, std::span<std::uint8_t> data) {
    // OpenSSL's 16-byte IV is a little-endian block counter, here 0, and RFC 8439's nonce.
    std::array<std::uint8_t, 16> iv{};
    std::ranges::copy(keys.cipher_nonce(), iv.begin() + 4);
    set(keys.cipher_key().data(), iv.data());
    int written = 0;
    CHECK(EVP_EncryptUpdate(context_.get(), data.data(), &written, data.data(),
                            static_cast<int>(data.size())) == 1);
    CHECK(static_cast<std::size_t>(written) == data.size());
    constexpr std::array<std::uint8_t, 32> kZeros{};
    set(kZeros.data(), kZeros.data());  // no message key outlives its message
  }

 private:
  struct FreeContext {
    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  };

  ChaCha20() : context_(EVP_CIPHER_CTX_new()) {
    CHECK(context_ != nullptr);
    CHECK(EVP_EncryptInit_ex2(context_.get(), EVP_chacha20(), nullptr, nullptr, nullptr) == 1);
  }

  void set(const std::uint8_t* key, const std::uint8_t* iv) {
    CHECK(EVP_EncryptInit_ex2(context_.get(), nullptr, key, iv, nullptr) == 1);
  }

  std::unique_ptr<EVP_CIPHER_CTX, FreeContext> context_;
};

Digest mac_of(const MessageKeys& keys, ByteSpan nonce, ByteSpan ciphertext) {
  return HmacKey(keys.hmac_key()).mac({nonce, ciphertext});
}

std::size_t read_big_endian(ByteSpan bytes) {
  std::size_t value = 0;
  for (const std::uint8_t byte : bytes) value = value << 8 | byte;
  return value;
}

void write_big_endian(std::size_t value, std::span<std::uint8_t> out) {
  for (std::size_t i = out.size(); i-- > 0; value >>= 8) out[i] = static_cast<std::uint8_t>(value);
}

/// The plaintext inside `padded` (size, plaintext, zeros), or nothing. One plaintext has one padded
/// form: the extended size is refused where the short one would do, and padding that is not zero.
std::optional<ByteSpan> unpad(ByteSpan padded) {
  std::size_t size = read_big_endian(padded.first(kShortPrefixBytes));
  if (size == 0) {
    size = read_big_endian(padded.subspan(kShortPrefixBytes, 4));
    if (size <= kShortPlaintextBytesMax) return std::nullopt;
  }
  if (size > kNip44PlaintextBytesMax) return std::nullopt;
  const std::size_t prefix = prefix_size(size);
  if (padded.size() != prefix + nip44_padded_size(size)) return std::nullopt;
  const ByteSpan zeros = padded.subspan(prefix + size);
  if (!std::ranges::all_of(zeros, [](std::uint8_t byte) { return byte == 0; })) return std::nullopt;
  return padded.subspan(prefix, size);
}

}  // namespace

std::string_view to_string(Nip44Error error) {
  switch (error) {
    case Nip44Error::BadSize:
      return "payload size is out of range";
    case Nip44Error::BadVersion:
      return "not NIP-44 version 2";
    case Nip44Error::BadBase64:
      return "not base64";
    case Nip44Error::BadMac:
      return "wrong key or changed payload";
    case Nip44Error::BadPadding:
      return "bad padding";
  }
  return "unknown";
}

std::optional<ConversationKey> ConversationKey::derive(const Keypair& ours,
                                                       const PublicKey& theirs) {
  const auto shared = ours.shared_x(theirs);
  if (!shared) return std::nullopt;
  Digest key = hkdf_extract(as_bytes("nip44-v2"), shared->expose());
  ConversationKey out{SecretBytes<32>(key.span())};
  wipe(key.bytes);
  return out;
}

std::size_t nip44_padded_size(std::size_t plaintext_bytes) {
  if (plaintext_bytes <= kPaddedBytesMin) return kPaddedBytesMin;
  const std::size_t next_power = std::bit_ceil(plaintext_bytes);
  const std::size_t chunk = next_power <= 256 ? 32 : next_power / 8;
  return (plaintext_bytes + chunk - 1) / chunk * chunk;
}

std::string nip44_encrypt(const ConversationKey& key, std::string_view plaintext, Rng& rng) {
  std::array<std::uint8_t, kNonceBytes> nonce{};
  rng.fill(nonce);
  return nip44_encrypt_with_nonce(key, plaintext, nonce);
}

std::string nip44_encrypt_with_nonce(const ConversationKey& key, std::string_view plaintext,
                                     const std::array<std::uint8_t, 32>& nonce) {
  CHECK(!plaintext.empty() && plaintext.size() <= kNip44PlaintextBytesMax);
  const std::size_t prefix = prefix_size(plaintext.size());
  const std::size_t encrypted_bytes = prefix + nip44_padded_size(plaintext.size());
  Bytes payload(kHeadBytes + encrypted_bytes + kMacBytes);  // zeros: the padding is there
  payload[0] = kVersion;
  std::ranges::copy(nonce, payload.begin() + 1);

  const auto encrypted = std::span(payload).subspan(kHeadBytes, encrypted_bytes);
  if (prefix == kShortPrefixBytes) {
    write_big_endian(plaintext.size(), encrypted.first(kShortPrefixBytes));
  } else {
    write_big_endian(plaintext.size(), encrypted.subspan(kShortPrefixBytes, 4));
  }
  std::ranges::copy(as_bytes(plaintext), encrypted.begin() + static_cast<std::ptrdiff_t>(prefix));

  const MessageKeys keys(key, nonce);
  ChaCha20::of_this_thread().apply(keys, encrypted);
  const Digest mac = mac_of(keys, nonce, encrypted);
  std::ranges::copy(mac.bytes, payload.end() - kMacBytes);
  return encode_base64(payload);
}

Result<std::string, Nip44Error> nip44_decrypt(const ConversationKey& key,
                                              std::string_view payload) {
  // '#' announces a future version that is not base64 (NIP-44).
  if (payload.starts_with('#')) return failure(Nip44Error::BadVersion);
  if (payload.size() < kPayloadCharsMin || payload.size() > kPayloadCharsMax) {
    return failure(Nip44Error::BadSize);
  }
  auto decoded = decode_base64(payload);
  if (!decoded) return failure(Nip44Error::BadBase64);
  const std::span<std::uint8_t> bytes(*decoded);
  if (bytes.size() < kHeadBytes + kShortPrefixBytes + kPaddedBytesMin + kMacBytes) {
    return failure(Nip44Error::BadSize);
  }
  if (bytes[0] != kVersion) return failure(Nip44Error::BadVersion);

  const ByteSpan nonce = bytes.subspan(1, kNonceBytes);
  const auto encrypted = bytes.subspan(kHeadBytes, bytes.size() - kHeadBytes - kMacBytes);
  const MessageKeys keys(key, nonce);
  if (!equal_constant_time(mac_of(keys, nonce, encrypted).span(), bytes.last(kMacBytes))) {
    return failure(Nip44Error::BadMac);
  }
  ChaCha20::of_this_thread().apply(keys, encrypted);
  const auto plaintext = unpad(encrypted);
  std::optional<std::string> out;
  if (plaintext) out.emplace(as_text(*plaintext));
  wipe(encrypted);
  if (!out) return failure(Nip44Error::BadPadding);
  return std::move(*out);
}

}  // namespace nostril
