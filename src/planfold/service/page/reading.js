// Reading again and again what may have changed: never twice at the same time, not more often than
// it can, not while the tab is hidden, and once more when it failed.

import { useEffect } from "./html.js";
import { listen } from "./stream.js";

const AGAIN_MS = 1000; // after a fault that may pass
const SHARE = 9; // a long plan is read less often: at most a tenth of the time goes into it

/** Until the tab is seen. @param {AbortSignal} abort */
function seen(abort) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    const look = () => document.hidden || resolve(undefined);
    document.addEventListener("visibilitychange", look, { signal: abort });
  });
}

export class Reading {
  /** @param {(abort: AbortSignal) => Promise<void>} work @param {number} leastMs between two reads */
  constructor(work, leastMs) {
    this.work = work;
    this.leastMs = leastMs;
    this.pause = 0;
    this.timer = 0;
    this.wanted = false;
    this.abort = new AbortController();
  }

  ask(ms = this.pause) {
    if (this.timer) return void (this.wanted = true);
    this.timer = setTimeout(() => this.run(this.abort.signal), ms);
  }

  /** @param {AbortSignal} abort */
  async run(abort) {
    await seen(abort);
    const began = performance.now();
    this.wanted = false;
    let failed = false;
    try {
      await this.work(abort);
    } catch (fault) {
      failed = !(fault.status >= 400 && fault.status < 500 && fault.status !== 429);
    }
    if (abort.aborted) return;
    this.pause = failed ? AGAIN_MS : Math.max(this.leastMs, SHARE * (performance.now() - began));
    this.timer = 0;
    if (this.wanted || failed) this.ask();
  }

  now() {
    clearTimeout(this.timer);
    this.abort.abort();
    this.abort = new AbortController();
    this.timer = 0;
    this.ask(0);
  }

  end() {
    clearTimeout(this.timer);
    this.timer = -1;
    this.abort.abort();
  }
}

/**
 * Read at first, and again after each event that `counts`.
 * @param {(abort: AbortSignal) => Promise<void>} read @param {any[]} inputs
 * @param {(event: any) => boolean} [counts]
 */
export function useReading(read, inputs, counts = () => true) {
  useEffect(() => {
    const reading = new Reading(read, 250);
    reading.now();
    const stop = listen((event) => counts(event) && reading.ask(), () => reading.now());
    return () => {
      stop();
      reading.end();
    };
  }, inputs);
}
