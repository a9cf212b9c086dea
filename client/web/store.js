// Conversations, in this browser only (IndexedDB). Where the browser gives no database, they last as long as the page.

const kName = "nostril-conversations";
const kChatsMax = 500;

let opened;
const memory = new Map();

function database() {
  opened ??= new Promise((resolve) => {
    const asked = indexedDB.open(kName, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("chats", { keyPath: "id" });
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => resolve(undefined);
    asked.onblocked = () => resolve(undefined);
  }).catch(() => undefined);
  return opened;
}

async function run(mode, work) {
  const base = await database();
  if (!base) return undefined;
  return new Promise((resolve, reject) => {
    const transaction = base.transaction("chats", mode);
    const request = work(transaction.objectStore("chats"));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = () => reject(transaction.error);
    transaction.onabort = () => reject(transaction.error);
  });
}

/** Newest first. */
export async function all_chats() {
  const chats = (await run("readonly", (store) => store.getAll())) ?? [...memory.values()];
  return chats.sort((a, b) => b.updated - a.updated);
}

export async function put_chat(chat) {
  memory.set(chat.id, chat);
  await run("readwrite", (store) => store.put(structuredClone(chat)));
  const chats = await all_chats();
  for (const old of chats.slice(kChatsMax)) await delete_chat(old.id);
}

export async function delete_chat(id) {
  memory.delete(id);
  await run("readwrite", (store) => store.delete(id));
}

export async function delete_all() {
  memory.clear();
  await run("readwrite", (store) => store.clear());
}
