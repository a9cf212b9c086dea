// What the README's example uses of other packages, so that it compiles without their types.
declare module "openai" {
  export default class OpenAI {
    constructor(options: { apiKey: string; fetch: typeof fetch });
    chat: { completions: { create(body: { model: string; messages: { role: "user"; content: string }[]; stream: true }):
      Promise<AsyncIterable<{ choices: { delta?: { content?: string | null } }[] }>> } };
  }
}
declare module "ws" {
  export const WebSocket: typeof globalThis.WebSocket;
}
