#pragma once

#include "attestation/verdict.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace nostril::client {

/// What stands around a verdict on its page.
struct PageContext {
  std::string subject;     ///< what was judged: a file, "model of npub"
  std::string policy;      ///< the policy file; empty: the defaults
  std::int64_t now_s = 0;  ///< when
};

/// The verdict as one HTML page: verdict, reasons, the chain from root to statement, claims, every
/// check with found, wanted and source. No script, nothing loaded: the page forbids both by its
/// Content-Security-Policy. Light and dark, from 320 px on. Whatever the evidence says is escaped
/// and isolated (`<bdi>`); simulated evidence is said in red wherever the verdict stands.
[[nodiscard]] std::string verdict_page(const attestation::Verdict& verdict,
                                       const PageContext& context);

/// Text as it may stand in HTML, also inside quotes: & < > " ' as references, control characters as
/// U+FFFD.
[[nodiscard]] std::string escape_html(std::string_view text);

}  // namespace nostril::client
