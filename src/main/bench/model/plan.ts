/** Owns what the nth request is to get: which tokens and when, or that it fails. It has no clock, and chance follows from the seed. */
import { randomOf } from '../selection.ts';
import type { ResolvedOptions } from './options.ts';

/** Each of them with a space before it is one token of o200k_base and of cl100k_base, in any order; so the text has as many as there are words. */
const WORDS = (
  'the of and to in is that for on with as by at from this be are it was an or which you not have has but we all can ' +
  'will one more their they its other about time out up if what so some only new when first also any my now such like ' +
  'our over man me even most made after many before must through back years where much your way well down should because ' +
  'each just those people take good year how long day great little own old see work life without during world still'
).split(' ');

/** Of a seed's sequence; a prime apart, so that two seeds next to each other do not share requests. */
const SEED_STEP = 1_000_003;

export interface Planned {
  readonly fails: boolean;
  /** Each is one token. */
  readonly pieces: readonly string[];
  /** When each is due, in milliseconds from the request. */
  readonly due: Float64Array;
  /** Whether the request asked for fewer tokens than there would have been. */
  readonly isCut: boolean;
}

/** Plans the nth request (from 0); `most` is what it asks for at most. */
export function planReply(n: number, most: number | undefined, options: ResolvedOptions): Planned {
  const { seed, tokens, ttftMs, tokensPerSecond, jitter, errorRate } = options;
  const random = randomOf(seed * SEED_STEP + n);
  const fails = random() < errorRate;
  const count = Math.min(tokens, most ?? Infinity);
  const jittered = (ms: number): number => (jitter === 0 ? ms : ms * (1 + jitter * (2 * random() - 1)));
  const pieces: string[] = [];
  const due = new Float64Array(count);
  let at = jittered(ttftMs);
  for (let i = 0; i < count; i++) {
    const word = WORDS[Math.floor(random() * WORDS.length)] ?? 'the';
    pieces.push(i === 0 ? word : ` ${word}`);
    due[i] = at;
    at += jittered(1_000 / tokensPerSecond);
  }
  return { fails, pieces, due, isCut: count < tokens };
}
