#pragma once

#include "relay/config.h"
#include "relay/store/store.h"

#include <cstddef>
#include <memory>
#include <string>

namespace nostril::relay {

// The commands that work on the files of a relay, also while one runs: what each returns is the
// program's exit status. They print what they found, and throw std::runtime_error with one line.
// Threads: the program's main one.

/// The store of this configuration.
[[nodiscard]] std::unique_ptr<Store> open_store(const RelayConfig& config, bool read_only);

/// Throws for a store that is part of a cluster: what one relay alone writes or removes makes it
/// differ from the others for good.
void refuse_cluster_store(Store& store);

/// Events from standard input.
int import_events(const RelayConfig& config, bool verify);
/// Events to standard output, oldest first; `filter` of NIP-01: those that match it, "": all.
int export_events(const RelayConfig& config, const std::string& filter);
int show_stats(const RelayConfig& config);
/// 1 when something is wrong with the file.
int check_store(const RelayConfig& config, bool with_signatures);
/// `to`: a new or empty directory.
int compact_store(const RelayConfig& config, const std::string& to, bool recompress);

struct DeleteArguments {
  std::string filter;
  bool is_dry_run = false;
};

/// Removes what matches; the events may come back.
int delete_events(const RelayConfig& config, const DeleteArguments& arguments);

int train_dictionary_of(const RelayConfig& config, std::size_t samples);
int list_dictionaries(const RelayConfig& config);
int show_dictionary_stats(const RelayConfig& config);

}  // namespace nostril::relay
