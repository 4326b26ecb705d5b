/** Takes threads and whole processes down under conversations, which go on where they were. */
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { SqliteSessionStore } from '../../src/worker/sessions/sqlite.ts';
import { type Running, run, start } from '../support/commands.ts';
import { type RawAnswer, post, raw } from '../support/gateway.ts';
import { SOON_KILLED, type HostUnderTest, actor, eventually, fixture, startHost } from '../support/host.ts';
import { fill, ownerOf } from '../support/sessions.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

const PAGE_BYTES = 4_096;

function generations(host: HostUnderTest): readonly number[] {
  return host.status.slots.map(({ state }) => state.generation);
}

async function history(host: HostUnderTest, session: string): Promise<readonly string[]> {
  return (await host.supervisor.sessions.read('actor', `test:${session}`)).map(({ content }) => content);
}

describe('a thread that dies', () => {
  test.each(['exit 3', 'throw', 'spin'])(
    'sessions - the conversations on it go on where they were, the neighbour agent’s too, after %s',
    async (end) => {
      await using host = await startHost({
        agents: { actor: actor(), other: actor() },
        workers: { threads: 1, ...(end === 'spin' ? SOON_KILLED : {}) },
        delivery: { maxAttempts: 1 },
      });
      await host.ask('actor', 'say one');
      await host.ask('other', 'say neighbour');
      const [before = 0] = generations(host);
      expect(await host.outcome('actor', end)).toHaveProperty('code');
      expect(await host.ask('actor', 'say two')).toBe('two 1');
      expect(generations(host)).toEqual([before + 1]);
      // The turn that took the thread down left nothing.
      expect(await history(host, 'alice')).toEqual(['say one', 'one 1', 'say two', 'two 1']);
      expect(await host.ask('other', 'history')).toBe('["say neighbour","neighbour 1"]');
    },
  );

  test('sessions - in memory they end with their thread', async () => {
    await using host = await startHost({
      agents: { actor: actor() },
      sessions: { store: 'memory' },
      delivery: { maxAttempts: 1 },
    });
    await host.ask('actor', 'say one');
    await host.outcome('actor', 'exit 3');
    expect(await host.ask('actor', 'history')).toBe('[]');
  });

  test('sessions - when a replica is given up, the other one takes its conversations over', async () => {
    await using host = await startHost({
      agents: { actor: actor({ replicas: 2, isolation: 'dedicated' }) },
      restarts: { maxRestarts: 0 },
      delivery: { maxAttempts: 1 },
    });
    const sessions = Array.from({ length: 16 }, (_, i) => `s${i}`);
    for (const session of sessions) await host.ask('actor', `say ${session}`, session);
    expect(await host.outcome('actor', 'exit 3', 's0')).toHaveProperty('code');
    const states = (): readonly string[] =>
      host.status.agents.flatMap(({ replicas }) => replicas.map(({ state }) => state.status));
    await eventually('one replica is given up', () => states().includes('escalated'));
    for (const session of sessions) {
      expect(JSON.parse(await host.ask('actor', 'history', session))).toEqual([`say ${session}`, `${session} 1`]);
    }
  });
});

describe('a process that is killed', () => {
  interface Served {
    readonly running: Running;
    readonly url: string;
  }

  async function serve(directory: TemporaryDirectory): Promise<Served> {
    const running = start(['serve'], { cwd: directory.path });
    await running.until('the supervisor runs');
    const { stdout } = await run(['status', '--json'], { cwd: directory.path });
    const { channels } = JSON.parse(stdout) as { readonly channels: readonly { readonly url: string }[] };
    return { running, url: channels[0]?.url ?? '' };
  }

  async function kill({ child }: Running): Promise<void> {
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  function chat(url: string, message: string, o: object = {}): Promise<RawAnswer> {
    return post(`${url}/api/chat`, { message, namespace: 'alice', ...o });
  }

  function project(): TemporaryDirectory {
    const directory = temporaryDirectory();
    const agents = { actor: { use: fixture('actor') } };
    const channels = { web: { type: 'gateway', port: 0 } };
    directory.write('orrery.config.json', JSON.stringify({ agents, channels, workers: { threads: 2 } }));
    return directory;
  }

  test('sessions - a conversation goes on in the next process, and the turn that was cut off left nothing', async () => {
    using directory = project();
    const gate = join(directory.path, 'gate');
    const log = join(directory.path, 'log');
    const first = await serve(directory);
    await using _first = first.running;
    await chat(first.url, 'say one');
    await chat(first.url, 'say two');
    const cut = chat(first.url, 'hold', { metadata: { gate, log } }).catch(() => undefined);
    await eventually('the turn holds', () => existsSync(log));
    await kill(first.running);
    await cut;

    const second = await serve(directory);
    await using _second = second.running;
    const said = ['say one', 'one 1', 'say two', 'two 1'];
    const read = await raw(`${second.url}/api/sessions/alice`);
    expect(read.json['messages']).toMatchObject(said.map((content) => ({ content })));
    // The next process runs it, and what comes stands behind it.
    writeFileSync(gate, '');
    const ran = [...said, 'hold', 'held 1'];
    expect((await chat(second.url, 'history')).json['message']).toBe(JSON.stringify(ran));
    await kill(second.running);

    const third = await serve(directory);
    await using _third = third.running;
    expect(JSON.parse((await chat(third.url, 'history')).json['message'] ?? '')).toHaveLength(8);
  });

  test('sessions - a file that is no database is told at the start, with the exit code of a configuration', async () => {
    using directory = project();
    mkdirSync(join(directory.path, '.orrery'));
    writeFileSync(join(directory.path, '.orrery', 'sessions.db'), 'not a database'.repeat(1_000));
    const { code, stderr } = await run(['serve'], { cwd: directory.path });
    expect(code).toBe(2);
    expect(stderr).toMatch(/orrery: The session database \S+sessions\.db is damaged, or is no SQLite database/);
  });

  test('sessions - a file that is damaged behind its first page ends the start the same way, and not in restarts', async () => {
    using directory = project();
    const file = join(directory.path, '.orrery', 'sessions.db');
    spoil(file, 2);
    const { code, stderr } = await run(['serve'], { cwd: directory.path });
    expect(code).toBe(2);
    expect(stderr).toMatch(/orrery: The session database \S+sessions\.db is damaged, or is no SQLite database/);
    expect(stderr).toContain('move the file away with its -wal and -shm');
    expect(stderr).not.toContain('ORRERY_INTERNAL');
  });
});

describe('damage that is met while the host runs', () => {
  test('sessions - each sender that meets it is told, the log once for each, and the thread lives', async () => {
    const lines: unknown[] = [];
    const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
    await using host = await startHost({ agents: { actor: actor() } }, { start: false, log });
    spoil(join(host.dir.path, 'sessions.db'), 'commits');
    await host.supervisor.start();
    const before = generations(host);
    for (const session of ['alice', 'bob']) {
      const outcome = await host.outcome('actor', 'say one', session);
      expect(outcome).toMatchObject({
        code: 'ORRERY_DATABASE_UNUSABLE',
        error: {
          message: expect.stringMatching(/sessions\.db is damaged/),
          hint: expect.stringContaining('move the file'),
        },
      });
    }
    expect(generations(host)).toEqual(before);
    expect(host.status.agents[0]?.replicas.map(({ state }) => state.status)).toEqual(['idle']);
    const told = lines.filter((line) => JSON.stringify(line).includes('ORRERY_DATABASE_UNUSABLE'));
    expect(told).toMatchObject([{ session: 'test:alice' }, { session: 'test:bob' }]);
    expect(JSON.stringify(lines)).not.toContain('ORRERY_INTERNAL');
  });
});

/** Makes a session database with noise in place of all pages from one on, or of one table's root. */
function spoil(file: string, where: number | string): void {
  const store = new SqliteSessionStore({ file });
  fill(store, ownerOf(store, 'actor'), ['one']);
  store.close();
  const root = typeof where === 'number' ? where : rootOf(file, where);
  const bytes = readFileSync(file);
  const from = (root - 1) * PAGE_BYTES;
  writeFileSync(file, bytes.fill(0xa5, from, typeof where === 'number' ? bytes.length : from + PAGE_BYTES));
}

function rootOf(file: string, table: string): number {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    return Number(database.prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?').get(table)?.['rootpage']);
  } finally {
    database.close();
  }
}
