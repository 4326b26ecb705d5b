/** Owns the browser's logins: random ids in memory, bounded and expiring. It knows no tokens and writes no cookies. */
import { hash, randomBytes } from 'node:crypto';

/** What a caller may do; `admin` may also do all that `chat` may. */
export type Role = 'chat' | 'admin';

export interface Login {
  readonly role: Role;
  /** Unix time in milliseconds. */
  readonly expiresAt: number;
}

/** A login lasts this long in milliseconds. */
export const LOGIN_TTL_MS: number = 12 * 60 * 60 * 1000;
/** Logins kept at once; the oldest goes first. */
export const MAX_LOGINS = 1000;

/** Keeps hashes of the ids only, so that neither a heap dump nor the time of a look-up gives one away. */
export class Logins {
  readonly #byHash = new Map<string, Login>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Opens a login and returns its id: 256 random bits. */
  open(role: Role): string {
    const now = this.#now();
    for (const [key, login] of this.#byHash) {
      if (login.expiresAt > now && this.#byHash.size < MAX_LOGINS) break; // in order of age
      this.#byHash.delete(key);
    }
    const id = randomBytes(32).toString('base64url');
    this.#byHash.set(hash('sha256', id), { role, expiresAt: now + LOGIN_TTL_MS });
    return id;
  }

  /** Finds a login that is still valid. */
  find(id: string): Login | undefined {
    const login = this.#byHash.get(hash('sha256', id));
    return login !== undefined && login.expiresAt > this.#now() ? login : undefined;
  }

  close(id: string): void {
    this.#byHash.delete(hash('sha256', id));
  }

  get size(): number {
    return this.#byHash.size;
  }
}
