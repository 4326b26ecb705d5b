/** Ends whole processes by signals while turns are under way, and closes hosts in this process to see that nothing stays. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTick } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { DrainReport, Supervisor } from '../../src/main/api.ts';
import type { OrreryConfig } from '../../src/main/config/input.ts';
import { SqliteJournal } from '../../src/main/delivery/index.ts';
import { HostedAgents } from '../../src/main/wiring/agents.ts';
import { HostedChannels } from '../../src/main/wiring/channels.ts';
import { Recovery } from '../../src/main/wiring/recovery.ts';
import { type Running, start } from '../support/commands.ts';
import { around } from '../chaos/around.ts';
import { BALANCED, SOON_KILLED, actor, balance, eventually, fixture, settled, startHost } from '../support/host.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

const TURNS = 200;

interface Answer {
  readonly status: number;
  readonly body: { readonly message?: string; readonly error?: { readonly code: string } };
}

/** `orrery serve` as a process, with an agent that holds its turns and two that write down their stop. */
class Served implements AsyncDisposable {
  readonly #dir: TemporaryDirectory;
  readonly process: Running;
  readonly url: string;

  private constructor(dir: TemporaryDirectory, process: Running, url: string) {
    this.#dir = dir;
    this.process = process;
    this.url = url;
  }

  static async open(timeoutMs: number): Promise<Served> {
    const dir = temporaryDirectory();
    const lifecycle = { use: fixture('lifecycle'), env: ['LIFECYCLE_DIR'] };
    const config = {
      agents: { first: lifecycle, actor: actor(), second: lifecycle, alone: { ...lifecycle, isolation: 'dedicated' } },
      defaultAgent: 'actor',
      channels: { web: { type: 'gateway', port: 0 } },
      workers: { threads: 1 },
      shutdown: { timeoutMs },
      dataDir: dir.path,
      log: { level: 'info', pretty: false },
    };
    const running = start(['serve', '-c', dir.write('orrery.json', JSON.stringify(config))], {
      env: { LIFECYCLE_DIR: dir.path },
      cwd: dir.path,
    });
    const output = await running.until('the supervisor runs');
    const line = output.split('\n').find((text) => text.includes('the supervisor runs')) ?? '';
    const [url] = (JSON.parse(line) as { urls: string[] }).urls;
    if (url === undefined) throw new Error(`no URL in ${line}`);
    return new Served(dir, running, url);
  }

  /** Sends a turn that waits for the gate. */
  async hold(i: number): Promise<Answer> {
    const response = await fetch(`${this.url}/api/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        message: 'hold held',
        namespace: `s${i}`,
        metadata: { gate: join(this.#dir.path, 'gate'), log: join(this.#dir.path, 'log') },
      }),
    });
    return { status: response.status, body: (await response.json()) as Answer['body'] };
  }

  async holdAll(): Promise<readonly Promise<Answer>[]> {
    const answers = Array.from({ length: TURNS }, (_, i) => this.hold(i));
    for (const answer of answers) answer.catch(() => undefined); // a test that fails before it looks
    await eventually('all turns are under way', () => this.lines('log').length === TURNS);
    return answers;
  }

  openGate(): void {
    writeFileSync(join(this.#dir.path, 'gate'), '');
  }

  lines(name: string): readonly string[] {
    const path = join(this.#dir.path, name);
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
    this.#dir[Symbol.dispose]();
  }
}

/**
 * What is written by agents that stop in reverse order of their start, on their one thread, each stop awaited. Modules are loaded side by side, so that
 * either may have started first.
 */
function stopsAfter(lifecycle: readonly string[]): readonly string[] {
  const started = lifecycle.filter((line) => line.startsWith('start ')).map((line) => line.slice('start '.length));
  return started.toReversed().flatMap((agent) => [`stop ${agent}`, `stopped ${agent}`]);
}

describe('a signal', () => {
  test('shutdown - turns that end within the deadline are answered, agents are stopped in reverse, exit 0', async () => {
    await using served = await Served.open(20_000);
    const answers = await served.holdAll();
    served.process.child.kill('SIGTERM');
    await served.process.until('draining');
    // What comes now is refused, while what was accepted goes on.
    await expect(served.hold(TURNS)).resolves.toMatchObject({
      status: 503,
      body: { error: { code: 'ORRERY_DRAINING' } },
    });
    served.openGate();
    const expected = { status: 200, body: { message: 'held 1' } };
    expect(await Promise.all(answers)).toMatchObject(answers.map(() => expected));
    expect(await served.process.finished).toMatchObject({ code: 0, signal: null });
    const lifecycle = served.lines('lifecycle');
    const [own, shared] = [true, false].map((isAlone) =>
      lifecycle.filter((line) => line.includes('alone') === isAlone),
    );
    expect(own).toEqual(['start alone', 'stop alone', 'stopped alone']);
    expect(shared).toHaveLength(6);
    expect(shared?.slice(2)).toEqual(stopsAfter(shared ?? []));
  });

  test('shutdown - turns beyond the deadline are told so, agents are stopped, exit 1 within the deadline and 2 s', async () => {
    const timeoutMs = 4_000;
    await using served = await Served.open(timeoutMs);
    const answers = await served.holdAll();
    const began = performance.now();
    served.process.child.kill('SIGTERM');
    const expected = { status: 503, body: { error: { code: 'ORRERY_INTERRUPTED' } } };
    expect(await Promise.all(answers)).toMatchObject(answers.map(() => expected));
    expect(await served.process.finished).toMatchObject({ code: 1, signal: null });
    // The one thing that is promised in time.
    expect(performance.now() - began).toBeLessThan(timeoutMs + 2_000);
    const shared = served.lines('lifecycle').filter((line) => !line.includes('alone'));
    expect(shared).toHaveLength(6);
    expect(shared.slice(2)).toEqual(stopsAfter(shared));
  });

  test('shutdown - a second signal ends the process at once', async () => {
    await using served = await Served.open(600_000);
    const answer = served.hold(0).catch((error: unknown) => error);
    await eventually('the turn is under way', () => served.lines('log').length === 1);
    served.process.child.kill('SIGTERM');
    await served.process.until('draining');
    served.process.child.kill('SIGINT');
    // Long before the deadline, or this test ends without it.
    expect(await served.process.finished).toMatchObject({ code: 1, signal: null });
    await answer;
  });
});

/** Puts a method of a class in other words until it is disposed of. */
function replaced(prototype: object, method: string, wrap: (call: () => unknown) => unknown): Disposable {
  const original: unknown = Reflect.get(prototype, method);
  around(prototype, method, wrap);
  return { [Symbol.dispose]: () => Reflect.set(prototype, method, original) };
}

describe('drain and close', () => {
  /** Waits until as much is there as before: handles close on later turns of the loop. */
  async function resourcesSettle(before: Readonly<Record<string, number>>): Promise<void> {
    await eventually('nothing is left', async () => {
      await nextTick();
      const now = count(process.getActiveResourcesInfo());
      return WATCHED.every((type) => (now[type] ?? 0) <= (before[type] ?? 0));
    });
  }

  const WATCHED = ['MessagePort', 'Worker', 'Timeout', 'TCPServerWrap', 'TCPSocketWrap', 'PipeWrap'];

  function count(names: readonly string[]): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
    return counts;
  }

  test('shutdown - no thread, port, timer or socket is left, also after faults', async () => {
    const before = count(process.getActiveResourcesInfo());
    const ends = [(s: Supervisor) => s.drain(), (s: Supervisor) => s.close()];
    for (const end of ends) {
      await using host = await startHost({
        agents: { actor: actor(), other: actor({ isolation: 'dedicated' }) },
        channels: { web: { type: 'gateway', port: 0 } },
        workers: SOON_KILLED,
      });
      expect(process.getActiveResourcesInfo().length).toBeGreaterThan(0);
      await host.outcome('actor', 'exit 3');
      await host.outcome('other', 'spin');
      await Promise.all([host.ask('actor', 'pieces 500'), host.ask('other', 'say hello')]);
      await end(host.supervisor);
      expect(host.status.state).toBe('closed');
    }
    await resourcesSettle(before);
  });

  test('shutdown - a drain answers what was accepted, refuses what comes, and reports it', async () => {
    await using host = await startHost({ agents: { actor: actor() } });
    const held = [1, 2, 3].map((i) => host.outcome('actor', 'hold', `s${i}`));
    const behind = host.outcome('actor', 'say behind', 's1');
    await eventually('they are under way', () => host.lines().length === 3);
    const drained = host.supervisor.drain();
    expect(await host.outcome('actor', 'say late')).toMatchObject({ code: 'ORRERY_DRAINING' });
    host.open();
    expect(await drained).toMatchObject({ clean: true, answered: 4, unfinished: 0 });
    expect(await Promise.all([...held, behind])).toEqual([
      ...held.map(() => ({ text: 'held 1' })),
      { text: 'behind 1' },
    ]);
    expect(balance(host.status)).toEqual(BALANCED);
    expect(await host.supervisor.drain()).toMatchObject({ clean: true, answered: 4 });
  });

  test('shutdown - a message that was in intake when the drain began is answered', async () => {
    await using host = await startHost({ agents: { actor: actor() } });
    const last = host.outcome('actor', 'say last');
    const drained = host.supervisor.drain();
    expect(await last).toEqual({ text: 'last 1' });
    expect(await drained).toMatchObject({ clean: true, answered: 1, unfinished: 0 });
  });

  test.each<[string, Pick<OrreryConfig, 'delivery'>, object]>([
    ['on disk it is left', {}, { pending: 3, dead: 0 }],
    ['in memory it is dead', { delivery: { journal: 'memory' } }, { pending: 0, dead: 3, deadBy: { shutdown: 3 } }],
  ])(
    'shutdown - what does not end in time is told, counted, and the report is not clean - %s',
    async (_, config, end) => {
      await using host = await startHost({ ...config, agents: { actor: actor() }, shutdown: { timeoutMs: 2_500 } });
      const [held, deaf, waiting] = ['hold', 'deaf', 'say behind'].map((text, i) =>
        host.outcome('actor', text, i === 2 ? 's0' : `s${i}`),
      );
      await eventually('they are under way', () => host.lines().length === 2);
      expect(await host.supervisor.drain()).toMatchObject({ clean: false, answered: 0, unfinished: 3 });
      for (const outcome of [held, deaf, waiting]) expect(await outcome).toMatchObject({ code: 'ORRERY_INTERRUPTED' });
      expect(host.status.messages).toMatchObject(end);
      expect(balance(host.status)).toEqual(BALANCED);
    },
  );

  test('shutdown - a thread that spins does not hold the drain beyond its deadline', async () => {
    await using host = await startHost({
      agents: { actor: actor(), other: actor() },
      workers: { killAfterMs: 60_000 },
      shutdown: { timeoutMs: 2_500 },
    });
    const spinning = host.outcome('actor', 'spin');
    await eventually('it spins', () => host.lines().length === 1);
    expect(await host.supervisor.drain()).toMatchObject({ clean: false, unfinished: 1 });
    expect(await spinning).toMatchObject({ code: expect.stringMatching(/^ORRERY_(INTERRUPTED|SHUTDOWN_DEADLINE)$/) });
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('shutdown - a close during the start wins: nothing is opened after it', async () => {
    await using host = await startHost(
      { agents: { actor: actor() }, channels: { web: { type: 'gateway', port: 0 } } },
      { start: false },
    );
    const starting = settled(host.supervisor.start().then(() => 'started'));
    await host.supervisor.close();
    expect(await starting).toMatchObject({ code: 'ORRERY_CLOSED' });
    expect(host.status.state).toBe('closed');
    expect(host.status.channels.map(({ connected }) => connected)).toEqual([false]);
    expect(await host.outcome('actor', 'say late')).toMatchObject({ error: { retryable: expect.any(Boolean) } });
    await expect(host.supervisor.start()).rejects.toMatchObject({ code: 'ORRERY_CLOSED' });
  });

  test.each<{
    readonly what: string;
    readonly part: object;
    readonly method: string;
    readonly when: 'before' | 'after';
  }>([
    { what: 'its journal opens', part: SqliteJournal.prototype, method: 'open', when: 'before' },
    { what: 'its journal has opened', part: SqliteJournal.prototype, method: 'open', when: 'after' },
    { what: 'its agents start', part: HostedAgents.prototype, method: 'start', when: 'before' },
    { what: 'its agents have started', part: HostedAgents.prototype, method: 'start', when: 'after' },
    { what: 'it takes over what was left', part: Recovery.prototype, method: 'recover', when: 'before' },
    { what: 'it has taken over what was left', part: Recovery.prototype, method: 'recover', when: 'after' },
    { what: 'its channels connect', part: HostedChannels.prototype, method: 'start', when: 'before' },
  ])(
    'shutdown - a drain while $what ends the start too, in order, and nothing is left',
    async ({ part, method, when }) => {
      const before = count(process.getActiveResourcesInfo());
      await using host = await startHost(
        {
          agents: { actor: actor(), other: actor({ isolation: 'dedicated' }) },
          channels: { web: { type: 'gateway', port: 0 } },
        },
        { start: false },
      );
      let drained: Promise<DrainReport> | undefined;
      const began = Promise.withResolvers<void>();
      const drain = (): void => {
        drained ??= host.supervisor.drain();
        began.resolve();
      };
      using _ = replaced(part, method, async (call) => {
        const called = call();
        if (when === 'after') await called;
        drain();
        return called;
      });
      const starting = settled(host.supervisor.start().then(() => 'started'));
      await began.promise;
      expect(await drained).toMatchObject({ clean: true, unfinished: 0 });
      const start = await starting;
      expect('code' in start ? start.code : start.text).toMatch(/^(started|ORRERY_CLOSED)$/);
      expect(host.status.state).toBe('closed');
      expect(new Set(host.status.slots.map(({ state }) => state.status))).toEqual(new Set(['exited']));
      expect(host.status.channels.map(({ connected }) => connected)).toEqual([false]);
      await resourcesSettle(before);
    },
  );

  test('shutdown - close is idempotent, and so is disposing of what was never started', async () => {
    await using host = await startHost({ agents: { actor: actor() } }, { start: false });
    await Promise.all([host.supervisor.close(), host.supervisor.close()]);
    await host.supervisor[Symbol.asyncDispose]();
    expect(host.status.state).toBe('closed');
  });
});
