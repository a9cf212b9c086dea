#pragma once

#include "base/result.h"
#include "schnorr/encrypted_key.h"
#include "schnorr/secret_text.h"

#include <functional>
#include <string>

namespace nostril::client {

/// Gives the passphrase of the thing that is named, or a line that says why not.
using PassphraseSource = std::function<Result<Passphrase, std::string>(const std::string& what)>;

/// From the first that there is of: the first line of the file that $NOSTRIL_PASSPHRASE_FILE names
/// (refused when others may read it), $NOSTRIL_PASSPHRASE, the terminal.
[[nodiscard]] Result<Passphrase, std::string> known_passphrase(const std::string& what);

/// For what is to be encrypted: $NOSTRIL_NEW_PASSPHRASE_FILE, $NOSTRIL_NEW_PASSPHRASE, then as
/// above; at a terminal it is asked for twice, and where the two differ both again, `tries` times
/// in all.
[[nodiscard]] Result<Passphrase, std::string> chosen_passphrase(const std::string& what,
                                                                int tries = 1);

/// One line from the process' terminal, not shown while it is typed. Ctrl-C and Ctrl-D end it with
/// an error; so does a process without a terminal.
[[nodiscard]] Result<SecretText, std::string> ask_hidden(const std::string& prompt);

}  // namespace nostril::client
