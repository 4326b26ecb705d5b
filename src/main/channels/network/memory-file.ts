/** Owns the file in `dataDir` from which a channel's memory is read at start, and to which its marks are written in the background. */
import { readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { ChannelMemory, type Mark } from './memory.ts';

/** Milliseconds in which changes gather; a host that is killed reads so much again, and the journal knows the ids. */
export const WRITE_AFTER_MS = 1000;
/**
 * The same for a room that is new: of one that is not in the file nothing is fetched after a crash, so that it is written at once. Rooms that come
 * together, as those of a guild do, are one write.
 */
const WRITE_NEW_AFTER_MS = 0;

interface Stored {
  readonly type: string;
  readonly rooms: Readonly<Record<string, Mark>>;
}

/** Reads a channel's memory. A file that is missing, unreadable or of another network is as good as none. */
export function openMemory(path: string, type: string, log: Logger): ChannelMemory {
  const file = new MarksFile(path, type, log);
  const memory: ChannelMemory = new ChannelMemory(
    readMarks(path, type),
    (isNew) => file.changed(memory, isNew),
    () => file.flush(),
  );
  return memory;
}

class MarksFile {
  readonly #path: string;
  readonly #type: string;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  /** The write that is due is one of new rooms. */
  #isSoon = false;
  #memory: ChannelMemory | undefined;
  /** Writes run one after another. */
  #writing: Promise<void> = Promise.resolve();

  constructor(path: string, type: string, log: Logger) {
    this.#path = path;
    this.#type = type;
    this.#log = log;
  }

  changed(memory: ChannelMemory, isNew: boolean): void {
    this.#memory = memory;
    if (this.#timer !== undefined && (this.#isSoon || !isNew)) return;
    clearTimeout(this.#timer);
    this.#isSoon = isNew;
    this.#timer = setTimeout(() => void this.flush(), isNew ? WRITE_NEW_AFTER_MS : WRITE_AFTER_MS);
    this.#timer.unref();
  }

  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const memory = this.#memory;
    this.#memory = undefined;
    if (memory !== undefined) this.#writing = this.#writing.then(() => this.#write(memory));
    return this.#writing;
  }

  async #write(memory: ChannelMemory): Promise<void> {
    const stored: Stored = { type: this.#type, rooms: Object.fromEntries(memory.marks()) };
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      // A file that was cut off by a crash would be read as none: the new one takes its place whole.
      await writeFile(`${this.#path}.new`, JSON.stringify(stored), { mode: 0o600 });
      await rename(`${this.#path}.new`, this.#path);
    } catch (error) {
      this.#log.warn({ err: error }, 'how far the rooms were read cannot be kept');
    }
  }
}

function readMarks(path: string, type: string): readonly (readonly [string, Mark])[] {
  try {
    const stored: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return isStored(stored) && stored.type === type
      ? Object.entries(stored.rooms).filter(([, mark]) => isMark(mark))
      : [];
  } catch {
    return [];
  }
}

function isStored(value: unknown): value is Stored {
  return (
    typeof value === 'object' &&
    value !== null &&
    'type' in value &&
    'rooms' in value &&
    typeof value.rooms === 'object' &&
    value.rooms !== null
  );
}

function isMark(value: unknown): value is Mark {
  return (
    typeof value === 'object' &&
    value !== null &&
    'last' in value &&
    typeof value.last === 'string' &&
    'isDm' in value &&
    typeof value.isDm === 'boolean'
  );
}
