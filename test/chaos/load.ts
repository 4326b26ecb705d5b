/**
 * Owns the clients' side of a run: lanes that take one session after another and send its messages as a correct client does: the
 * same id again when a connection was lost, later when it was refused, and in order over each connection.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Client, Result } from './client.ts';
import type { Ledger } from './ledger.ts';
import type { PlannedMessage, PlannedSession, Way } from './plan.ts';

export interface LoadOptions {
  readonly sessions: Iterable<PlannedSession>;
  readonly lanes: number;
  readonly ledger: Ledger;
  /** A client for a lane that needs its first one of a way; those of a way may be one. */
  client(way: Way): Client;
}

/** How long a client waits before it asks again, in milliseconds; and one that lost its connection. */
const REFUSED_MS = 100;
const LOST_MS = 5;
const IN_FLIGHT_MS = 40;
/** Asked again so many times without an outcome, a message is given up as lost. */
const MAX_ASKS = 2_000;

/** Codes of a message that was accepted and is not decided: its sender asks again. */
const ASK_AGAIN: ReadonlySet<string> = new Set([
  'ORRERY_DUPLICATE_IN_FLIGHT',
  'ORRERY_CHANNEL_CLOSED',
  'ORRERY_INTERRUPTED',
]);

/** How many messages may be begun: a phase of the run adds its share. */
export class Budget {
  #left = 0;
  #waiting: (() => void)[] = [];

  add(count: number): void {
    this.#left += count;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  async take(): Promise<void> {
    while (this.#left < 1) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
    this.#left -= 1;
  }
}

export class Load {
  readonly #options: LoadOptions;
  readonly budget: Budget = new Budget();
  #isDone = false;

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  /** True once {@link run} has resolved. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** Resolves when every message has an outcome, or was given up. */
  async run(): Promise<void> {
    const sessions = this.#options.sessions[Symbol.iterator]();
    await Promise.all(Array.from({ length: this.#options.lanes }, () => this.#lane(sessions)));
    this.#isDone = true;
  }

  async #lane(sessions: Iterator<PlannedSession>): Promise<void> {
    const clients = new Map<Way, Client>();
    for (let next = sessions.next(); next.done !== true; next = sessions.next()) {
      const { way } = next.value;
      const client = clients.get(way) ?? this.#options.client(way);
      clients.set(way, client);
      await new SessionRun(next.value, client, this.#options.ledger, this.budget).run();
    }
  }
}

/** One session's messages on their way. */
class SessionRun {
  readonly #session: PlannedSession;
  readonly #client: Client;
  readonly #ledger: Ledger;
  readonly #budget: Budget;
  /** By the place of a message without an outcome: the connection that it was last sent over. */
  readonly #underWay = new Map<number, number>();
  #changed = Promise.withResolvers<void>();

  constructor(session: PlannedSession, client: Client, ledger: Ledger, budget: Budget) {
    this.#session = session;
    this.#client = client;
    this.#ledger = ledger;
    this.#budget = budget;
  }

  async run(): Promise<void> {
    const { messages, window } = this.#session;
    const running = new Set<Promise<void>>();
    for (const [place, message] of messages.entries()) {
      await this.#budget.take();
      this.#underWay.set(place, 0);
      const one: Promise<void> = this.#deliver(place, message).finally(() => {
        this.#underWay.delete(place);
        this.#change();
        running.delete(one);
      });
      running.add(one);
      if (running.size >= window) await Promise.race(running);
    }
    await Promise.all(running);
  }

  async #deliver(place: number, message: PlannedMessage): Promise<void> {
    const { id } = message;
    let died = false;
    for (let asks = 0; asks < MAX_ASKS; asks++) {
      const { result } = await this.#inTurn(place, (connection) => {
        this.#ledger.sent(this.#session, message, connection);
        return { result: this.#client.ask(this.#session, message) };
      });
      const heard = await result;
      switch (heard.kind) {
        case 'answered':
          if (!this.#isNetwork) this.#ledger.answered(id, heard.text, heard.namespace);
          else if (!this.#ledger.outcomeOf(id)) this.#ledger.answered(id, heard.text, heard.namespace);
          return;
        case 'failed':
          if (ASK_AGAIN.has(heard.code)) {
            this.#ledger.inFlight(id);
            await delay(IN_FLIGHT_MS);
            break;
          }
          this.#ledger.died(id, heard.code);
          // Once more: its end is known under its id.
          if (died) return;
          died = true;
          break;
        case 'refused':
          this.#ledger.refused(id, heard.code);
          if (isMistake(heard)) return;
          await delay(REFUSED_MS);
          break;
        case 'lost':
          this.#ledger.connectionLost(id, heard.why);
          // The network may have brought its answer meanwhile.
          if (this.#ledger.outcomeOf(id)?.status === 'answered') return;
          // Race: a host may be found gone before its end is told of, and a loop without a rest would keep that from being heard.
          await delay(LOST_MS);
      }
    }
  }

  get #isNetwork(): boolean {
    return this.#session.way === 'keyed' || this.#session.way === 'keyless';
  }

  /** Sends once all earlier ones without an outcome were sent over the connection that is open. */
  async #inTurn<T>(place: number, send: (connection: number) => T): Promise<T> {
    for (;;) {
      const connection = await this.#client.open();
      let isFirst = true;
      for (const [other, over] of this.#underWay) if (other < place && over !== connection) isFirst = false;
      if (isFirst) {
        this.#underWay.set(place, connection);
        const sent = send(connection);
        this.#change();
        return sent;
      }
      await this.#changed.promise;
    }
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** A refusal that no other try mends is a mistake of the run's. */
function isMistake({ code }: Extract<Result, { readonly kind: 'refused' }>): boolean {
  return ['ORRERY_BAD_REQUEST', 'ORRERY_AGENT_UNKNOWN', 'ORRERY_ID_CONFLICT', 'ORRERY_UNSUPPORTED'].includes(code);
}
