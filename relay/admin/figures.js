// What the relay does now: figures, rates between two looks, who talks most.
import { h } from "/admin/dom.js";

const count = (number) => number.toLocaleString("en");
const bytes = (number) => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (number >= 1024 && at < units.length - 1) { number /= 1024; at += 1; }
  return `${number.toFixed(at === 0 ? 0 : 1)} ${units[at]}`;
};
const span = (seconds) => {
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  return days ? `${days} d ${hours} h` : hours ? `${hours} h ${minutes} min` : `${minutes} min ${seconds % 60} s`;
};

export const short = (hex) => h("code", { title: hex }, `${hex.slice(0, 8)}…${hex.slice(-6)}`);

const figure = (name, value, unit) => h("div", { class: "figure" }, h("dt", {}, name), h("dd", {}, value, unit ? h("small", {}, ` ${unit}`) : null));

function rate(now, before, name) {
  if (!before || now.at_ms <= before.at_ms) return "–";
  const per_second = (now.totals[name] - before.totals[name]) * 1000 / (now.at_ms - before.at_ms);
  return per_second >= 10 || per_second === 0 ? count(Math.round(per_second)) : per_second.toFixed(1);
}

function talkers(caption, head, rows) {
  if (rows.length === 0) return h("section", {}, h("h3", {}, caption), h("p", { class: "dim" }, "Nobody yet."));
  return h("section", {}, h("h3", {}, caption),
    h("div", { class: "wide" }, h("table", {}, h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows))));
}

/** `act`: { block(ip), ban(key) }. */
export function figures_view(now, before, act) {
  const refused = Object.entries(now.refused).filter(([, number]) => number > 0);
  return [
    h("dl", { class: "figures" },
      figure("Up", span(now.uptime_s)),
      figure("WebSockets", count(now.websockets)),
      figure("Subscriptions", count(now.subscriptions)),
      figure("Events stored", count(now.events_stored)),
      figure("Store", bytes(now.store_bytes)),
      figure("Events in", rate(now, before, "events_received"), "a second"),
      figure("Messages out", rate(now, before, "messages_out"), "a second"),
      figure("REQ", rate(now, before, "requests"), "a second"),
      figure("Waiting", `${count(now.queues.verify)} · ${count(now.queues.write)} · ${count(now.queues.query)}`, "verify, write, query")),
    ...(now.cluster ? [talkers("Relays of the cluster", ["Relay", "State", "Applied", "Behind", ""], now.cluster.map((row) =>
      h("tr", {}, h("td", {}, row.relay), h("td", {}, row.state.replaceAll("_", " ")), h("td", {}, count(row.position)), h("td", {}, count(row.lag)), h("td", {}, row.note))))] : []),
    h("h3", {}, "Refused since the start"),
    refused.length ? h("ul", { class: "reasons" }, refused.map(([reason, number]) => h("li", {}, `${reason.replaceAll("_", " ")}: `, h("strong", {}, count(number)))))
      : h("p", { class: "dim" }, "Nothing."),
    talkers("Addresses that send most, last 10 to 20 minutes", ["Address", "Messages", ""], now.addresses.map((row) =>
      h("tr", {}, h("td", {}, h("code", {}, row.ip)), h("td", {}, count(row.messages)),
        h("td", {}, h("button", { type: "button", onclick: () => act.block(row.ip), "aria-label": `Block ${row.ip}` }, "Block"))))),
    talkers("Authors of stored events, last 10 to 20 minutes", ["Key", "Events", ""], now.authors.map((row) =>
      h("tr", {}, h("td", {}, short(row.pubkey)), h("td", {}, count(row.events)),
        h("td", {}, h("button", { type: "button", onclick: () => act.ban(row.pubkey), "aria-label": `Ban ${row.pubkey}` }, "Ban"))))),
  ];
}
