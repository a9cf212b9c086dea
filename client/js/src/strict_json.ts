// JSON as events and frames are written (spec/01-events.md): what JSON.parse takes and the protocol refuses is found before.

const kDepthMax = 8;
const kToken = /[\t\n\r ]*(?:([{}[\],:])|("(?:[^"\\]|\\.)*")|(0|[1-9][0-9]*)(?![0-9.eE])|(true|false|null))/y;

/** The value, or undefined: not JSON, nested too deeply, a name that stands twice in one object (also when one is spelled with
 * escapes), or a number that is not written as a plain integer. */
export function parseStrictJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isStrict(text) ? value : undefined;
}

/** Of a text that is JSON: so names are strings that stand behind "{" or, in an object, behind ",". */
function isStrict(text: string): boolean {
  const open: (Set<string> | undefined)[] = []; // names of the objects that are open; undefined for arrays
  let nameNext = false;
  kToken.lastIndex = 0;
  for (;;) {
    const at = kToken.lastIndex;
    const token = kToken.exec(text);
    if (!token) return text.slice(at).trim() === "";
    const [, mark, string] = token;
    if (mark === "{" || mark === "[") {
      if (open.push(mark === "{" ? new Set() : undefined) > kDepthMax) return false;
      nameNext = mark === "{";
    } else if (mark === "}" || mark === "]") {
      open.pop();
      nameNext = false;
    } else if (mark === ",") {
      nameNext = open.at(-1) !== undefined;
    } else if (string !== undefined && nameNext) {
      const name = string.includes("\\") ? JSON.parse(string) as string : string.slice(1, -1);
      const names = open.at(-1);
      if (!names || names.has(name)) return false;
      names.add(name);
      nameNext = false;
    }
  }
}
