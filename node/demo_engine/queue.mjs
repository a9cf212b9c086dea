// One runs, a bounded number waits, the rest is refused.

export class BoundedQueue {
  constructor(waiting_max) {
    this.waiting_max_ = waiting_max;
    this.waiting_ = [];
    this.running_ = false;
  }

  get running_count() {
    return this.running_ ? 1 : 0;
  }

  get waiting_count() {
    return this.waiting_.length;
  }

  get full() {
    return this.running_ && this.waiting_.length >= this.waiting_max_;
  }

  /** Resolves to true when it is the caller's turn (call release() after), to false when aborted before. */
  acquire(signal) {
    if (signal.aborted) return Promise.resolve(false);
    if (!this.running_) {
      this.running_ = true;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const entry = { start: () => resolve(true) };
      this.waiting_.push(entry);
      signal.addEventListener("abort", () => {
        const index = this.waiting_.indexOf(entry);
        if (index >= 0) this.waiting_.splice(index, 1);
        resolve(false);  // no effect when its turn came first
      }, { once: true });
    });
  }

  release() {
    const next = this.waiting_.shift();
    if (next) next.start();
    else this.running_ = false;
  }
}
