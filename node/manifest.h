#pragma once

#include "base/result.h"
#include "schnorr/types.h"

#include <filesystem>
#include <string>
#include <vector>

namespace nostril::node {

/// Digest of a model's files, for the attested statement (spec/03-offer.md):
///   tagged_hash("nostril/manifest/1", for each file, sorted by name:
///     name size (4, big-endian) ‖ name ‖ file size (8, big-endian) ‖ SHA-256 of the file)
/// Names are the files' last path components and must differ. Reads each file once, in pieces; a
/// large model takes minutes. The error is one line for the operator.
[[nodiscard]] Result<Digest, std::string> manifest_digest(
    const std::vector<std::filesystem::path>& files);

}  // namespace nostril::node
