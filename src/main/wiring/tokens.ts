/** Owns the host's token pool: its threads and its vocabulary cost nothing until somebody counts. */
import type { CountResult, CountedMessage, TokenPool } from '../tokens/index.ts';

type CountOptions = { encoding?: string; model?: string; signal?: AbortSignal };

export class LazyTokenPool {
  #pool: Promise<TokenPool> | undefined;

  async count(texts: readonly string[], o: CountOptions): Promise<CountResult> {
    return (await this.#open()).count(texts, o);
  }

  async countMessages(messages: readonly CountedMessage[], o: CountOptions): Promise<CountResult> {
    return (await this.#open()).countMessages(messages, o);
  }

  async close(): Promise<void> {
    const pool = await this.#pool;
    await pool?.close();
  }

  #open(): Promise<TokenPool> {
    this.#pool ??= import('../tokens/index.ts').then(({ TokenPool }) => new TokenPool());
    return this.#pool;
  }
}
