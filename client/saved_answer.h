#pragma once

#include "attestation/verdict.h"
#include "base/bytes.h"
#include "base/result.h"
#include "client/client_settings.h"
#include "events/inference.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Answers that were kept, and what proves them without asking anybody.
namespace nostril::client {

/// An answer with its proofs. Events are their JSON texts, request and response exact bytes.
struct SavedAnswer {
  std::string record;
  std::optional<std::string> receipt = {};
  std::optional<std::string> request = {};
  std::optional<std::string> response = {};
  std::optional<std::string> offer = {};        ///< that the record names
  std::optional<std::string> attestation = {};  ///< that the offer names
  /// Vendors' documents that the evidence names instead of holding them, unpacked.
  std::vector<Bytes> documents = {};
};

/// One JSON object {"record", "receipt", "request", "response", "offer", "attestation"}, members as
/// far as they are there, events as objects; without documents. Nothing when request or response is
/// no text, which JSON can't hold.
[[nodiscard]] std::optional<std::string> to_json(const SavedAnswer& answer);

/// The same from text, 128 MiB at most; other members are skipped. The error is a sentence.
[[nodiscard]] Result<SavedAnswer, std::string> parse_saved_answer(std::string_view json);

struct AnswerFinding {
  bool good = false;
  std::string what;
};

/// What was found about a saved answer. What is not there was not looked at.
struct AnswerReport {
  bool good = true;        ///< every finding is
  bool simulated = false;  ///< the evidence is a test root's: no TEE stands behind it
  std::vector<AnswerFinding> findings = {};
  std::optional<attestation::Verdict> verdict = {};  ///< on the evidence, when it is there
  ResponseRecord record = {};
};

/// Judges an answer by its proofs alone: signatures, both hashes, receipt, offer, sampling, and the
/// evidence under the roots and the policy of `trust` at time `now_s`. The error says what can't
/// be read or has a wrong signature. No network. Throws std::runtime_error when a file that `trust`
/// names can't be used. Threads: any.
[[nodiscard]] Result<AnswerReport, std::string> check_answer(const SavedAnswer& answer,
                                                             const ClientSettings& trust,
                                                             std::int64_t now_s);

}  // namespace nostril::client
