/** Owns time as the driver knows it, so that a test can have a time of its own. */

/** What of the driver's world is not the driver's. */
export interface Clock {
  /** Milliseconds since some moment that never changes; never goes back. */
  now(): number;
  /** Resolves once it is that time or later, or the signal aborts, whichever is first. */
  until(time: number, signal: AbortSignal): Promise<void>;
}

export const realClock: Clock = {
  now: () => performance.now(),
  async until(time, signal) {
    for (let left = time - performance.now(); left > 0 && !signal.aborted; left = time - performance.now()) {
      await pause(left, signal);
    }
  },
};

/** A timer fires up to a millisecond early or late; below that, a turn of the loop is the shorter wait. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms < 1) {
    return new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
