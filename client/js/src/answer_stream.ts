// Streamed answers on their way to an application: what is held back until the record is right, and credit as it reads.
import { concatBytes, utf8ToBytes } from "./bytes.js";

/** What tells an application that a stream is whole: OpenAI's chat and completions, its responses, Anthropic's messages. */
const kLastLines = ["data: [DONE]", "event: response.completed", "event: message_stop"].map(utf8ToBytes);
const kLineEnd = 10;

const startsAs = (line: Uint8Array, last: Uint8Array): boolean => last.subarray(0, line.length).every((byte, index) => byte === line[index]);

/** Holds back the end of an SSE stream, from its last line on, so that something can be said before it. Pure. */
export class DoneHolder {
  #held: Uint8Array = new Uint8Array(0);
  #done = false;
  #atLineStart = true;

  /** The bytes that may be passed on now. */
  feed(bytes: Uint8Array): Uint8Array {
    this.#held = this.#held.length > 0 ? concatBytes(this.#held, bytes) : bytes;
    if (this.#done) return new Uint8Array(0);
    let at = 0;
    for (;;) {
      if (this.#atLineStart) {
        const line = this.#held.subarray(at);
        if (kLastLines.some((last) => startsAs(line, last))) break; // the last line, or what may become it
      }
      const end = this.#held.indexOf(kLineEnd, at);
      this.#atLineStart = end >= 0;
      at = end >= 0 ? end + 1 : this.#held.length;
      if (end < 0) break;
    }
    const out = this.#held.slice(0, at);
    this.#held = this.#held.slice(at);
    this.#done = kLastLines.some((last) => this.#held.length >= last.length && startsAs(this.#held, last));
    return out;
  }

  /** The bytes held back. */
  take(): Uint8Array {
    const held = this.#held;
    this.#held = new Uint8Array(0);
    return held;
  }
}

/** The body of a streamed answer. What its reader has not taken yet, the node has no credit for. */
export class AnswerStream {
  readonly readable: ReadableStream<Uint8Array>;
  readonly #holder = new DoneHolder();
  readonly #consumed: (bytes: number) => void;
  #queue: { readonly bytes: Uint8Array; readonly credit: number }[] = [];
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #wanted = false;
  #ended = false;
  #over = false;

  constructor(consumed: (bytes: number) => void, cancelled: () => void) {
    this.#consumed = consumed;
    this.readable = new ReadableStream<Uint8Array>({
      start: (controller) => { this.#controller = controller; },
      pull: () => {
        this.#wanted = true;
        this.#give();
      },
      cancel: () => {
        this.#over = true;
        this.#queue = [];
        cancelled();
      },
    }, { highWaterMark: 1 });
  }

  add(bytes: Uint8Array): void {
    if (this.#over) return this.#consumed(bytes.length); // the rest, until the node has stopped
    this.#queue.push({ bytes: this.#holder.feed(bytes), credit: bytes.length });
    this.#give();
  }

  /** `last` stands before [DONE]; without it the stream ends with `problem`, and without [DONE]. */
  end(last: string | undefined, problem: string): void {
    const tail = last === undefined ? utf8ToBytes(problem) : concatBytes(utf8ToBytes(last), this.#holder.take());
    this.#queue.push({ bytes: tail, credit: 0 });
    this.#ended = true;
    this.#give();
  }

  fail(reason: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#controller?.error(reason);
  }

  #give(): void {
    while (this.#wanted && !this.#over) {
      const next = this.#queue.shift();
      if (!next) break;
      if (next.bytes.length > 0) {
        this.#wanted = false;
        this.#controller?.enqueue(next.bytes);
      }
      if (next.credit > 0) this.#consumed(next.credit);
    }
    if (this.#ended && this.#queue.length === 0 && !this.#over) {
      this.#over = true;
      this.#controller?.close();
    }
  }
}

