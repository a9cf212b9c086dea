// Numbers, times and names as people read them. Amounts are BigInt: base units, never floats.

const kNumber = new Intl.NumberFormat("en");
const kShort = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const amount = (value) => kNumber.format(BigInt(value)).replaceAll(",", "\u2009");
export const count = (value) => kNumber.format(value).replaceAll(",", "\u2009");
export const short_count = (value) => kShort.format(value);
/** 8192 is 8k, as models' contexts are named. */
export const context = (tokens) => (tokens >= 1000 ? `${Math.round(tokens / (tokens % 1024 === 0 ? 1024 : 1000))}k` : `${tokens}`);
export const milliseconds = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`);

const kChainUnit = /^([a-z0-9-]+:[^/]+)\/(.+)$/;
/** An asset's name, without the address that a chain gives it. */
export function asset(name) {
  const found = kChainUnit.exec(name);
  const text = found ? found[2] : name;
  return text.length > 18 ? `${text.slice(0, 10)}…${text.slice(-4)}` : text;
}

export const short_id = (text) => (text.length > 20 ? `${text.slice(0, 10)}…${text.slice(-6)}` : text);

const kTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const kClock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const kDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
const kForever = 2 ** 53 - 1;
export const time = (unix_s) => (unix_s >= kForever || unix_s > 8.64e12 ? "no end" : kTime.format(unix_s * 1000));
export const clock = (unix_s) => kClock.format(unix_s * 1000);
export const day = (text) => kDay.format(new Date(`${text}T00:00:00Z`));

/** "in 5 min", "2 h ago" */
export function distance(unix_s, now_s) {
  const gap = unix_s - now_s;
  if (Math.abs(gap) > 10 * 365 * 86_400) return "no end";
  const [size, unit] = Math.abs(gap) < 90 ? [1, "s"] : Math.abs(gap) < 5400 ? [60, "min"] : Math.abs(gap) < 129_600 ? [3600, "h"] : [86_400, "days"];
  const text = `${Math.round(Math.abs(gap) / size)} ${unit}`;
  return gap >= 0 ? `in ${text}` : `${text} ago`;
}

export function median(values) {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)];
}

const kLevels = {
  none: ["Not verified", "Nothing is proven."],
  declared: ["Declared", "Sound evidence of this platform, over these keys. Nobody vouches for the software."],
  image: ["Image measured", "The measured software is known to your policy or its auditors. What it serves is its word."],
  weights: ["Weights measured", "Known software hashed the model's weights, and their digest is known for this model."],
  auditable: ["Auditable", "Known software, known weights, and records that let an answer be repeated."],
};
export const level_name = (level) => kLevels[level]?.[0] ?? level;
export const level_meaning = (level) => kLevels[level]?.[1] ?? "";

const kShortNames = /\b(tls|gpu|tcb|pck|crls?|qe|td|tdx|snp|sgx|rim|vbios|id|fmspc|mrtd|tee|amd|vcek|vlek|nras|ppid|pce|cpu|svn|ek|ak)\b/g;

/** "pck_chain" as words: "PCK chain". */
export const words = (name) => {
  const text = name.replaceAll(/[_.]/g, " ").replaceAll(kShortNames, (short) => (short === "crls" ? "CRLs" : short.toUpperCase()));
  return text.charAt(0).toUpperCase() + text.slice(1);
};

/** Price of a unit; undefined where the offer does not name it. */
export const price = (offer, unit) => offer.prices.find((tag) => tag.unit === unit);

/** "12 / 40" for a million tokens in and out, and what else is charged. */
export function price_text(offer) {
  if (offer.prices.length === 0) return "free";
  const of = (unit) => amount(price(offer, unit)?.amount ?? "0");
  const extra = offer.prices.filter(({ unit }) => ["request", "second", "session"].includes(unit)).map((tag) => `+ ${amount(tag.amount)} a ${tag.unit}`);
  return [`${of("input")} in, ${of("output")} out`, ...extra].join(" ");
}
