#pragma once

#include "attestation/combined_report.h"
#include "attestation/dstack_container.h"
#include "base/json.h"
#include "base/result.h"

/// Reading the forms of combined_report.h: from a provider's text to parts that are judged alike.
/// Takes apart and judges nothing.
namespace nostril::attestation {

enum class ReportError : std::uint8_t {
  TooLarge,
  UnknownForm,   ///< none of the forms of combined_report.h
  MissingField,  ///< or of another type than the form has
  BadEncoding,   ///< hex, base64, PEM or JSON inside a field
  TooManyParts,
};

std::string_view to_string(ReportError error);

/// How report_data comes about.
struct ReportBinding {
  /// What it begins with; not there when a part of it is missing (the nonce of chutes).
  std::optional<Bytes> start;
  /// The rule in words, for people.
  std::string rule;
  /// The nonce inside, by the report's own word; not there: the form has none.
  std::optional<Bytes> nonce;
  /// The form is asked for with a nonce.
  bool takes_nonce = true;
  /// It binds keys or evidence, not just the nonce.
  bool names_keys = true;
  /// The report's own copy of report_data; empty: none.
  Bytes copy;
  /// SHA-256 of the SubjectPublicKeyInfo that it binds.
  std::optional<Digest> tls_spki;
  /// The caller's own connection ends there.
  bool faces_caller = true;
};

/// The application on a machine. Owns what AppEvidence borrows.
struct ReportApp {
  Result<EventLog, EventLogError> log;
  std::string compose;
  std::string mr_config;
};

/// A quote made after the boot, by software that starts containers: its list of actions.
struct PostBoot {
  Bytes quote;
  Result<EventLog, EventLogError> log;
  ReportBinding binding;
  /// SHA-256 of the list as the machine writes it, and the report's word for that.
  Digest actions_sha256;
  std::string claimed_sha256;
  std::size_t action_count = 0;
  /// SHA-256 of each compose file that was started (compose_up), hex, sorted, each once; "" of one
  /// that is not named.
  std::vector<std::string> files;
};

struct ReportPart {
  /// "gateway", "model", …; empty: the only machine.
  std::string name;
  bool is_snp = false;
  /// Quote or report.
  Bytes evidence;
  /// SEV-SNP, when the form brings them: certificate of the signer and its issuers, PEM.
  std::string vek;
  std::string vek_chain;
  ReportBinding binding;
  std::optional<ReportApp> app;
  /// The form has a place for GPU evidence.
  bool lists_gpus = false;
  std::vector<GpuEvidence> gpus;
  /// What each GPU was asked to sign; "begins report_data" when empty and `gpu_nonce_is_binding`.
  Bytes gpu_nonce;
  bool gpu_nonce_is_binding = false;

  /// The report's words for two digests that must be equal, by the name of their check.
  struct Equality {
    std::string check;
    std::string found;
    std::string wanted;
    std::string source;
  };

  std::vector<Equality> equalities;
  std::vector<Claim> claims;
  std::optional<PostBoot> post_boot;
};

struct ParsedReport {
  std::string form;
  std::vector<ReportPart> parts;
};

/// `nonce`: the caller's; chutes' binding needs it.
Result<ParsedReport, ReportError> parse_report(std::string_view text, ByteSpan nonce);

/// One form each; parse_report() has chosen.
Result<ParsedReport, ReportError> parse_near_report(const Json& report);
Result<ParsedReport, ReportError> parse_phala_report(const Json& report);
Result<ParsedReport, ReportError> parse_tinfoil_report(const Json& report, std::string_view text);
Result<ParsedReport, ReportError> parse_chutes_report(const Json& report, ByteSpan nonce);
Result<ParsedReport, ReportError> parse_dstack_report(const Json& report, ByteSpan nonce);
Result<ParsedReport, ReportError> parse_dstack_attestation(ByteSpan bytes, ByteSpan nonce);
Result<ParsedReport, ReportError> parse_ra_tls(std::string_view pem);

/// Takes members out of an object; remembers the first error, and then gives empty values.
class ReportFields {
 public:
  explicit ReportFields(const Json* object) : object_(object) {}

  std::string_view text(std::string_view name);
  Bytes hex(std::string_view name);
  Bytes base64(std::string_view name);
  const Json& array(std::string_view name);

  /// The member; nullptr when there is none.
  [[nodiscard]] const Json* find(std::string_view name) const {
    return object_ == nullptr ? nullptr : object_->find(name);
  }

  void fail(ReportError error) {
    if (!error_) error_ = error;
  }

  [[nodiscard]] std::optional<ReportError> error() const { return error_; }

 private:
  const Json* object_;
  std::optional<ReportError> error_;
};

/// GPU reports of [{certificate, evidence}], base64 both.
std::vector<GpuEvidence> read_gpus(const Json& list, ReportFields& fields);

/// The application as dstack's `info` and the log beside it say.
ReportApp read_dstack_app(const Json* log, const Json* info, const Json* vm_config);

/// The exact text of a member's value in the text of an object, which must be valid JSON.
std::optional<std::string_view> raw_member(std::string_view object, std::string_view name);

}  // namespace nostril::attestation
