#include "client/verdict_page.h"

#include "attestation/utc_time.h"
#include "base/base64.h"
#include "base/hex.h"
#include "schnorr/hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <variant>
#include <vector>

namespace nostril::client {

namespace {

using attestation::Check;
using attestation::CheckStatus;
using attestation::Claim;
using attestation::Verdict;

constexpr std::string_view kStyle = R"css(
:root{color-scheme:light dark;--bg:#fbfbf9;--fg:#1c1e21;--dim:#5f6570;--line:#d5d7db;--card:#fff;
--good:#136c3a;--bad:#b3161b;--warn:#8a5200;--goodbg:#e5f4ea;--badbg:#fdeaea;--warnbg:#fdf3e1}
@media(prefers-color-scheme:dark){:root{--bg:#15171a;--fg:#e7e8ea;--dim:#a0a6b0;--line:#363a41;
--card:#1d2024;--good:#6fd597;--bad:#ff8a8a;--warn:#f0bb62;--goodbg:#14301f;--badbg:#3b1618;
--warnbg:#38290f}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif}
main{max-width:62rem;margin:0 auto;padding:1rem}
h2{font-size:1.15rem;margin:2rem 0 .6rem}
p{margin:.4rem 0}
.value{font:.84rem/1.45 ui-monospace,monospace;overflow-wrap:anywhere}
.dim{color:var(--dim)}dd.dim{font-size:.84rem}
.banner{border:2px solid;border-radius:.6rem;padding:1rem 1.2rem}
.banner h1{margin:0;font-size:1.6rem;line-height:1.2}
.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.banner.good{background:var(--goodbg);border-color:var(--good)}
.banner.bad{background:var(--badbg);border-color:var(--bad)}
.banner p{color:var(--fg)}
.simulated{border:3px dashed var(--bad);color:var(--bad);background:var(--badbg);font-weight:700;
border-radius:.6rem;padding:.7rem 1.2rem;margin:.8rem 0}
.reasons{padding:0;list-style:none;margin:.8rem 0 0}
.reasons li{border-left:4px solid var(--bad);padding:.2rem .8rem;margin:.5rem 0;background:var(--card);
color:var(--fg)}
.reasons li.warn{border-color:var(--warn)}
.chain{list-style:none;margin:0;padding:0}
.chain li{border:1px solid var(--line);border-left:6px solid;border-radius:.5rem;background:var(--card);
padding:.6rem .9rem;position:relative;margin-bottom:1.9rem}
.chain li:last-child{margin-bottom:0}
.chain li.good{border-left-color:var(--good)}.chain li.bad{border-left-color:var(--bad)}
.chain li.warn{border-left-color:var(--warn)}.chain li.dim{border-left-color:var(--dim)}
.chain .good .tag{color:var(--good)}.chain .bad .tag{color:var(--bad)}.chain .warn .tag{color:var(--warn)}
.chain li:not(:last-child)::after{content:"\2193\00a0" attr(data-link);position:absolute;left:.9rem;
bottom:-1.65rem;color:var(--dim);font-size:.84rem;white-space:nowrap}
.chain b,.chain .value{color:var(--fg)}
.chain dl{margin:.2rem 0 0}
.checks>li,.rows>li{border-bottom:1px solid var(--line);padding:.5rem 0}
.checks,.rows{list-style:none;margin:0;padding:0}
.head{display:flex;flex-wrap:wrap;gap:.2rem .8rem;align-items:baseline}
.tag{font-size:.76rem;font-weight:700;border:1px solid;border-radius:.3rem;padding:0 .4rem}
dl{display:grid;grid-template-columns:minmax(4.5rem,max-content) 1fr;gap:.1rem .8rem;margin:.3rem 0 0;
align-items:baseline}
dt{color:var(--dim);font-size:.84rem}dd{margin:0;min-width:0}
@media(max-width:34rem){main{padding:.7rem}.banner h1{font-size:1.3rem}}
@media print{body{background:#fff;color:#000}}
)css";

std::string value(std::string_view text) {
  return fmt::format("<bdi class=\"value\">{}</bdi>", escape_html(text));
}

std::string row(std::string_view name, std::string_view text) {
  return fmt::format("<dt>{}</dt><dd>{}</dd>", escape_html(name), value(text));
}

std::string to_text(const Claim::Value& claim) {
  if (const auto* number = std::get_if<std::int64_t>(&claim)) return fmt::format("{}", *number);
  if (const auto* words = std::get_if<std::vector<std::string>>(&claim)) {
    return words->empty() ? "none" : fmt::format("{}", fmt::join(*words, ", "));
  }
  return std::get<std::string>(claim);
}

struct Look {
  std::string_view css;
  std::string_view word;
};

Look look_of(const Check& check) {
  switch (check.status) {
    case CheckStatus::Passed:
      return {"good", "passed"};
    case CheckStatus::Failed:
      return {"bad", "FAILED"};
    case CheckStatus::Excepted:
      return {"warn", "EXCEPTED"};
    case CheckStatus::NotChecked:
      break;
  }
  return check.required ? Look{"bad", "NOT CHECKED"} : Look{"dim", "not checked"};
}

std::string date(std::int64_t unix_s) {
  return unix_s >= 0 && unix_s < 253'402'300'800 ? attestation::format_iso_utc(unix_s) : "never";
}

// ---- The chain ----------------------------------------------------------------------------------

/// A box: what it is, the checks that prove it, what is shown of it, what it does to the next.
struct Link {
  std::string_view title;
  std::vector<std::string_view> checks;
  std::vector<std::string_view> claims;
  std::string_view next;
};

const std::vector<Link>& intel_links() {
  static const std::vector<Link> kLinks = {
      {"Root certificate", {"pck_chain", "simulated"}, {"root_sha256"}, "signed"},
      {"PCK CA", {"pck_chain", "revocation"}, {}, "signed"},
      {"PCK certificate of the platform",
       {"platform", "tcb_info", "tcb"},
       {"fmspc", "ppid", "tcb_status", "advisories"},
       "signed the report of"},
      {"Quoting enclave",
       {"qe_signer", "qe_report_signature", "qe_identity"},
       {"qe_status"},
       "vouches for"},
      {"Attestation key", {"qe_report_data"}, {}, "signed"},
      {"Quote",
       {"quote_format", "quote_signature", "debug", "measurements"},
       {"mrtd", "rtmr1", "rtmr2", "mrenclave"},
       "commits to"},
  };
  return kLinks;
}

const std::vector<Link>& amd_links() {
  static const std::vector<Link> kLinks = {
      {"AMD root key (ARK)", {"vek_chain", "simulated"}, {"root_sha256"}, "signed"},
      {"ASK or ASVK", {"vek_chain", "revocation"}, {}, "signed"},
      {"VCEK or VLEK of the chip",
       {"vek_extensions", "product", "hardware_id", "tcb"},
       {"product", "chip_id", "csp_id"},
       "signed"},
      {"Report",
       {"report_format", "report_signature", "debug", "measurements"},
       {"measurement", "host_data"},
       "commits to"},
  };
  return kLinks;
}

/// What its checks make of a box.
struct Standing {
  std::string_view css;
  std::string word;
};

Standing standing_of(const Verdict& verdict, const std::vector<std::string_view>& names) {
  std::string refusing;
  std::string excepted;
  std::string unchecked;
  bool any_passed = false;
  const auto join = [](std::string& list, std::string_view name) {
    list += (list.empty() ? "" : ", ") + std::string(name);
  };
  for (const std::string_view name : names) {
    const Check* check = verdict.find(name);
    if (check == nullptr) continue;
    if (refuses(*check)) {
      join(refusing, name);
    } else if (check->status == CheckStatus::Excepted) {
      join(excepted, name);
    } else if (check->status == CheckStatus::NotChecked) {
      join(unchecked, name);
    } else {
      any_passed = true;
    }
  }
  if (!refusing.empty()) return {"bad", "REFUSED: " + refusing};
  if (!excepted.empty()) return {"warn", "EXCEPTED: " + excepted};
  if (!any_passed) return {"dim", "not checked"};
  return {"good", unchecked.empty() ? "proven" : "proven, but not checked: " + unchecked};
}

std::string box(const Verdict& verdict, const Link& link, std::string_view rows) {
  const Standing look = standing_of(verdict, link.checks);
  std::string out = fmt::format(
      "<li class=\"{}\" data-link=\"{}\"><div class=\"head\"><b>{}</b><span class=\"tag\">{}"
      "</span></div><dl>",
      look.css, link.next, link.title, look.word);
  for (const std::string_view name : link.claims) {
    if (const Claim* claim = verdict.claim(name)) out += row(name, to_text(claim->value));
  }
  std::string names;
  for (const std::string_view name : link.checks) {
    if (verdict.find(name) != nullptr) names += (names.empty() ? "" : ", ") + std::string(name);
  }
  out += fmt::format("<dt>checks</dt><dd class=\"dim\">{}</dd>", names);
  return out + std::string(rows) + "</dl></li>\n";
}

std::string statement_rows(const attestation::Statement& statement) {
  const auto stated = [](const Digest& digest) {
    return digest == Digest{} ? std::string("none") : encode_hex(digest);
  };
  return row("node", encode_hex(statement.node)) +
         row("encryption key", encode_hex(statement.encryption_key)) +
         row("key ends", date(statement.encryption_key_expires_at)) +
         row("TLS key", stated(statement.tls_spki)) +
         row("GPU reports", encode_hex(statement.gpu_evidence)) +
         row("model manifest", stated(statement.model_manifest)) +
         row("nonce", encode_hex(statement.nonce));
}

std::string chain(const Verdict& verdict) {
  if (verdict.platform.empty()) return "<p>The evidence could not be read, so nothing stands.</p>";
  std::string out = "<ol class=\"chain\">\n";
  for (const Link& link : verdict.platform == "snp" ? amd_links() : intel_links()) {
    out += box(verdict, link, "");
  }
  if (verdict.statement) {
    const Link link{"Statement of the node",
                    {"report_data", "node_key", "encryption_key", "encryption_key_expiry",
                     "model_manifest", "nonce"},
                    {},
                    ""};
    out += box(verdict, link, statement_rows(*verdict.statement));
  } else {
    out += box(verdict, {"Report data", {"report_data"}, {"report_data"}, ""}, "");
  }
  return out + "</ol>\n";
}

// ---- The rest -----------------------------------------------------------------------------------

std::string_view meaning(attestation::Level level) {
  switch (level) {
    case attestation::Level::None:
      return "Nothing is proven.";
    case attestation::Level::Declared:
      return "Sound evidence of this platform, over these keys. Nobody vouches for the software.";
    case attestation::Level::ImageMeasured:
      return "The measured software is known to the policy or its auditors. What it serves is its "
             "word.";
    case attestation::Level::WeightsMeasured:
      return "Known software hashed the model's weights, and their digest is known for this model.";
    case attestation::Level::Auditable:
      return "Known software, known weights, and records that let an answer be repeated.";
  }
  return "";
}

std::string banner(const Verdict& verdict, const PageContext& context) {
  const bool good = verdict.accepted && !verdict.simulated;
  std::string out =
      fmt::format("<header class=\"banner {}\"><h1>{}{}</h1><p>{}</p><p>Level <b>{}</b>. {}</p>",
                  good ? "good" : "bad", verdict.accepted ? "ACCEPTED" : "REFUSED",
                  verdict.simulated ? " (SIMULATED EVIDENCE - not a TEE)" : "",
                  value(context.subject), to_string(verdict.level), meaning(verdict.level));
  out += fmt::format("<p class=\"dim\">Judged {} under {}.{}</p></header>\n", date(context.now_s),
                     context.policy.empty() ? std::string("the default policy")
                                            : "policy " + value(context.policy),
                     verdict.accepted ? " Holds until " + date(verdict.holds_until) + "." : "");
  if (verdict.simulated) {
    out +=
        "<p class=\"simulated\">SIMULATED: no trusted hardware stands behind this evidence, "
        "whatever else this page says.</p>\n";
  }
  return out;
}

std::string reasons(const Verdict& verdict) {
  std::string out;
  const auto add = [&out](const Check& check, std::string_view css) {
    out += fmt::format(
        "<li class=\"{}\"><b>{}</b>: found {}; wanted {}{}{}</li>\n", css, escape_html(check.name),
        value(check.found.empty() ? "nothing: not checked" : check.found), value(check.wanted),
        check.note.empty() ? "" : "; ", check.note.empty() ? "" : value(check.note));
  };
  for (const CheckStatus status : {CheckStatus::Failed, CheckStatus::NotChecked}) {
    for (const Check& check : verdict.checks) {
      if (refuses(check) && check.status == status) add(check, "bad");
    }
  }
  for (const Check& check : verdict.checks) {
    if (check.status == CheckStatus::Excepted) add(check, "warn");
  }
  return out.empty() ? "" : "<h2>Why</h2><ul class=\"reasons\">\n" + out + "</ul>\n";
}

std::string checks(const Verdict& verdict) {
  std::string out = "<h2>Every check, in order</h2><ul class=\"checks\">\n";
  for (const Check& check : verdict.checks) {
    const Look look = look_of(check);
    out +=
        fmt::format("<li><div class=\"head\"><b>{}</b><span class=\"tag {}\">{}</span></div><dl>",
                    escape_html(check.name), look.css, look.word);
    if (!check.found.empty()) out += row("found", check.found);
    if (!check.wanted.empty()) out += row("wanted", check.wanted);
    if (!check.note.empty()) out += row("policy", check.note);
    if (!check.source.empty()) out += row("source", check.source);
    out += "</dl></li>\n";
  }
  return out + "</ul>\n";
}

std::string claims(const Verdict& verdict) {
  if (verdict.claims.empty()) return "";
  std::string out =
      "<h2>What the evidence says of itself</h2>"
      "<p class=\"dim\">True as far as the checks passed.</p><ul class=\"rows\">\n";
  for (const Claim& claim : verdict.claims) {
    out += fmt::format("<li><b>{}</b> {}<br><span class=\"dim\">{}</span></li>\n",
                       escape_html(claim.name), value(to_text(claim.value)),
                       escape_html(claim.source));
  }
  return out + "</ul>\n";
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else if (c == '\'') {
      out += "&#39;";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\xef\xbf\xbd";
    } else {
      out += c;
    }
  }
  return out;
}

std::string verdict_page(const Verdict& verdict, const PageContext& context) {
  const Digest style = sha256(kStyle);
  std::string out = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n";
  out += fmt::format(
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'sha256-{}'; base-uri 'none'; form-action 'none'\">\n",
      encode_base64(style.bytes));
  out +=
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
      "<meta name=\"referrer\" content=\"no-referrer\">\n";
  out += fmt::format("<title>{}{}</title>\n<style>{}</style></head>\n<body><main>\n",
                     verdict.accepted ? "ACCEPTED" : "REFUSED",
                     verdict.simulated ? " (SIMULATED)" : "", kStyle);
  out += banner(verdict, context) + reasons(verdict);
  out += "<h2>What vouches for what</h2>\n" + chain(verdict);
  out += checks(verdict) + claims(verdict);
  out +=
      "<p class=\"dim\">Made by nostril verify on the reader's own machine; nothing was sent. What "
      "no "
      "evidence can prove: spec/10-threat-model.md.</p>\n</main></body></html>\n";
  return out;
}

}  // namespace nostril::client
