// One model, one context, one sequence: tokens in, text pieces out.
// Not re-entrant: the caller runs one generate() at a time (see queue.mjs).
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { getLlama, resolveChatWrapper } from "node-llama-cpp";
import { RequestError } from "./openai.mjs";
import { StopMatcher } from "./stop_matcher.mjs";

/** Prompt tokens evaluated between two looks at the abort signal. */
const kPromptStepTokens = 128;
/** Tokens given to the detokenizer as left context, so that spaces between words survive. */
const kDetokenizeContextTokens = 4;
/** A character never needs more byte tokens than this; past it the bytes are not UTF-8 and are shown as they are. */
const kPendingTokensMax = 4;
const kReplacementCharacter = "\uFFFD";

function to_chat_history(messages) {
  const items = messages.map(({ role, text }) => {
    if (role === "assistant") return { type: "model", response: [text] };
    return { type: role === "user" ? "user" : "system", text };
  });
  return [...items, { type: "model", response: [] }];
}

/** Joins tokens into text, keeping back a character whose last bytes have not come yet. */
class TokenDecoder {
  constructor(model, prompt_tokens) {
    this.model_ = model;
    this.context_ = prompt_tokens.slice(-kDetokenizeContextTokens);
    this.pending_ = [];
  }

  push(token) {
    this.pending_.push(token);
    const text = this.text_of_pending();
    if (text.endsWith(kReplacementCharacter) && this.pending_.length < kPendingTokensMax) return "";
    return this.take(text);
  }

  finish() {
    return this.pending_.length > 0 ? this.take(this.text_of_pending()) : "";
  }

  text_of_pending() {
    return this.model_.detokenize(this.pending_, false, this.context_);
  }

  take(text) {
    this.context_ = [...this.context_, ...this.pending_].slice(-kDetokenizeContextTokens);
    this.pending_ = [];
    return text;
  }
}

export class TextGenerator {
  static async load({ model_path, context_tokens_max, threads, slow_ms }) {
    const llama = await getLlama({ gpu: false, build: "never", logLevel: "error", progressLogs: false, maxThreads: threads });
    const model = await llama.loadModel({ modelPath: path.resolve(model_path) });
    const contextSize = Math.min(context_tokens_max, model.trainContextSize);
    const context = await model.createContext({ contextSize, sequences: 1, threads });
    return new TextGenerator({ llama, model, context, slow_ms, model_id: path.basename(model_path, ".gguf") });
  }

  constructor({ llama, model, context, slow_ms, model_id }) {
    this.llama_ = llama;
    this.model_ = model;
    this.sequence_ = context.getSequence();
    this.chat_wrapper_ = resolveChatWrapper(model);
    this.slow_ms_ = slow_ms;
    this.model_id = model_id;
    this.context_tokens = context.contextSize;
    this.fingerprint = `llama.cpp-${llama.llamaCppRelease.release}`;
  }

  dispose() {
    return this.llama_.dispose();
  }

  /** Control tokens come from the template only: the same characters inside a message stay plain text. */
  tokenize_chat(messages) {
    const { contextText } = this.chat_wrapper_.generateContextState({ chatHistory: to_chat_history(messages) });
    return contextText.tokenize(this.model_.tokenizer);
  }

  tokenize_prompt(text) {
    const tokens = this.model_.tokenize(text, false);
    const { bos, shouldPrependBosToken } = this.model_.tokens;
    return shouldPrependBosToken && bos !== null ? [bos, ...tokens] : tokens;
  }

  /** Throws a 400 when the prompt leaves no room for a single token. */
  tokens_for(request) {
    const tokens = request.messages ? this.tokenize_chat(request.messages) : this.tokenize_prompt(request.prompt);
    if (tokens.length === 0) throw new RequestError(400, "the prompt is empty", "invalid_prompt");
    if (tokens.length >= this.context_tokens) {
      const message = `the prompt has ${tokens.length} tokens, but the context holds ${this.context_tokens}`;
      throw new RequestError(400, `${message}: send less`, "context_length_exceeded");
    }
    return tokens;
  }

  async evaluate_prompt(tokens, signal) {
    await this.sequence_.clearHistory();
    for (let begin = 0; begin < tokens.length && !signal.aborted; begin += kPromptStepTokens) {
      await this.sequence_.evaluateWithoutGeneratingNewTokens(tokens.slice(begin, begin + kPromptStepTokens));
    }
  }

  /**
   * Yields { text } pieces, none empty, then one { finish_reason, completion_tokens }.
   * Ends early and without that last item once `signal` is aborted.
   */
  async *generate(prompt_tokens, { sampling, stop, tokens_max }, signal) {
    const decoder = new TokenDecoder(this.model_, prompt_tokens);
    const matcher = new StopMatcher(stop);
    const room = this.context_tokens - prompt_tokens.length;
    const limit = Math.min(tokens_max ?? room, room);
    let completion_tokens = 0;
    let finish_reason = "length";

    await this.evaluate_prompt(prompt_tokens.slice(0, -1), signal);
    if (signal.aborted) return;
    for await (const token of this.sequence_.evaluate(prompt_tokens.slice(-1), { ...sampling, yieldEogToken: true })) {
      if (this.slow_ms_ > 0) await sleep(this.slow_ms_, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      completion_tokens += 1;
      if (this.model_.isEogToken(token)) {
        finish_reason = "stop";
        break;
      }
      const text = matcher.push(decoder.push(token));
      if (text) yield { text };
      if (matcher.matched) {
        finish_reason = "stop";
        break;
      }
      if (completion_tokens >= limit) break;
    }
    const rest = matcher.push(decoder.finish()) + matcher.finish();
    if (rest) yield { text: rest };
    if (matcher.matched) finish_reason = "stop";
    yield { finish_reason, completion_tokens };
  }
}
