/** Owns the full-text index of the session database: brings a session's words into it, and looks them up. */
import type { ModelMessage } from 'ai';
import type { Writer } from '../../lib/sqlite.ts';
import { type Term, termsOf, wordsOfMessage } from './search.ts';
import type { Statements } from './statements.ts';
import { DEFAULT_SEARCH_LIMIT, type SessionKey } from './store.ts';

/** Messages indexed in one transaction: other threads wait for it to write. */
const ROWS_AT_ONCE = 512;

export class SessionIndex {
  readonly #sql: Statements;
  readonly #writer: Writer;

  constructor(sql: Statements, writer: Writer) {
    this.#sql = sql;
    this.#writer = writer;
  }

  /** Returns the places of the messages that a query finds: with all of its words first, then with some, newest first. */
  find(
    key: SessionKey,
    query: string,
    { first, next }: { readonly first: number; readonly next: number },
    limit: number = DEFAULT_SEARCH_LIMIT,
  ): readonly number[] {
    const terms = termsOf(query).map(written);
    if (terms.length === 0 || limit <= 0) return [];
    const id = this.#catchUp(key, next);
    if (id === undefined) return [];
    const look = (by: string, count: number): readonly number[] =>
      this.#sql.find.all(id, first, next, terms.join(by), count).map(([place]) => place as number);
    const found = new Set(look(' ', limit));
    if (found.size < limit && terms.length > 1) for (const place of look(' OR ', limit)) found.add(place);
    return [...found].slice(0, limit);
  }

  /** Indexes what was added since the last search; returns the session's id. */
  #catchUp(key: SessionKey, next: number): number | undefined {
    for (;;) {
      const { id, indexed } = this.#state(key);
      if (id === undefined || indexed >= next) return id;
      this.#writer.run(() => this.#step(key, next));
    }
  }

  #step(key: SessionKey, next: number): void {
    // Asked again inside of the transaction: another thread may be indexing the same session, or have cleared it.
    const { id, indexed } = this.#state(key);
    if (id === undefined || indexed >= next) return;
    const rows = this.#sql.bodies.all(id, indexed, next, ROWS_AT_ONCE);
    for (const [place, body] of rows) {
      const words = wordsOfMessage(JSON.parse(body as string) as ModelMessage);
      if (words.length > 0) this.#sql.addWords.run(id, place as number, words.join(' '));
    }
    const last = rows.at(-1)?.[0];
    this.#sql.setIndexed.run(id, last === undefined ? next : (last as number) + 1);
  }

  #state({ agent, namespace }: SessionKey): { readonly id: number | undefined; readonly indexed: number } {
    const [id, indexed] = this.#sql.indexed.get(agent, namespace) ?? [];
    return { id: id as number | undefined, indexed: Number(indexed) };
  }
}

/** Words are letters and digits alone, so that no query can be anything else to the index. */
function written({ words, prefix }: Term): string {
  return `"${words.join(' ')}"${prefix ? '*' : ''}`;
}
