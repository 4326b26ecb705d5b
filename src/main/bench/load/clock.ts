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

/** A timer takes whole milliseconds. Turning the loop until the last of them is over would take the cores from what is measured. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, Math.ceil(ms));
    signal.addEventListener('abort', done);
  });
}
