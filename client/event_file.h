#pragma once

#include "events/event.h"
#include "schnorr/verify.h"

#include <filesystem>
#include <string>

namespace nostril::client {

/// One signed event as JSON, at most 1 MiB, a newline after it or not. Throws std::runtime_error
/// with the file's name when it can't be read, is no event, or its signature is wrong.
[[nodiscard]] VerifiedEvent read_event_file(const std::filesystem::path& path, Verifier& verifier);

/// The same from text; `name` is what the exception calls it.
[[nodiscard]] VerifiedEvent read_event_text(const std::string& text, const std::string& name,
                                            Verifier& verifier);

}  // namespace nostril::client
