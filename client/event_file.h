#pragma once

#include "events/event.h"
#include "schnorr/verify.h"

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace nostril::client {

/// One signed event as JSON, at most 1 MiB, a newline after it or not. Throws std::runtime_error
/// with the file's name when it can't be read, is no event, or its signature is wrong.
[[nodiscard]] VerifiedEvent read_event_file(const std::filesystem::path& path, Verifier& verifier);

/// The same of one to `count_max` events, each on a line.
[[nodiscard]] std::vector<VerifiedEvent> read_event_lines(const std::filesystem::path& path,
                                                          Verifier& verifier,
                                                          std::size_t count_max);

/// The same from text; `name` is what the exception calls it.
[[nodiscard]] VerifiedEvent read_event_text(const std::string& text, const std::string& name,
                                            Verifier& verifier);

}  // namespace nostril::client
