/**
 * Owns the judgement of a slot's heartbeat: fresh, silent, or so long silent that it is killed. Pure: the counter and the
 * time are passed in. The worker raises a counter in shared memory; nothing is asked over a channel that a busy loop blocks.
 */

export interface HeartbeatLimits {
  /** How often main looks, in milliseconds. Default 1,000. */
  readonly lookMs: number;
  /** Silence after which the slot is `unresponsive`, in milliseconds. */
  readonly silentAfterMs: number;
  /** Silence after which it is killed, in milliseconds. Default 10,000. */
  readonly killAfterMs: number;
}

export type Judgement = 'fresh' | 'silent' | 'kill' | 'skipped';

export class HeartbeatJudge {
  readonly #limits: HeartbeatLimits;
  #beat = -1;
  #changedAt: number;
  #lookedAt: number;

  constructor(limits: HeartbeatLimits, now: number) {
    this.#limits = limits;
    this.#changedAt = now;
    this.#lookedAt = now;
  }

  /** Judges the counter as seen at `now` (milliseconds of a monotonic clock). */
  look(beat: number, now: number): Judgement {
    const late = now - this.#lookedAt > this.#limits.lookMs * 1.5;
    this.#lookedAt = now;
    if (beat !== this.#beat) {
      this.#beat = beat;
      this.#changedAt = now;
      return 'fresh';
    }
    // When main itself was held up (a suspended machine, a long pause), the silence may be its own: look again first.
    if (late) return 'skipped';
    const silence = now - this.#changedAt;
    if (silence >= this.#limits.killAfterMs) return 'kill';
    return silence >= this.#limits.silentAfterMs ? 'silent' : 'fresh';
  }

  /** Milliseconds since the counter last changed. */
  silenceMs(now: number): number {
    return now - this.#changedAt;
  }
}
