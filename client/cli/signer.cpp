#include "client/cli/signer.h"

#include "base/hex.h"
#include "client/cli/must.h"
#include "client/key_file.h"
#include "client/private_file.h"
#include "events/nip19.h"

#include <fmt/format.h>

#include <sys/stat.h>

#include <cstdio>
#include <stdexcept>
#include <utility>
#include <variant>

namespace nostril::client::cli {

namespace fs = std::filesystem;

namespace {

constexpr mode_t kOwnerOnly = S_IRUSR | S_IWUSR;
constexpr std::size_t kNpubBytesMax = 128;

Keypair own_key(const fs::path& file, Rng& rng) {
  if (fs::exists(file)) return must(read_key_file(file));
  Keypair made = Keypair::generate(rng);
  must(write_key_file(file, made));
  return made;
}

PublicKey read_npub(const fs::path& file) {
  const SecretText line = must(read_secret_line(file, kNpubBytesMax));
  const auto code = nip19::decode(line.expose());
  const auto* npub = code ? std::get_if<nip19::Npub>(&*code) : nullptr;
  if (npub == nullptr) throw std::runtime_error(file.string() + ": not an npub line; remove it");
  return npub->key;
}

ConversationKey conversation(const Keypair& key, const PublicKey& peer) {
  auto out = ConversationKey::derive(key, peer);
  if (!out) throw std::runtime_error("the other's key is no key");
  return *std::move(out);
}

}  // namespace

UserSigner::UserSigner(Process& process, const std::string& named, const fs::path& home,
                       const std::string& ca_file)
    : process_(process) {
  if (named.empty()) {
    throw std::runtime_error("whose key? --key FILE or bunker://…, or identity in config.toml");
  }
  std::string text = named;
  if (!named.starts_with("bunker://")) text = must(read_key_line(named)).expose();
  if (text.starts_with("bunker://")) {
    connect(text, home / "signers", ca_file);
  } else {
    key_ = must(open_key_line(text, named));
    user_ = key_->public_key();
  }
  wipe({reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
}

void UserSigner::connect(const std::string& url, const fs::path& folder,
                         const std::string& ca_file) {
  const BunkerUrl bunker = must(parse_bunker_url(url));
  const std::string name = encode_hex(bunker.signer);
  const fs::path known = folder / (name + ".npub");
  const Keypair own = own_key(folder / (name + ".nsec"), process_.rng);
  remote_ = std::make_unique<RemoteSigner>(bunker, own, ca_file, process_.loop, process_.clock,
                                           process_.rng);
  remote_->on_auth_url([](const std::string& page) {
    fmt::print(stderr, "the remote signer waits for you to agree: {}\n", page);
  });
  if (fs::exists(known)) {
    user_ = read_npub(known);
    return;
  }
  must(remote_->connect(bunker.secret.expose()));
  user_ = must(remote_->get_public_key());
  must(create_file(known, as_bytes(nip19::encode(nip19::Npub{user_}) + "\n"), kOwnerOnly));
}

Event UserSigner::sign(EventDraft draft) {
  if (remote_) return must(remote_->sign(draft, user_));
  return sign_event(std::move(draft), *key_, process_.rng);
}

std::string UserSigner::encrypt(const PublicKey& peer, const std::string& text) {
  if (text.empty() || text.size() > kNip44PlaintextBytesMax) {
    throw std::runtime_error("a message is 1 byte to 16 MiB");
  }
  if (remote_) return must(remote_->nip44_encrypt(peer, text));
  return nip44_encrypt(conversation(*key_, peer), text, process_.rng);
}

std::string UserSigner::decrypt(const PublicKey& peer, const std::string& payload) {
  if (remote_) return must(remote_->nip44_decrypt(peer, payload));
  auto text = nip44_decrypt(conversation(*key_, peer), payload);
  if (!text) throw std::runtime_error(std::string(to_string(text.error())));
  return *std::move(text);
}

}  // namespace nostril::client::cli
