// Cuts a stream of text before the first stop string, wherever the pieces happen to break.

/** How many characters at the end of `text` could be the beginning of `stop`. */
function overlap_count(text, stop) {
  for (let count = Math.min(text.length, stop.length - 1); count > 0; --count) {
    if (stop.startsWith(text.slice(-count))) return count;
  }
  return 0;
}

export class StopMatcher {
  constructor(stops) {
    this.stops_ = stops;
    this.held_ = "";
    this.matched = false;
  }

  /** Returns what may be shown now; holds back an end that may grow into a stop string. */
  push(piece) {
    if (this.matched) return "";
    const text = this.held_ + piece;
    const found = this.stops_.map((stop) => text.indexOf(stop)).filter((index) => index >= 0);
    if (found.length > 0) {
      this.matched = true;
      this.held_ = "";
      return text.slice(0, Math.min(...found));
    }
    const held_count = Math.max(0, ...this.stops_.map((stop) => overlap_count(text, stop)));
    this.held_ = text.slice(text.length - held_count);
    return text.slice(0, text.length - held_count);
  }

  /** The held back end, once no more text comes. */
  finish() {
    const rest = this.held_;
    this.held_ = "";
    return rest;
  }
}
