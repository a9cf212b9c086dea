#pragma once

#include "client/cli/commands.h"
#include "client/remote_signer.h"
#include "events/event.h"
#include "schnorr/keys.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace nostril::client::cli {

/// Who signs what a user publishes: a key in a file, or a remote signer (NIP-46). Throws
/// std::runtime_error with a line for the user.
class UserSigner {
 public:
  /// `named`: a key file, or bunker://…; a file may hold the latter, so that its secret is on no
  /// command line. HOME/signers keeps, for each remote signer, our key in the talks with it, and
  /// whose key it keeps: it is asked to connect once.
  UserSigner(Process& process, const std::string& named, const std::filesystem::path& home,
             const std::string& ca_file);

  [[nodiscard]] const PublicKey& public_key() const { return user_; }

  [[nodiscard]] Event sign(EventDraft draft);
  /// NIP-44 between the user and `peer`.
  [[nodiscard]] std::string encrypt(const PublicKey& peer, const std::string& text);
  [[nodiscard]] std::string decrypt(const PublicKey& peer, const std::string& payload);

 private:
  void connect(const std::string& url, const std::filesystem::path& folder,
               const std::string& ca_file);

  Process& process_;
  std::optional<Keypair> key_;
  std::unique_ptr<RemoteSigner> remote_;
  PublicKey user_;
};

}  // namespace nostril::client::cli
