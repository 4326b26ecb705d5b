/**
 * Owns the look whether the journal's files are still where they were opened. SQLite goes on in files that were removed or replaced under it, and all that is acked from
 * then on ends with the process: the next start finds another file there, or none.
 */
import { statSync } from 'node:fs';
import { OrreryError } from '../../../protocol/index.ts';

/** Milliseconds between two looks: what is acked in between may be lost. A look costs some microseconds. */
const LOOK_MS = 250;

export class Presence {
  readonly #files: readonly { readonly path: string; readonly identity: string | undefined }[];
  #lookedAt = -Infinity;

  /** To be made when they are open. */
  constructor(paths: readonly string[]) {
    this.#files = paths.map((path) => ({ path, identity: identityOf(path) }));
  }

  /** Looks where it has not for a while. Throws `ORRERY_DATABASE_FAILED`, until the files are back in their places. */
  check(now: number): void {
    if (now - this.#lookedAt < LOOK_MS) return;
    const gone = this.#files.find(({ path, identity }) => identityOf(path) !== identity);
    if (gone) {
      throw new OrreryError(
        'ORRERY_DATABASE_FAILED',
        `${gone.path} was removed or replaced while it was open. Put it back, or restart the host: what is there is used then`,
      );
    }
    this.#lookedAt = now;
  }
}

function identityOf(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat && `${stat.dev}:${stat.ino}`;
}
