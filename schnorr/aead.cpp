#include "schnorr/aead.h"

#include "base/check.h"
#include "schnorr/hash.h"

#include <openssl/evp.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <memory>

namespace nostril {

namespace {

struct FreeCipher {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, FreeCipher>;

CipherContext new_context() {
  CipherContext made(EVP_CIPHER_CTX_new());
  CHECK(made != nullptr);
  return made;
}

const EVP_CIPHER* gcm_cipher(GcmKeySize size) {
  return size == GcmKeySize::Bits128 ? EVP_aes_128_gcm() : EVP_aes_256_gcm();
}

int checked_size(ByteSpan data) {
  CHECK(data.size() <= std::numeric_limits<int>::max());
  return static_cast<int>(data.size());
}

/// Appends ciphertext and tag under an AEAD with a nonce of 12 bytes.
void aead_seal(const EVP_CIPHER* cipher, Bytes& out, AeadKey key, GcmNonce nonce, ByteSpan aad,
               ByteSpan plaintext) {
  const CipherContext context = new_context();
  const std::size_t start = out.size();
  out.resize(start + plaintext.size() + kAeadTagBytes);
  std::uint8_t* at = out.data() + start;
  int written = 0;
  CHECK(EVP_EncryptInit_ex2(context.get(), cipher, key.data(), nonce.data(), nullptr) == 1);
  if (!aad.empty()) {
    CHECK(EVP_EncryptUpdate(context.get(), nullptr, &written, aad.data(), checked_size(aad)) == 1);
  }
  if (!plaintext.empty()) {
    CHECK(EVP_EncryptUpdate(context.get(), at, &written, plaintext.data(),
                            checked_size(plaintext)) == 1);
  }
  CHECK(EVP_EncryptFinal_ex(context.get(), at + plaintext.size(), &written) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kAeadTagBytes,
                            at + plaintext.size()) == 1);
}

std::optional<Bytes> aead_open(const EVP_CIPHER* cipher, AeadKey key, GcmNonce nonce, ByteSpan aad,
                               ByteSpan sealed) {
  if (sealed.size() < kAeadTagBytes) return std::nullopt;
  const ByteSpan text = sealed.first(sealed.size() - kAeadTagBytes);
  std::array<std::uint8_t, kAeadTagBytes> tag{};  // the library wants a mutable pointer
  std::ranges::copy(sealed.last(kAeadTagBytes), tag.begin());
  const CipherContext context = new_context();
  Bytes out(text.size());
  int written = 0;
  CHECK(EVP_DecryptInit_ex2(context.get(), cipher, key.data(), nonce.data(), nullptr) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kAeadTagBytes, tag.data()) == 1);
  if (!aad.empty()) {
    CHECK(EVP_DecryptUpdate(context.get(), nullptr, &written, aad.data(), checked_size(aad)) == 1);
  }
  if (!text.empty()) {
    CHECK(EVP_DecryptUpdate(context.get(), out.data(), &written, text.data(), checked_size(text)) ==
          1);
  }
  std::array<std::uint8_t, kAeadTagBytes> rest{};
  if (EVP_DecryptFinal_ex(context.get(), rest.data(), &written) != 1) {
    wipe(out);
    return std::nullopt;
  }
  return out;
}

// --- Salsa20 and ChaCha20: words are little-endian
// ------------------------------------------------

using Words = std::array<std::uint32_t, 16>;
constexpr std::array<std::uint32_t, 4> kSigma{0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

std::uint32_t load(ByteSpan bytes, std::size_t word) {
  const ByteSpan at = bytes.subspan(4 * word, 4);
  const auto byte = [at](std::size_t i) { return static_cast<std::uint32_t>(at[i]) << (8 * i); };
  return byte(0) | byte(1) | byte(2) | byte(3);
}

void store(std::span<std::uint8_t> out, std::size_t word, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) {
    out[4 * word + i] = static_cast<std::uint8_t>(value >> (8 * i));
  }
}

void salsa_quarter(Words& x, std::size_t a, std::size_t b, std::size_t c, std::size_t d) {
  x[b] ^= std::rotl(x[a] + x[d], 7);
  x[c] ^= std::rotl(x[b] + x[a], 9);
  x[d] ^= std::rotl(x[c] + x[b], 13);
  x[a] ^= std::rotl(x[d] + x[c], 18);
}

void salsa_rounds(Words& x) {
  for (int round = 0; round < 10; ++round) {
    salsa_quarter(x, 0, 4, 8, 12);
    salsa_quarter(x, 5, 9, 13, 1);
    salsa_quarter(x, 10, 14, 2, 6);
    salsa_quarter(x, 15, 3, 7, 11);
    salsa_quarter(x, 0, 1, 2, 3);
    salsa_quarter(x, 5, 6, 7, 4);
    salsa_quarter(x, 10, 11, 8, 9);
    salsa_quarter(x, 15, 12, 13, 14);
  }
}

void chacha_quarter(Words& x, std::size_t a, std::size_t b, std::size_t c, std::size_t d) {
  x[a] += x[b];
  x[d] = std::rotl(x[d] ^ x[a], 16);
  x[c] += x[d];
  x[b] = std::rotl(x[b] ^ x[c], 12);
  x[a] += x[b];
  x[d] = std::rotl(x[d] ^ x[a], 8);
  x[c] += x[d];
  x[b] = std::rotl(x[b] ^ x[c], 7);
}

void chacha_rounds(Words& x) {
  for (int round = 0; round < 10; ++round) {
    for (std::size_t i = 0; i < 4; ++i) chacha_quarter(x, i, i + 4, i + 8, i + 12);
    for (std::size_t i = 0; i < 4; ++i) {
      chacha_quarter(x, i, (i + 1) % 4 + 4, (i + 2) % 4 + 8, (i + 3) % 4 + 12);
    }
  }
}

Words salsa_state(AeadKey key, ByteSpan input) {
  Words x{};
  for (std::size_t i = 0; i < 4; ++i) {
    x[5 * i] = kSigma[i];
    x[1 + i] = load(key, i);
    x[6 + i] = load(input, i);
    x[11 + i] = load(key, 4 + i);
  }
  return x;
}

void wipe_words(Words& words) {
  wipe({reinterpret_cast<std::uint8_t*>(words.data()), sizeof(words)});
}

/// XORs `data` with Salsa20's stream, whose first 32 bytes go to `head` (the Poly1305 key).
void salsa20_xor(AeadKey key, ByteSpan nonce8, std::span<std::uint8_t, 32> head,
                 std::span<std::uint8_t> data) {
  std::array<std::uint8_t, 16> input{};
  std::ranges::copy(nonce8, input.begin());
  SecretBytes<64> block;
  std::size_t used = 32;
  std::ranges::fill(head, 0);
  for (std::uint64_t counter = 0; counter == 0 || !data.empty(); ++counter) {
    store(input, 2, static_cast<std::uint32_t>(counter));
    store(input, 3, static_cast<std::uint32_t>(counter >> 32));
    Words start = salsa_state(key, input);
    Words x = start;
    salsa_rounds(x);
    for (std::size_t i = 0; i < 16; ++i) store(block.expose_mutable(), i, x[i] + start[i]);
    wipe_words(x);
    wipe_words(start);
    if (counter == 0) std::ranges::copy(block.expose().first<32>(), head.begin());
    const std::size_t count = std::min(data.size(), 64 - used);
    for (std::size_t i = 0; i < count; ++i) data[i] ^= block.expose()[used + i];
    data = data.subspan(count);
    used = 0;
  }
}

/// The same with ChaCha20: OpenSSL's IV is a little-endian block counter of 64 bits and the nonce.
void chacha20_xor(AeadKey key, ByteSpan nonce8, std::span<std::uint8_t, 32> head,
                  std::span<std::uint8_t> data) {
  std::array<std::uint8_t, 16> iv{};
  std::ranges::copy(nonce8, iv.begin() + 8);
  const CipherContext context = new_context();
  CHECK(EVP_EncryptInit_ex2(context.get(), EVP_chacha20(), key.data(), iv.data(), nullptr) == 1);
  constexpr std::array<std::uint8_t, 32> kZeros{};
  int written = 0;
  CHECK(EVP_EncryptUpdate(context.get(), head.data(), &written, kZeros.data(), kZeros.size()) == 1);
  if (data.empty()) return;
  CHECK(EVP_EncryptUpdate(context.get(), data.data(), &written, data.data(), checked_size(data)) ==
        1);
}

std::array<std::uint8_t, kAeadTagBytes> poly1305(const SecretBytes<32>& key, ByteSpan data) {
  struct FreeMac {
    void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }

    void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
  };

  static const std::unique_ptr<EVP_MAC, FreeMac> kMac(EVP_MAC_fetch(nullptr, "POLY1305", nullptr));
  CHECK(kMac != nullptr);
  const std::unique_ptr<EVP_MAC_CTX, FreeMac> context(EVP_MAC_CTX_new(kMac.get()));
  CHECK(context != nullptr);
  CHECK(EVP_MAC_init(context.get(), key.expose().data(), key.expose().size(), nullptr) == 1);
  CHECK(EVP_MAC_update(context.get(), data.data(), data.size()) == 1);
  std::array<std::uint8_t, kAeadTagBytes> tag{};
  std::size_t size = 0;
  CHECK(EVP_MAC_final(context.get(), tag.data(), &size, tag.size()) == 1 && size == tag.size());
  return tag;
}

/// XORs `data` with the secretbox stream; the Poly1305 key that goes with it.
SecretBytes<32> secretbox_xor(SecretboxCipher cipher, AeadKey key, XNonce nonce,
                              std::span<std::uint8_t> data) {
  SecretBytes<32> head;
  if (cipher == SecretboxCipher::XSalsa20) {
    const SecretBytes<32> inner = hsalsa20(key, nonce.first<16>());
    salsa20_xor(inner.expose(), nonce.last(8), head.expose_mutable(), data);
  } else {
    const SecretBytes<32> inner = hchacha20(key, nonce.first<16>());
    chacha20_xor(inner.expose(), nonce.last(8), head.expose_mutable(), data);
  }
  return head;
}

/// What XChaCha20-Poly1305 is to ChaCha20-Poly1305.
struct InnerChaCha {
  InnerChaCha(AeadKey outer, XNonce outer_nonce) : key(hchacha20(outer, outer_nonce.first<16>())) {
    std::ranges::copy(outer_nonce.last(8), nonce.begin() + 4);
  }

  SecretBytes<32> key;
  std::array<std::uint8_t, kGcmNonceBytes> nonce{};
};

}  // namespace

SecretBytes<32> hsalsa20(AeadKey key, HInput input) {
  Words x = salsa_state(key, input);
  salsa_rounds(x);
  SecretBytes<32> out;
  constexpr std::array<std::size_t, 8> kTaken{0, 5, 10, 15, 6, 7, 8, 9};
  for (std::size_t i = 0; i < 8; ++i) store(out.expose_mutable(), i, x[kTaken[i]]);
  wipe_words(x);
  return out;
}

SecretBytes<32> hchacha20(AeadKey key, HInput input) {
  Words x{};
  std::ranges::copy(kSigma, x.begin());
  for (std::size_t i = 0; i < 8; ++i) x[4 + i] = load(key, i);
  for (std::size_t i = 0; i < 4; ++i) x[12 + i] = load(input, i);
  chacha_rounds(x);
  SecretBytes<32> out;
  for (std::size_t i = 0; i < 4; ++i) {
    store(out.expose_mutable(), i, x[i]);
    store(out.expose_mutable(), 4 + i, x[12 + i]);
  }
  wipe_words(x);
  return out;
}

void aes_256_gcm_seal(Bytes& out, AeadKey key, GcmNonce nonce, ByteSpan aad, ByteSpan plaintext) {
  aead_seal(EVP_aes_256_gcm(), out, key, nonce, aad, plaintext);
}

std::optional<Bytes> aes_256_gcm_open(AeadKey key, GcmNonce nonce, ByteSpan aad, ByteSpan sealed) {
  return aead_open(EVP_aes_256_gcm(), key, nonce, aad, sealed);
}

void xchacha20_poly1305_seal(Bytes& out, AeadKey key, XNonce nonce, ByteSpan aad,
                             ByteSpan plaintext) {
  const InnerChaCha inner(key, nonce);
  aead_seal(EVP_chacha20_poly1305(), out, inner.key.expose(), inner.nonce, aad, plaintext);
}

std::optional<Bytes> xchacha20_poly1305_open(AeadKey key, XNonce nonce, ByteSpan aad,
                                             ByteSpan sealed) {
  const InnerChaCha inner(key, nonce);
  return aead_open(EVP_chacha20_poly1305(), inner.key.expose(), inner.nonce, aad, sealed);
}

void secretbox_seal(Bytes& out, SecretboxCipher cipher, AeadKey key, XNonce nonce,
                    ByteSpan plaintext) {
  Bytes text(plaintext.begin(), plaintext.end());
  const SecretBytes<32> mac_key = secretbox_xor(cipher, key, nonce, text);
  const auto tag = poly1305(mac_key, text);
  out.insert(out.end(), tag.begin(), tag.end());
  out.insert(out.end(), text.begin(), text.end());
}

std::optional<Bytes> secretbox_open(SecretboxCipher cipher, AeadKey key, XNonce nonce,
                                    ByteSpan sealed) {
  if (sealed.size() < kAeadTagBytes) return std::nullopt;
  const ByteSpan text = sealed.subspan(kAeadTagBytes);
  const SecretBytes<32> mac_key = secretbox_xor(cipher, key, nonce, {});
  if (!equal_constant_time(poly1305(mac_key, text), sealed.first(kAeadTagBytes))) {
    return std::nullopt;
  }
  Bytes out(text.begin(), text.end());
  secretbox_xor(cipher, key, nonce, out);
  return out;
}

std::array<std::uint8_t, kGcmNonceBytes> GcmSequence::nonce() const {
  std::array<std::uint8_t, kGcmNonceBytes> out{};
  std::ranges::copy(base_.expose(), out.begin());
  for (std::size_t i = 0; i < 8; ++i) {
    out[out.size() - 1 - i] ^= static_cast<std::uint8_t>(next_ >> (8 * i));
  }
  return out;
}

void GcmSequence::seal(Bytes& out, ByteSpan aad, ByteSpan plaintext) {
  CHECK(next_ != std::numeric_limits<std::uint64_t>::max());
  aead_seal(gcm_cipher(size_), out, key_.expose(), nonce(), aad, plaintext);
  ++next_;
}

std::optional<Bytes> GcmSequence::open(ByteSpan aad, ByteSpan sealed) {
  CHECK(next_ != std::numeric_limits<std::uint64_t>::max());
  auto out = aead_open(gcm_cipher(size_), key_.expose(), nonce(), aad, sealed);
  if (out) ++next_;
  return out;
}

}  // namespace nostril
