// Counters of the engine as Prometheus text, named as llama-server names its own where it has one.

export class EngineMetrics {
  constructor() {
    this.requests_total = 0;
    this.completed_total = 0;
    this.aborted_total = 0;
    this.refused_total = 0;
    this.prompt_tokens_total = 0;
    this.tokens_predicted_total = 0;
  }

  text(queue) {
    const lines = [];
    const add = (type, name, help, value) => {
      lines.push(`# HELP llamacpp:${name} ${help}`, `# TYPE llamacpp:${name} ${type}`, `llamacpp:${name} ${value}`);
    };
    add("gauge", "requests_processing", "Requests that generate now.", queue.running_count);
    add("gauge", "requests_deferred", "Requests that wait for their turn.", queue.waiting_count);
    add("counter", "requests_total", "Well-formed requests that were admitted.", this.requests_total);
    add("counter", "completed_total", "Requests that were answered in full.", this.completed_total);
    add("counter", "aborted_total", "Requests whose client left, running or waiting.", this.aborted_total);
    add("counter", "refused_total", "Requests refused because the queue was full.", this.refused_total);
    add("counter", "prompt_tokens_total", "Prompt tokens of the requests that ran.", this.prompt_tokens_total);
    add("counter", "tokens_predicted_total", "Tokens of the answers in full.", this.tokens_predicted_total);
    return lines.join("\n") + "\n";
  }
}
