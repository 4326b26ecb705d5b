/** Owns how much of a reply's text one reader was sent, so that a slow one costs no memory and misses nothing. It sends nothing. */

/** Bytes that may wait for one reader before further deltas are held back until the reply. */
export const DELTA_HIGH_WATER_BYTES: number = 256 * 1024;

/**
 * Decides for each delta whether it goes out now. Once one was held back all later ones are, or the text would have a hole;
 * what is missing goes out with the reply. Always: what was sent plus the rest is the reply's text, unless it was reset.
 */
export class DeltaTrack {
  #sent = 0;
  #held = false;

  /** Tells whether the delta is to be sent now; it counts as sent when so. */
  offer(text: string, waitingBytes: number): boolean {
    if (this.#held || waitingBytes > DELTA_HIGH_WATER_BYTES) {
      this.#held = true;
      return false;
    }
    this.#sent += text.length;
    return true;
  }

  /** Returns what of the reply's text was not sent; undefined when more was sent than the reply has. */
  rest(full: string): string | undefined {
    return this.#sent > full.length ? undefined : full.slice(this.#sent);
  }

  /** Takes back all that was sent. */
  reset(): void {
    this.#sent = 0;
    this.#held = false;
  }
}
