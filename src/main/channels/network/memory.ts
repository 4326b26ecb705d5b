/**
 * Owns what a network channel remembers beyond one connection, so that a restart loses and repeats nothing: how far each room was
 * read, what was posted of each reply, and what came while nothing was taken in. All of it is bounded. It reads no file.
 */
import type { NetworkMessage } from './message.ts';

/** Rooms whose place is remembered; the one that was silent longest is forgotten first. */
export const MAX_ROOMS = 5000;
/** Replies of which it is remembered what was posted. */
export const MAX_REPLIES = 1000;
/** Messages that wait for the next connection, and for how many milliseconds: an answer that is later surprises more than none. */
export const MAX_PARKED = 1000;
export const PARKED_MS = 120_000;

/** How far a room was read. */
export interface Mark {
  /** Id of the last message that was dealt with. */
  readonly last: string;
  readonly isDm: boolean;
}

/** One message of a reply, as it stands on the network. */
export interface PostedPart {
  readonly id: string;
  text: string;
}

interface Parked {
  readonly message: NetworkMessage;
  readonly at: number;
}

export class ChannelMemory {
  readonly #marks: Map<string, Mark>;
  readonly #posted = new Map<string, PostedPart[]>();
  #parked: Parked[] = [];
  readonly #changed: (isNew: boolean) => void;
  readonly #flushed: () => Promise<void>;

  /** `changed` hears that `marks()` gives something else, and whether that is a room more; `flushed` resolves when it is kept. */
  constructor(
    marks: Iterable<readonly [string, Mark]> = [],
    changed: (isNew: boolean) => void = () => undefined,
    flushed: () => Promise<void> = () => Promise.resolve(),
  ) {
    this.#marks = new Map(marks);
    this.#changed = changed;
    this.#flushed = flushed;
  }

  mark(room: string): Mark | undefined {
    return this.#marks.get(room);
  }

  marks(): readonly (readonly [room: string, mark: Mark])[] {
    return [...this.#marks];
  }

  setMark(room: string, mark: Mark): void {
    const isNew = !this.#marks.delete(room);
    this.#marks.set(room, mark);
    if (this.#marks.size > MAX_ROOMS) dropFirst(this.#marks);
    this.#changed(isNew);
  }

  /** The messages of a reply that stand on the network by now; the caller adds to the list. */
  posted(key: string): PostedPart[] {
    const parts = this.#posted.get(key) ?? [];
    this.#posted.delete(key);
    this.#posted.set(key, parts);
    if (this.#posted.size > MAX_REPLIES) dropFirst(this.#posted);
    return parts;
  }

  /** Tells whether anything of a reply was posted or about to be. */
  knows(key: string): boolean {
    return this.#posted.has(key);
  }

  hasPosted(key: string): boolean {
    return (this.#posted.get(key)?.length ?? 0) > 0;
  }

  /** Keeps a message for the next connection; false when there is no room for it. */
  park(message: NetworkMessage, now: number): boolean {
    if (this.#parked.length >= MAX_PARKED) return false;
    this.#parked.push({ message, at: now });
    return true;
  }

  /** Gives back what was parked and is not too old. */
  takeParked(now: number): readonly NetworkMessage[] {
    const parked = this.#parked;
    this.#parked = [];
    return parked.filter(({ at }) => now - at <= PARKED_MS).map(({ message }) => message);
  }

  /** Resolves when all marks are kept. Never rejects. */
  flush(): Promise<void> {
    return this.#flushed();
  }
}

function dropFirst(map: Map<string, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}
