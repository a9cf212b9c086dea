// What one signature, one shared secret, one sealed message cost on one core. The first line is the
// library alone: the floor of everything that verifies.
#include "schnorr/verify.h"

#include "base/check.h"
#include "base/rng.h"
#include "schnorr/hash.h"
#include "schnorr/keys.h"
#include "schnorr/nip44.h"

#include <benchmark/benchmark.h>

#include <secp256k1.h>
#include <secp256k1_schnorrsig.h>

#include <string>
#include <vector>

namespace {

using nostril::ConversationKey;
using nostril::Digest;
using nostril::Keypair;
using nostril::SystemRng;
using nostril::Verifier;
using nostril::VerifyItem;

/// Signatures by `keys` authors in turn.
std::vector<VerifyItem> signed_items(std::size_t count, std::size_t keys) {
  SystemRng rng;
  std::vector<Keypair> keypairs;
  for (std::size_t i = 0; i < keys; ++i) keypairs.push_back(Keypair::generate(rng));
  std::vector<VerifyItem> items;
  for (std::size_t i = 0; i < count; ++i) {
    const Keypair& keypair = keypairs[i % keys];
    const Digest message = nostril::sha256(std::to_string(i));
    items.push_back({keypair.sign(message, rng), message, keypair.public_key()});
  }
  return items;
}

ConversationKey conversation() {
  SystemRng rng;
  auto key = ConversationKey::derive(Keypair::generate(rng), Keypair::generate(rng).public_key());
  CHECK(key.has_value());
  return std::move(*key);
}

void BM_LibraryVerifyParsedKey(benchmark::State& state) {
  const VerifyItem item = signed_items(1, 1)[0];
  secp256k1_xonly_pubkey key;
  CHECK(secp256k1_xonly_pubkey_parse(secp256k1_context_static, &key, item.key.bytes.data()) == 1);
  for (auto _ : state) {
    CHECK(secp256k1_schnorrsig_verify(secp256k1_context_static, item.signature.bytes.data(),
                                      item.message.bytes.data(), 32, &key) == 1);
  }
}

BENCHMARK(BM_LibraryVerifyParsedKey);

void verify_items(benchmark::State& state, std::size_t cached_keys_max) {
  const auto items = signed_items(256, 64);
  Verifier verifier(cached_keys_max);
  std::size_t next = 0;
  for (auto _ : state) CHECK(verifier.verify(items[next++ % items.size()]));
}

void BM_VerifyCached(benchmark::State& state) {
  verify_items(state, 4096);
}

BENCHMARK(BM_VerifyCached);

void BM_VerifyUncached(benchmark::State& state) {
  verify_items(state, 0);
}

BENCHMARK(BM_VerifyUncached);

void BM_Sign(benchmark::State& state) {
  SystemRng rng;
  const Keypair keypair = Keypair::generate(rng);
  const Digest message = nostril::sha256("message");
  for (auto _ : state) benchmark::DoNotOptimize(keypair.sign(message, rng));
}

BENCHMARK(BM_Sign);

void BM_SharedX(benchmark::State& state) {
  SystemRng rng;
  const Keypair ours = Keypair::generate(rng);
  const Keypair theirs = Keypair::generate(rng);
  for (auto _ : state) {
    const auto shared = ours.shared_x(theirs.public_key());
    benchmark::DoNotOptimize(shared);
  }
}

BENCHMARK(BM_SharedX);

void BM_Nip44Encrypt(benchmark::State& state) {
  SystemRng rng;
  const ConversationKey key = conversation();
  const std::string plaintext(static_cast<std::size_t>(state.range(0)), 'a');
  for (auto _ : state) benchmark::DoNotOptimize(nostril::nip44_encrypt(key, plaintext, rng));
}

BENCHMARK(BM_Nip44Encrypt)->Arg(100)->Arg(4096);

void BM_Nip44Decrypt(benchmark::State& state) {
  SystemRng rng;
  const ConversationKey key = conversation();
  const std::string plaintext(static_cast<std::size_t>(state.range(0)), 'a');
  const std::string payload = nostril::nip44_encrypt(key, plaintext, rng);
  CHECK(nostril::nip44_decrypt(key, payload) == plaintext);
  for (auto _ : state) benchmark::DoNotOptimize(nostril::nip44_decrypt(key, payload));
}

BENCHMARK(BM_Nip44Decrypt)->Arg(100)->Arg(4096);

void BM_SystemRng32(benchmark::State& state) {
  SystemRng rng;
  Digest out;
  for (auto _ : state) {
    rng.fill(out.bytes);
    benchmark::DoNotOptimize(out);
  }
}

BENCHMARK(BM_SystemRng32);

void BM_Sha256(benchmark::State& state) {
  const std::string text(static_cast<std::size_t>(state.range(0)), 'a');
  for (auto _ : state) benchmark::DoNotOptimize(nostril::sha256(text));
}

BENCHMARK(BM_Sha256)->Arg(400)->Arg(1024);

}  // namespace
