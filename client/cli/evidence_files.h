#pragma once

#include "attestation/trust_roots.h"
#include "attestation/verdict.h"
#include "base/bytes.h"
#include "client/cli/commands.h"
#include "client/policy_file.h"
#include "client/verdict_page.h"

#include <cstdint>
#include <exception>
#include <functional>
#include <string>

/// What `nostril verify intel`, `snp`, `gpu` and `nras` share: reading their files and saying the
/// verdict. The readers throw std::runtime_error with a line for the user.
namespace nostril::client::cli {

/// To 2 MiB.
Bytes read_bytes(const std::string& path);

/// A certificate's DER, whichever of the two forms the file has. What is neither stays as it is:
/// the verdict says so.
Bytes read_certificate(const std::string& path);

/// The roots named by hand in place of the built-in ones; `built_in` when there are none.
attestation::TrustRoots roots_of(const EvidenceOptions& options,
                                 attestation::TrustRoots (*built_in)());

/// The policy file with the lists that it names as files, or the defaults; simulated evidence is
/// taken when a root is named by hand.
VerifyPolicy read_policy(const EvidenceOptions& options, std::int64_t now_s);

/// To 64 bytes.
Bytes read_nonce(const std::string& hex);

struct Judged {
  attestation::Verdict verdict;
  ShownChains chains;  ///< for pages
};

using Judge = std::function<Judged(std::int64_t now_s, const EvidenceOptions&)>;

/// Exit statuses: 0 accepted, and these.
inline constexpr int kRefused = 1;
inline constexpr int kUnusable = 2;

/// Judges, reports and gives the exit status. `file`: what pages call the evidence.
int judge_files(Process& process, const EvidenceOptions& options, const std::string& file,
                const Judge& judge);

/// Prints as the options say; the exit status.
int report(attestation::Verdict verdict, const EvidenceOptions& options,
           const PageContext& context);

/// Prints the error; kUnusable.
int unusable(const std::exception& error);

}  // namespace nostril::client::cli
