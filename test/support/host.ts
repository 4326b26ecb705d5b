/** Owns supervisors for tests: real threads with short periods, messages, and waiting for a state instead of for a time. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import type { Status, Supervisor } from '../../src/main/api.ts';
import type { AgentConfig, OrreryConfig } from '../../src/main/config/input.ts';
import { createSupervisor } from '../../src/main/supervisor.ts';
import {
  type DeliveredReply,
  type ErrorCode,
  type InboundMessage,
  OrreryError,
  codeOf,
} from '../../src/protocol/index.ts';
import { inbound } from './channels.ts';
import { type TemporaryDirectory, temporaryDirectory } from './temporary.ts';

const FIXTURES = fileURLToPath(new URL('../fixtures/agents/', import.meta.url));

export function fixture(name: string): string {
  return join(FIXTURES, `${name}.ts`);
}

/** The agent that does what its messages say. */
export function actor(rest: AgentConfig = {}): AgentConfig {
  return { use: fixture('actor'), ...rest };
}

/** A generous bound for waits that end at once when all is well. */
const PATIENCE_MS = 30_000;

/** Looks until `read` gives something, and returns that. It is the state that is waited for, not the time. */
export async function eventually<T>(
  what: string,
  read: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const value = await read();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`Waited in vain until ${what}`);
    await delay(5);
  }
}

export type Outcome = { readonly text: string } | { readonly error: OrreryError; readonly code: ErrorCode | undefined };

export interface HostOptions {
  readonly log?: Logger;
  readonly onFatal?: (error: OrreryError) => void;
  /** Default true. */
  readonly start?: boolean;
}

/** A running supervisor with a directory of its own. */
export class HostUnderTest implements AsyncDisposable {
  readonly supervisor: Supervisor;
  readonly dir: TemporaryDirectory;

  constructor(supervisor: Supervisor, dir: TemporaryDirectory) {
    this.supervisor = supervisor;
    this.dir = dir;
  }

  get status(): Status {
    return this.supervisor.status();
  }

  path(name: string): string {
    return join(this.dir.path, name);
  }

  /** Opens the gate of turns that hold. */
  open(name = 'gate'): void {
    writeFileSync(this.path(name), '');
  }

  /** The lines that agents wrote. */
  lines(name = 'log'): readonly string[] {
    try {
      return readFileSync(this.path(name), 'utf8').split('\n').filter(Boolean);
    } catch {
      return [];
    }
  }

  message(agent: string, content: string, over: Partial<InboundMessage> = {}): InboundMessage {
    return inbound({
      channel: 'test',
      namespace: 'test:alice',
      agent,
      message: { role: 'user', content },
      metadata: { gate: this.path('gate'), log: this.path('log') },
      ...over,
    });
  }

  send(agent: string, content: string, over: Partial<InboundMessage> = {}): Promise<DeliveredReply> {
    return this.supervisor.inject(this.message(agent, content, over));
  }

  /** Sends a message in a session of its own name and returns its answer's text; rejects as `inject` does. */
  async ask(agent: string, content: string, session = 'alice'): Promise<string> {
    const reply = await this.send(agent, content, { namespace: `test:${session}` });
    return reply.message.content;
  }

  /** As {@link ask}, but an error is a result: nothing is left unhandled while a test looks elsewhere. */
  outcome(agent: string, content: string, session = 'alice'): Promise<Outcome> {
    return settled(this.ask(agent, content, session));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.supervisor.close();
    this.dir[Symbol.dispose]();
  }
}

export async function settled(promise: Promise<string>): Promise<Outcome> {
  try {
    return { text: await promise };
  } catch (error) {
    if (!(error instanceof OrreryError)) throw error;
    return { error, code: codeOf(error) };
  }
}

/** Has a thread that blocks killed soon. Of tests that wait for that alone: on a machine with much else to do a thread that is well may be silent for as long. */
export const SOON_KILLED: NonNullable<OrreryConfig['workers']> = { killAfterMs: 1_500 };

/** Periods that make a fault show within a second or two; a test's own values come on top. */
export function shortened(config: OrreryConfig): OrreryConfig {
  const { workers, restarts, delivery, shutdown, ...rest } = config;
  return {
    defaultAgent: Object.keys(config.agents)[0] ?? '',
    ...rest,
    workers: { threads: 2, killAfterMs: 20_000, ...workers },
    restarts: { backoffMinMs: 10, backoffMaxMs: 50, jitter: 0, ...restarts },
    delivery: { retryMinMs: 5, retryMaxMs: 20, ...delivery },
    shutdown: { timeoutMs: 10_000, ...shutdown },
  };
}

export async function startHost(config: OrreryConfig, o: HostOptions = {}): Promise<HostUnderTest> {
  const { start = true, ...options } = o;
  const dir = temporaryDirectory();
  const supervisor = await createSupervisor({ dataDir: dir.path, ...shortened(config) }, options);
  const host = new HostUnderTest(supervisor, dir);
  if (start) await host.supervisor.start();
  return host;
}

/** What the two equations of guarantee G9 give: each side must be equal. */
export function balance(status: Status): { readonly received: number; readonly accepted: number } {
  const m = status.messages;
  return {
    received: m.received - m.rejected - m.inIntake - m.accepted,
    accepted: m.accepted + m.recovered + m.replayed - m.answered - m.dead - m.pending,
  };
}

export const BALANCED: ReturnType<typeof balance> = { received: 0, accepted: 0 };

/** Keeps asking one agent, one question after another, until it is stopped; every question must be answered. */
export class Witness {
  readonly #host: HostUnderTest;
  readonly #agent: string;
  readonly #running: Promise<void>;
  #stopped = false;
  answered = 0;

  constructor(host: HostUnderTest, agent: string) {
    this.#host = host;
    this.#agent = agent;
    this.#running = this.#run();
    this.#running.catch(() => undefined); // told by stop()
  }

  /** Ends the questions; rejects when one of them was not answered. */
  async stop(): Promise<number> {
    this.#stopped = true;
    await this.#running;
    return this.answered;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const question = `say ${this.answered}`;
      const answer = await this.#host.ask(this.#agent, question, 'witness');
      if (answer !== `${this.answered} 1`) throw new Error(`The witness asked ${question} and heard ${answer}`);
      this.answered += 1;
      await delay(1);
    }
  }
}
