/**
 * Owns how far each room is read: it hands messages in once and in order, and fetches from the history what was said while nobody listened.
 *
 *   READY          guilds are awaited; private conversations that are known are looked into
 *   GUILD_CREATE   rooms whose newest message is newer than the mark are fetched; meanwhile what comes live waits behind
 *   message        handed in; when it is dealt with for good, the room's mark moves on
 *
 * A message that is not taken (the channel is stopping) freezes its mark: the next connection fetches from there.
 */
import type { Link } from '../network/driver.ts';
import type { NetworkMessage } from '../network/message.ts';
import { isGone } from './errors.ts';
import { type RawMessage, compareIds } from './messages.ts';

/** Messages of one room that are fetched at most; beyond it the newest are left to the live connection. */
export const MAX_MISSED = 1000;
/** Messages of one answer of the history; Discord gives no more. */
const PAGE = 100;
/** Private conversations that are looked into after a start, the ones used last. */
const MAX_CONVERSATIONS = 50;
/** Rooms that are followed; of those that nothing waits in, the one seen first is forgotten first, and is as new when it is seen again. */
const MAX_ROOMS = 10_000;
/** The mark of a room in which nothing was said yet. */
const NOTHING = '0';

export interface ReaderOptions {
  readonly link: Link;
  /** Reads a message; undefined for one that is none. */
  readonly read: (raw: RawMessage, guildId: string | undefined) => NetworkMessage | undefined;
  /** Gives at most `limit` messages of a room after an id, in any order. */
  readonly history: (room: string, after: string, limit: number) => Promise<readonly RawMessage[]>;
}

interface Room {
  /** Live messages that wait for what was missed; undefined while they are handed in at once. */
  waiting: RawMessage[] | undefined;
  frozen: boolean;
  /** The last message handed in is dealt with. */
  tail: Promise<void>;
}

export class Reader {
  readonly #options: ReaderOptions;
  readonly #rooms = new Map<string, Room>();
  #awaited = new Set<string>();
  /** Messages of guilds that are awaited. */
  #early: RawMessage[] = [];
  #caughtUp = 0;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /** Messages that were fetched because nobody listened when they were said. */
  get caughtUp(): number {
    return this.#caughtUp;
  }

  /** A session began: what was said before it and after the marks is not sent by the gateway. */
  ready(guilds: readonly string[]): void {
    this.#awaited = new Set(guilds);
    const conversations = this.#options.link.memory
      .marks()
      .filter(([, mark]) => mark.isDm)
      .slice(-MAX_CONVERSATIONS);
    for (const [room] of conversations) this.#catchUp(room, undefined);
  }

  /** A guild came in with its rooms and the id of the newest message in each. */
  guild(id: string, rooms: readonly { readonly id: string; readonly last: string | undefined }[]): void {
    const { memory } = this.#options.link;
    for (const { id: room, last = NOTHING } of rooms) {
      const mark = memory.mark(room);
      if (mark === undefined) memory.setMark(room, { last, isDm: false });
      else if (compareIds(mark.last, last) < 0) this.#catchUp(room, id);
    }
    this.#awaited.delete(id);
    const early = this.#early.filter((raw) => raw.guild_id === id);
    this.#early = this.#early.filter((raw) => raw.guild_id !== id);
    for (const raw of early) this.message(raw);
  }

  /** No guild is waited for any longer. */
  settle(): void {
    this.#awaited.clear();
    for (const raw of this.#early.splice(0)) this.message(raw);
  }

  /** A room or a thread was created: all of it is still to come. */
  created(room: string): void {
    const { memory } = this.#options.link;
    if (memory.mark(room) === undefined) memory.setMark(room, { last: NOTHING, isDm: false });
  }

  /** A message came in live. */
  message(raw: RawMessage): void {
    if (raw.guild_id !== undefined && this.#awaited.has(raw.guild_id)) {
      this.#early.push(raw);
      return;
    }
    const room = this.#room(raw.channel_id);
    if (room.waiting) room.waiting.push(raw);
    else this.#hand(room, raw, raw.guild_id);
  }

  #room(id: string): Room {
    const known = this.#rooms.get(id);
    if (known) return known;
    const room: Room = { waiting: undefined, frozen: false, tail: Promise.resolve() };
    this.#rooms.set(id, room);
    if (this.#rooms.size > MAX_ROOMS) this.#forgetOne();
    return room;
  }

  #forgetOne(): void {
    for (const [id, room] of this.#rooms) {
      if (room.waiting || room.frozen) continue;
      this.#rooms.delete(id);
      return;
    }
  }

  #catchUp(id: string, guildId: string | undefined): void {
    const room = this.#room(id);
    if (room.waiting) return;
    room.waiting = [];
    void this.#fetch(id, guildId, room).then((last) => {
      const waiting = room.waiting ?? [];
      room.waiting = undefined;
      // The newest of the history may have come live as well.
      for (const raw of waiting)
        if (last === undefined || compareIds(last, raw.id) < 0) this.#hand(room, raw, raw.guild_id);
    });
  }

  /** Hands in what was missed; resolves to the id of the last of it. Never rejects. */
  async #fetch(id: string, guildId: string | undefined, room: Room): Promise<string | undefined> {
    const { link, history } = this.#options;
    let last = link.memory.mark(id)?.last ?? NOTHING;
    let fetched = 0;
    try {
      for (;;) {
        const page = await history(id, last, PAGE);
        if (link.signal.aborted) return last;
        for (const raw of page.toSorted((a, b) => compareIds(a.id, b.id))) {
          this.#hand(room, raw, guildId);
          last = raw.id;
        }
        fetched += page.length;
        this.#caughtUp += page.length;
        if (page.length < PAGE) return last;
        if (fetched >= MAX_MISSED) {
          link.log.warn(
            { room: id, fetched },
            'a room has more messages than are fetched: those between are passed over',
          );
          return undefined;
        }
      }
    } catch (error) {
      if (isGone(error)) return last;
      // The mark stays where it is, so that the next connection tries again; what was taken in already is known by its id.
      room.frozen = true;
      link.log.warn({ err: error, room: id }, 'what was missed in a room cannot be fetched');
      return last;
    }
  }

  #hand(room: Room, raw: RawMessage, guildId: string | undefined): void {
    const { link, read } = this.#options;
    const message = read(raw, guildId ?? raw.guild_id);
    const taken = message === undefined ? Promise.resolve(true) : link.take(message);
    const isDm = (guildId ?? raw.guild_id) === undefined;
    room.tail = room.tail.then(async () => {
      if (!(await taken)) room.frozen = true;
      const mark = link.memory.mark(raw.channel_id);
      if (room.frozen || (mark && compareIds(raw.id, mark.last) <= 0)) return;
      link.memory.setMark(raw.channel_id, { last: raw.id, isDm });
    });
  }
}
