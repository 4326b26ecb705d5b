/** Owns the counting of replies whose provider does not: exact (o200k_base), in a thread of its own that starts with the first of them. */
import { TokenPool } from '../../tokens/index.ts';

/** Replies that may wait to be counted; more stay uncounted, so that a long run holds no more than these. */
const MOST = 1_000;

export class ReplyCounter implements AsyncDisposable {
  #pool: TokenPool | undefined;
  #waiting = 0;

  /** Resolves to undefined when too many wait. */
  async count(text: string): Promise<number | undefined> {
    if (text === '') return 0;
    if (this.#waiting >= MOST) return undefined;
    this.#pool ??= new TokenPool({ threads: 1 });
    this.#waiting += 1;
    try {
      const { total } = await this.#pool.count([text]);
      return total;
    } finally {
      this.#waiting -= 1;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool?.close();
  }
}
