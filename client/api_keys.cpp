#include "client/api_keys.h"

#include "base/config.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/log.h"
#include "events/nip19.h"
#include "schnorr/hash.h"

#include <fmt/core.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>
#include <system_error>
#include <variant>

namespace nostril::client {

namespace {

constexpr std::size_t kNameBytesMax = 64;
constexpr std::int64_t kLookMs = 1000;

/// `[[key]]` as it stands in the file.
struct FileKey {
  std::string name;
  std::string sha256;
  std::string npub;
  std::int64_t tokens_per_day = 0;
  std::int64_t tokens = 0;
  std::int64_t amount_per_day = 0;
  std::int64_t amount = 0;
};

void declare_key(Config& config, FileKey& key) {
  config.text("name", &key.name, "");
  config.text("sha256", &key.sha256, "");
  config.text("npub", &key.npub, "");
  config.number("tokens_per_day", &key.tokens_per_day, 0, INT64_MAX, "");
  config.number("tokens", &key.tokens, 0, INT64_MAX, "");
  config.number("amount_per_day", &key.amount_per_day, 0, INT64_MAX, "");
  config.number("amount", &key.amount, 0, INT64_MAX, "");
}

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

std::optional<ApiKey> to_key(const FileKey& from) {
  ApiKey out;
  out.name = from.name;
  out.sha256 = from_hex<Digest>(from.sha256);
  if (const auto code = nip19::decode(from.npub)) {
    if (const auto* npub = std::get_if<nip19::Npub>(&*code)) out.pubkey = npub->key;
  }
  const auto limit = [](std::int64_t number) { return static_cast<std::uint64_t>(number); };
  out.budget = {limit(from.tokens_per_day), limit(from.tokens), limit(from.amount_per_day),
                limit(from.amount)};
  const bool is_api_key = out.sha256.has_value() && from.npub.empty();
  const bool is_pubkey = out.pubkey.has_value() && from.sha256.empty();
  if (!is_name(out.name) || is_api_key == is_pubkey) return std::nullopt;
  return out;
}

std::string to_toml(std::span<const ApiKey> keys) {
  std::string out =
      "# Who may use the HTTPS face: `nostril-node keys add|list|revoke`. Hashes, no keys.\n";
  for (const ApiKey& key : keys) {
    out += fmt::format("\n[[key]]\nname = \"{}\"\n", key.name);
    if (key.sha256) out += fmt::format("sha256 = \"{}\"\n", encode_hex(*key.sha256));
    if (key.pubkey) out += fmt::format("npub = \"{}\"\n", nip19::encode(nip19::Npub{*key.pubkey}));
    const auto limit = [&out](std::string_view name, std::uint64_t value) {
      if (value != 0) out += fmt::format("{} = {}\n", name, value);
    };
    limit("tokens_per_day", key.budget.tokens_per_day);
    limit("tokens", key.budget.tokens);
    limit("amount_per_day", key.budget.amount_per_day);
    limit("amount", key.budget.amount);
  }
  return out;
}

Digest caller_hash(std::string_view sort, ByteSpan key) {
  return Sha256().update("nostril/caller/").update(sort).update("/1").update(key).finish();
}

}  // namespace

Digest caller_id(const PublicKey& pubkey) {
  return caller_hash("nostr", pubkey.span());
}

Digest ApiKey::caller_id() const {
  return pubkey ? client::caller_id(*pubkey) : caller_hash("key", sha256->span());
}

std::string make_api_key(Rng& rng) {
  std::array<std::uint8_t, 32> bytes{};
  rng.fill(bytes);
  return "nk-" + encode_hex(ByteSpan(bytes));
}

Digest api_key_hash(std::string_view key) {
  return sha256(key);
}

const ApiKey* find_api_key(std::span<const ApiKey> keys, std::string_view key) {
  if (key.empty() || key.size() > kApiKeyBytesMax) return nullptr;
  const Digest hash = api_key_hash(key);
  const ApiKey* found = nullptr;
  for (const ApiKey& one : keys) {
    if (one.sha256 && equal_constant_time(one.sha256->span(), hash.span())) found = &one;
  }
  return found;
}

const ApiKey* find_pubkey(std::span<const ApiKey> keys, const PublicKey& pubkey) {
  const auto found = std::ranges::find(keys, pubkey, &ApiKey::pubkey);
  return found == keys.end() ? nullptr : &*found;
}

std::optional<std::string> problem_of(std::span<const ApiKey> keys) {
  std::set<std::string> names;
  std::set<Digest> callers;
  for (const ApiKey& key : keys) {
    if (!is_name(key.name)) return "a key's name: 1 to 64 of [A-Za-z0-9._-]";
    if (!names.insert(key.name).second || !callers.insert(key.caller_id()).second) {
      return "\"" + key.name + "\" is there twice, by name or by key";
    }
  }
  return std::nullopt;
}

Result<std::vector<ApiKey>, std::string> read_api_keys(const std::filesystem::path& file) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return {};
  std::vector<FileKey> read;
  try {
    Config config;
    config.tables("key", &read, kApiKeysMax, declare_key, "");
    config.load(file.string());
  } catch (const ConfigError& error) {
    return failure(std::string(error.what()));
  }
  std::vector<ApiKey> out;
  for (const FileKey& one : read) {
    auto key = to_key(one);
    if (!key) {
      return failure(
          fmt::format("{}: key \"{}\" needs a name of [A-Za-z0-9._-], and sha256 (64 "
                      "lowercase hex digits) or npub",
                      file.string(), one.name));
    }
    out.push_back(*std::move(key));
  }
  if (const auto problem = problem_of(out)) return failure(file.string() + ": " + *problem);
  return out;
}

Result<void, std::string> write_api_keys(const std::filesystem::path& file,
                                         std::span<const ApiKey> keys) {
  if (keys.size() > kApiKeysMax) return failure(fmt::format("{} keys at most", kApiKeysMax));
  const std::string part = file.string() + ".new";
  const auto failed = [](const std::string& path, int error) {
    return failure(path + ": " + std::generic_category().message(error));
  };
  {
    const UniqueFd opened(
        open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR));
    if (!opened.is_open() && errno == EEXIST) {
      return failure(part +
                     " is there: another process changes the keys, or was ended while it "
                     "did; then remove it");
    }
    if (!opened.is_open()) return failed(part, errno);
    int error = write_all(opened.get(), as_bytes(to_toml(keys)));
    if (error == 0 && fsync(opened.get()) != 0) error = errno;
    if (error != 0) {
      unlink(part.c_str());
      return failed(part, error);
    }
  }
  if (rename(part.c_str(), file.c_str()) != 0) return failed(file.string(), errno);
  const int error = sync_folder(folder_of(file));
  if (error != 0) return failed(file.string(), error);
  return {};
}

std::optional<ApiKeyFile::Version> ApiKeyFile::version() const {
  struct stat status {};

  if (stat(file_.c_str(), &status) != 0) return std::nullopt;
  constexpr std::int64_t kNanoseconds = 1'000'000'000;
  return Version{status.st_ino, status.st_size,
                 status.st_mtim.tv_sec * kNanoseconds + status.st_mtim.tv_nsec};
}

bool ApiKeyFile::refresh(std::int64_t monotonic_ms) {
  if (looked_at_ms_ && monotonic_ms - *looked_at_ms_ < kLookMs) return true;
  const bool first = !looked_at_ms_;
  looked_at_ms_ = monotonic_ms;
  const auto found = version();
  if (!first && found == read_) return true;
  read_ = found;
  auto keys = read_api_keys(file_);
  if (!keys) {
    log(LogLevel::Error, "the API keys stay as they were: {}", public_text(keys.error()));
    return false;
  }
  keys_ = *std::move(keys);
  log(LogLevel::Info, "{} API keys", keys_.size());
  return true;
}

}  // namespace nostril::client
