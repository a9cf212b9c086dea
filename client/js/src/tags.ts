// Tags of our kinds, read strictly (spec/02-kinds.md): the first thing that is wrong refuses the event.
import { byteLength, isHex } from "./bytes.js";
import type { Event } from "./event.js";

export const kAmountMax = (1n << 96n) - 1n;
export const kTokensMax = 2 ** 40;

/** Why an event is not what it says it is. */
export class RefusedError extends Error {
  override name = "RefusedError";
}

export function must(good: unknown, what: string): asserts good {
  if (!good) throw new RefusedError(what);
}

/** Digits without sign, leading zeros or fraction, at most `max`; undefined else. */
export function readAmount(text: string, max: bigint = kAmountMax): bigint | undefined {
  if (!/^(?:0|[1-9][0-9]{0,38})$/.test(text)) return undefined;
  const value = BigInt(text);
  return value <= max ? value : undefined;
}

/** 1 to `bytesMax` printable ASCII characters without space, quote and backslash. */
export const isName = (text: string, bytesMax: number): boolean =>
  text.length > 0 && text.length <= bytesMax && /^[!#-[\]-~]*$/.test(text);

/** Every method throws RefusedError; `where` begins its text. */
export class TagReader {
  readonly #event: Event;
  readonly #where: string;

  constructor(event: Event, kind: number, where: string) {
    this.#event = event;
    this.#where = where;
    this.must(event.kind === kind, "another kind");
    this.must(this.exactly("v", 2)[1] === "1", "another version");
  }

  must(good: unknown, what: string): asserts good {
    if (!good) throw new RefusedError(`${this.#where}: ${what}`);
  }

  all(name: string, countMax: number): readonly (readonly string[])[] {
    const found = this.#event.tags.filter((tag) => tag[0] === name);
    this.must(found.length <= countMax, `too many tags ${name}`);
    return found;
  }

  optional(name: string): readonly string[] | undefined {
    return this.all(name, 1)[0];
  }

  /** The one tag of that name, with this many elements. */
  exactly(name: string, elements: number): readonly string[] {
    const tag = this.optional(name);
    this.must(tag, `no tag ${name}`);
    this.must(tag.length === elements, `bad tag ${name}`);
    return tag;
  }

  /** An element of a tag of unknown length. */
  element(tag: readonly string[], index: number): string {
    const value = tag[index];
    this.must(value !== undefined, `bad tag ${tag[0]}`);
    return value;
  }

  text(name: string, bytesMax: number): string {
    return this.checkedText(this.element(this.exactly(name, 2), 1), bytesMax);
  }

  name(name: string, bytesMax: number): string {
    return this.checkedName(this.element(this.exactly(name, 2), 1), bytesMax);
  }

  hex(name: string, bytes: number): string {
    return this.checkedHex(this.element(this.exactly(name, 2), 1), bytes);
  }

  /** Of a tag that may miss, 32 bytes. */
  optionalHex(name: string): string | undefined {
    const tag = this.optional(name);
    return tag && this.checkedHex(this.element(tag, 1), 32);
  }

  number(name: string, max: number): number {
    return this.checkedNumber(this.element(this.exactly(name, 2), 1), max);
  }

  checkedText(text: string, bytesMax: number): string {
    this.must(text.length > 0 && byteLength(text) <= bytesMax, "a text is empty or too long");
    return text;
  }

  checkedName(text: string, bytesMax: number): string {
    this.must(isName(text, bytesMax), "a name has other characters than it may");
    return text;
  }

  checkedHex(text: string, bytes: number): string {
    this.must(isHex(text, bytes), "not lowercase hex of the right size");
    return text;
  }

  checkedNumber(text: string, max: number): number {
    const value = readAmount(text, BigInt(max));
    this.must(value !== undefined, "a number is not an integer in range");
    return Number(value);
  }

  amount(text: string): bigint {
    const value = readAmount(text);
    this.must(value !== undefined, "an amount is not an integer in range");
    return value;
  }

  /** Seconds or milliseconds since 1970. */
  time(text: string): number {
    return this.checkedNumber(text, Number.MAX_SAFE_INTEGER);
  }
}
