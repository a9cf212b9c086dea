#include "base/hex.h"
#include "client/cli/commands.h"
#include "client/key_file.h"
#include "events/nip19.h"

#include <fmt/format.h>

#include <cstdio>

namespace nostril::client::cli {

namespace {

void print_public(const PublicKey& key) {
  fmt::print("{}\n{}\n", nip19::encode(nip19::Npub{key}), encode_hex(key));
}

void print_relays(const std::vector<std::string>& relays) {
  for (const std::string& relay : relays) fmt::print("relay {}\n", relay);
}

struct EntityPrinter {
  void operator()(const nip19::Npub& value) const { print_public(value.key); }

  void operator()(const nip19::Nsec& value) const {
    const auto key = Keypair::from_secret(value.secret.expose());
    if (key) print_public(key->public_key());
  }

  void operator()(const nip19::Note& value) const { fmt::print("{}\n", encode_hex(value.id)); }

  void operator()(const nip19::Nprofile& value) const {
    print_public(value.key);
    print_relays(value.relays);
  }

  void operator()(const nip19::Nevent& value) const {
    fmt::print("{}\n", encode_hex(value.id));
    if (value.author) fmt::print("author {}\n", encode_hex(*value.author));
    if (value.kind) fmt::print("kind {}\n", *value.kind);
    print_relays(value.relays);
  }

  void operator()(const nip19::Naddr& value) const {
    fmt::print("{}:{}:{}\n", value.kind, encode_hex(value.author), value.identifier);
    print_relays(value.relays);
  }
};

}  // namespace

int key_new(const std::string& file) {
  SystemRng rng;
  const Keypair key = Keypair::generate(rng);
  if (auto written = write_key_file(file, key); !written) {
    fmt::print(stderr, "nostril: {}\n", written.error());
    return 1;
  }
  print_public(key.public_key());
  return 0;
}

int key_show(const std::string& file, bool secret) {
  const auto key = read_key_file(file);
  if (!key) {
    fmt::print(stderr, "nostril: {}\n", key.error());
    return 1;
  }
  print_public(key->public_key());
  if (secret) {
    fmt::print("{}\n", nip19::encode(nip19::Nsec{SecretBytes<32>(key->expose_secret())}));
  }
  return 0;
}

int key_decode(const std::string& code) {
  const auto entity = nip19::decode(code);
  if (!entity) {
    fmt::print(stderr, "nostril: {}: {}\n", code, to_string(entity.error()));
    return 1;
  }
  std::visit(EntityPrinter{}, *entity);
  return 0;
}

}  // namespace nostril::client::cli
