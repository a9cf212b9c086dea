#include "client/verdict_page.h"

#include "base/base64.h"
#include "client/verdict_chains.h"
#include "client/verdict_html.h"
#include "schnorr/hash.h"

#include <fmt/format.h>

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
main{max-width:76rem;margin:0 auto;padding:1rem}
h2{font-size:1.15rem;margin:2rem 0 .6rem}
h3{font-size:1.05rem;margin:1.4rem 0 .5rem;border-bottom:1px solid var(--line)}
h4{font-size:.92rem;margin:0 0 .5rem;color:var(--dim)}
.chains{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));
gap:1.4rem 1rem;align-items:start}
p{margin:.4rem 0}
.value{font:.84rem/1.45 ui-monospace,monospace;overflow-wrap:anywhere}
b,dt,dd,.tag{overflow-wrap:anywhere}
.dim{color:var(--dim)}dd.dim{font-size:.84rem}
.banner{border:2px solid;border-radius:.6rem;padding:1rem 1.2rem}
.banner h1{margin:0;font-size:2rem;line-height:1.2}
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
.chain li.end::after{content:none}
.chain b,.chain .value{color:var(--fg)}
.chain dl{margin:.2rem 0 0}
.checks>li,.rows>li{border-bottom:1px solid var(--line);padding:.5rem 0}
.checks,.rows{list-style:none;margin:0;padding:0}
.head{display:flex;flex-wrap:wrap;gap:.2rem .8rem;align-items:baseline}
.tag{font-size:.76rem;font-weight:700;border:1px solid;border-radius:.3rem;padding:0 .4rem}
dl{display:grid;grid-template-columns:fit-content(9.5rem) minmax(0,1fr);gap:.1rem .8rem;margin:.3rem 0 0;
align-items:baseline}
dt{color:var(--dim);font-size:.84rem}dd{margin:0;min-width:0}
@media(max-width:34rem){main{padding:.7rem}.banner h1{font-size:1.3rem}}
@media print{:root{color-scheme:light;--bg:#fff;--fg:#000;--dim:#444;--line:#bbb;--card:#fff;
--good:#136c3a;--bad:#b3161b;--warn:#8a5200;--goodbg:#fff;--badbg:#fff;--warnbg:#fff}
main{max-width:none;padding:0}body{font-size:12px}
.chains{display:block}.chains>div{margin-bottom:1.4rem}
.banner,.simulated,.chain li,.reasons li,.checks>li,.rows>li{break-inside:avoid}
h2,h3,h4{break-after:avoid}}
)css";

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
                  html_value(context.subject), to_string(verdict.level), meaning(verdict.level));
  out +=
      fmt::format("<p class=\"dim\">Judged {} under {}.{}</p></header>\n", date_text(context.now_s),
                  context.policy.empty() ? std::string("the default policy")
                                         : "policy " + html_value(context.policy),
                  verdict.accepted ? " Holds until " + date_text(verdict.holds_until) + "." : "");
  if (verdict.simulated) {
    out +=
        "<p class=\"simulated\">SIMULATED - NOT A TEE: no trusted hardware stands behind this "
        "evidence, "
        "whatever else this page says.</p>\n";
  }
  return out;
}

std::string reasons(const Verdict& verdict) {
  std::string out;
  const auto add = [&out](const Check& check, std::string_view css) {
    out += fmt::format("<li class=\"{}\"><b>{}</b>: found {}; wanted {}{}{}</li>\n", css,
                       escape_html(check.name),
                       html_value(check.found.empty() ? "nothing: not checked" : check.found),
                       html_value(check.wanted), check.note.empty() ? "" : "; ",
                       check.note.empty() ? "" : html_value(check.note));
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
    if (!check.found.empty()) out += html_row("found", check.found);
    if (!check.wanted.empty()) out += html_row("wanted", check.wanted);
    if (!check.note.empty()) out += html_row("policy", check.note);
    if (!check.source.empty()) out += html_row("source", check.source);
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
                       escape_html(claim.name), html_value(claim_text(claim.value)),
                       escape_html(claim.source));
  }
  return out + "</ul>\n";
}

}  // namespace

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
  out += "<h2>What vouches for what</h2>\n" + draw_chains(verdict, context.chains, context.now_s);
  out += checks(verdict) + claims(verdict);
  out +=
      "<p class=\"dim\">Made by nostril verify on the reader's own machine; nothing was sent. What "
      "no "
      "evidence can prove: spec/10-threat-model.md.</p>\n</main></body></html>\n";
  return out;
}

}  // namespace nostril::client
