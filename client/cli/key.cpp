#include "base/hex.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/must.h"
#include "client/key_file.h"
#include "client/private_file.h"
#include "events/nip19.h"
#include "events/nip49.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <stdexcept>
#include <utility>

namespace nostril::client::cli {

namespace {

constexpr mode_t kOwnerOnly = S_IRUSR | S_IWUSR;

void print_public(const PublicKey& key) {
  fmt::print("{}\n{}\n", nip19::encode(nip19::Npub{key}), encode_hex(key));
}

void print_relays(const std::vector<std::string>& relays) {
  for (const std::string& relay : relays) fmt::print("relay {}\n", relay);
}

std::string encrypted_line(const Keypair& key, KeyHandling handling, const KeyOptions& options,
                           Rng& rng) {
  const Passphrase passphrase = must(chosen_passphrase(options.file));
  return must(to_encrypted_key_line(key, passphrase, handling,
                                    static_cast<unsigned>(options.scrypt_log_n), rng));
}

SecretText line_from(std::FILE* file) {
  constexpr std::size_t kBytesMax = 1024;
  std::string line;
  line.reserve(kBytesMax);
  for (int c = std::fgetc(file); c != EOF && c != '\n' && line.size() < kBytesMax;
       c = std::fgetc(file)) {
    line.push_back(static_cast<char>(c));
  }
  return SecretText(std::move(line));
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

int key_new(const KeyOptions& options) {
  SystemRng rng;
  const Keypair key = Keypair::generate(rng);
  if (options.encrypt) {
    const auto line = encrypted_line(key, KeyHandling::NotKnownInsecure, options, rng);
    must(create_file(options.file, as_bytes(line + "\n"), kOwnerOnly));
  } else {
    must(write_key_file(options.file, key));
  }
  print_public(key.public_key());
  return 0;
}

int key_show(const KeyOptions& options) {
  const Keypair key = must(read_key_file(options.file));
  print_public(key.public_key());
  if (options.secret) fmt::print("{}\n", to_key_line(key).expose());
  return 0;
}

int key_export(const KeyOptions& options) {
  const SecretText line = must(read_key_line(options.file));
  if (options.secret) {
    fmt::print("{}\n", to_key_line(must(open_key_line(line.expose(), options.file))).expose());
  } else if (is_encrypted_key_line(line.expose())) {
    fmt::print("{}\n", line.expose());
  } else {
    SystemRng rng;
    const Keypair key = must(open_key_line(line.expose(), options.file));
    fmt::print("{}\n", encrypted_line(key, KeyHandling::KnownInsecure, options, rng));
  }
  return 0;
}

int key_import(const KeyOptions& options) {
  const SecretText line =
      isatty(STDIN_FILENO) != 0 ? must(ask_hidden("nsec, ncryptsec or hex")) : line_from(stdin);
  const Keypair key = must(open_key_line(line.expose(), "the key that was entered"));
  if (options.encrypt && !is_encrypted_key_line(line.expose())) {
    SystemRng rng;
    const auto encrypted = encrypted_line(key, KeyHandling::NotTracked, options, rng);
    must(create_file(options.file, as_bytes(encrypted + "\n"), kOwnerOnly));
  } else if (is_encrypted_key_line(line.expose())) {
    must(create_file(options.file, as_bytes(std::string(line.expose()) + "\n"), kOwnerOnly));
  } else {
    must(write_key_file(options.file, key));
  }
  print_public(key.public_key());
  return 0;
}

int key_encrypt(const KeyOptions& options) {
  const SecretText line = must(read_key_line(options.file));
  const Keypair key = must(open_key_line(line.expose(), options.file));
  const auto before = decode_ncryptsec(line.expose());
  SystemRng rng;
  const auto encrypted =
      encrypted_line(key, before ? handling_of(*before) : KeyHandling::KnownInsecure, options, rng);
  must(replace_file(options.file, as_bytes(encrypted + "\n"), kOwnerOnly));
  print_public(key.public_key());
  if (!before) {
    fmt::print(stderr,
               "the disk may still hold the plain key where the file was; backups may, too\n");
  }
  return 0;
}

int key_decrypt(const KeyOptions& options) {
  const Keypair key = must(read_key_file(options.file));
  const SecretText line(std::string(to_key_line(key).expose()) + "\n");
  must(replace_file(options.file, as_bytes(line.expose()), kOwnerOnly));
  print_public(key.public_key());
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

void add_key(CLI::App& app, Options& o, Command& run) {
  auto* key = app.add_subcommand(
      "key",
      "make and keep keys; a passphrase comes from $NOSTRIL_PASSPHRASE_FILE, $NOSTRIL_PASSPHRASE "
      "or the terminal");
  key->require_subcommand(1);
  using Function = int (*)(const KeyOptions&);
  const auto add = [&, key](const char* name, const char* what, Function command) {
    auto* sub = key->add_subcommand(name, what);
    sub->add_option("file", o.key.file)->required();
    sub->callback(
        [&o, &run, command] { run = [&o, command](Process&) { return command(o.key); }; });
    return sub;
  };
  const auto add_cost = [&o](CLI::App* sub) {
    sub->add_option("--scrypt-log-n", o.key.scrypt_log_n,
                    "what each guess of the passphrase costs: 2^N KiB of memory")
        ->check(CLI::Range(1U, kScryptLogNMax))
        ->capture_default_str();
  };
  const auto add_encrypt = [&](CLI::App* sub) {
    sub->add_flag("--encrypt", o.key.encrypt, "under a passphrase, as ncryptsec (NIP-49)");
    add_cost(sub);
  };
  add_encrypt(add("new", "make a key in a new file (mode 0600)", key_new));
  add("show", "the public key of a file", key_show)
      ->add_flag("--secret", o.key.secret, "the secret key, too, as nsec");
  auto* exported = add("export", "print a key as ncryptsec, under a passphrase", key_export);
  exported->add_flag("--nsec", o.key.secret, "as nsec: whoever reads it has the key");
  add_cost(exported);
  add_encrypt(add("import", "a key from standard input (nsec, ncryptsec, hex) into a new file",
                  key_import));
  add_cost(add("encrypt",
               "put a file's key under a passphrase, or a new one ($NOSTRIL_NEW_PASSPHRASE_FILE)",
               key_encrypt));
  add("decrypt", "take a file's key out of its passphrase", key_decrypt);
  auto* decode = key->add_subcommand("decode", "what a NIP-19 code says (npub, note, nevent, …)");
  decode->add_option("code", o.code)->required();
  decode->callback([&] { run = [&o](Process&) { return key_decode(o.code); }; });
}

}  // namespace nostril::client::cli
