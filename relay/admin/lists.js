// The moderators' lists: what each is called, how it is read, how a row is put in and taken out.
import { read_key } from "/admin/signer.js";

const is_id = (text) => (/^[0-9a-f]{64}$/.test(text.trim()) ? text.trim() : undefined);
const is_kind = (text) => (/^\d{1,5}$/.test(text.trim()) && Number(text) < 65536 ? Number(text) : undefined);
const is_text = (text) => text.trim() || undefined;

export const kLists = [
  { id: "keys", name: "Banned keys", list: "listbannedpubkeys", add: "banpubkey", remove: "unbanpubkey", item: "pubkey", label: "Public key (npub or hex)",
    read: read_key, wrong: "That is no public key.", has_reason: true, about: "Their events are refused; those stored are removed, unless the configuration says otherwise." },
  { id: "events", name: "Banned events", list: "listbannedevents", add: "banevent", remove: "unbanevent", item: "id", label: "Event id (hex)", read: is_id,
    wrong: "That is no event id.", has_reason: true, about: "Removed, and refused when somebody sends them again." },
  { id: "addresses", name: "Blocked addresses", list: "listblockedips", add: "blockip", remove: "unblockip", item: "ip", label: "Address or block, as 192.0.2.0/24",
    read: is_text, has_reason: true, about: "Their connections are closed and no new ones taken." },
  { id: "allowed", name: "Allowed keys", list: "listallowedpubkeys", add: "allowpubkey", remove: "unallowpubkey", item: "pubkey", label: "Public key (npub or hex)",
    read: read_key, wrong: "That is no public key.", has_reason: true, about: "As soon as one is here, nobody else may publish. With the last one gone, everybody may." },
  { id: "no_kinds", name: "Disallowed kinds", list: "listdisallowedkinds", add: "disallowkind", remove: "allowkind", label: "Kind (number)", read: is_kind,
    wrong: "That is no kind.", about: "Events of these kinds are refused." },
  { id: "kinds", name: "Allowed kinds", list: "listallowedkinds", add: "allowkind", remove: undefined, label: "Kind (number)", read: is_kind,
    wrong: "That is no kind.", about: "As soon as one is here, no other kind is taken. To take one out, disallow it." },
];
