/**
 * Owns which commits share a transaction: those of turns that end in one moment, that is before the microtasks which are
 * queued when the first of them commits have run. Turns that came in one call and wait for nothing end so, all in step.
 */
import type { Reply } from '../../protocol/index.ts';
import type { Commit } from './store.ts';

/** Commits of one transaction: while it runs, no other thread can write. */
export const MAX_GROUP = 128;

interface Waiting {
  readonly commit: Commit;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;
}

export class GroupCommit {
  readonly #commitAll: (commits: readonly Commit[]) => readonly (Reply | Error)[];
  #waiting: Waiting[] = [];

  /** `commitAll` commits all in one transaction and answers for each, or throws for all of them. */
  constructor(commitAll: (commits: readonly Commit[]) => readonly (Reply | Error)[]) {
    this.#commitAll = commitAll;
  }

  add(commit: Commit): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ commit, resolve, reject });
      if (this.#waiting.length === 1) queueMicrotask(() => this.flush());
    });
  }

  /** Commits what waits, now. */
  flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let at = 0; at < waiting.length; at += MAX_GROUP) this.#settle(waiting.slice(at, at + MAX_GROUP));
  }

  #settle(group: readonly Waiting[]): void {
    try {
      const answers = this.#commitAll(group.map(({ commit }) => commit));
      for (const [i, { resolve, reject }] of group.entries()) {
        const answer = answers[i];
        if (answer === undefined || answer instanceof Error) reject(answer);
        else resolve(answer);
      }
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }
}
