/** Runs agents in processes of their own, and takes down now the child, now its supervisor: nothing is lost, nobody is left. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { processStat } from '../../src/main/ops/process-start.ts';
import { start } from '../support/commands.ts';
import { type HostUnderTest, BALANCED, actor, balance, eventually, fixture, startHost } from '../support/host.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const alone = actor({ isolation: 'process' });

function pidOf(host: HostUnderTest, slot: string): number | undefined {
  return host.status.slots.find((s) => s.slot === slot)?.pid;
}

/** A process that has ended and whose parent does not ask about it is gone too. */
function isGone(pid: number): boolean {
  const stat = processStat(pid);
  return stat === undefined || stat.state === 'Z';
}

interface Listed {
  readonly supervisor: { readonly pid: number; readonly start?: string };
  readonly children: readonly { readonly pid: number; readonly start?: string }[];
}

function listOf(dataDir: string): Listed | undefined {
  const file = join(dataDir, 'children.json');
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Listed) : undefined;
}

/** A process that leads a group and waits. */
async function sleeper(): Promise<{ readonly child: ChildProcess; readonly pid: number; readonly start: string }> {
  const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
  await once(child, 'spawn');
  const { pid } = child;
  const stat = pid === undefined ? undefined : processStat(pid);
  if (pid === undefined || !stat) throw new Error('sleep did not start');
  return { child, pid, start: stat.start };
}

describe('an agent in a process of its own', () => {
  test('process - status and list tell it, signals pass it by, and after a stop neither it nor the list is left', async () => {
    await using host = await startHost({ agents: { well: actor(), alone } });
    const pid = pidOf(host, 'alone');
    expect(await host.ask('alone', 'pid')).toBe(String(pid));
    expect(host.status.slots.find(({ slot }) => slot === 'alone')).toMatchObject({ isolation: 'process', pid });
    expect(host.status.agents.find(({ name }) => name === 'alone')).toMatchObject({ isolation: 'process' });
    if (pid === undefined) throw new Error('it has no process');
    expect(listOf(host.dir.path)).toEqual({
      supervisor: { pid: process.pid, start: processStat(process.pid)?.start },
      children: [{ pid, start: processStat(pid)?.start }],
    });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(pid, signal);
    expect(await host.ask('alone', 'pid')).toBe(String(pid));
    expect(await host.supervisor.drain()).toMatchObject({ clean: true });
    expect(isGone(pid)).toBe(true);
    expect(listOf(host.dir.path)).toBeUndefined();
  });

  test('process - a stop awaits stop(ctx) of every agent', async () => {
    using dir = temporaryDirectory();
    process.env['LIFECYCLE_DIR'] = dir.path;
    const lifecycle = { use: fixture('lifecycle'), env: ['LIFECYCLE_DIR'], isolation: 'process', replicas: 2 } as const;
    await using host = await startHost({ agents: { well: actor(), agent: lifecycle } });
    expect(await host.supervisor.drain()).toMatchObject({ clean: true });
    const lines = readFileSync(join(dir.path, 'lifecycle'), 'utf8').trim().split('\n').toSorted();
    expect(lines).toEqual(['agent', 'agent#2'].flatMap((r) => [`start ${r}`, `stop ${r}`, `stopped ${r}`]).toSorted());
  });

  test('process - one that does not stop in its time is killed, with what it had started', async () => {
    await using host = await startHost({
      agents: { well: actor(), alone },
      shutdown: { timeoutMs: 2_000, drainMs: 100, hostMs: 300 },
    });
    const pid = pidOf(host, 'alone') ?? 0;
    void host.outcome('alone', 'program');
    const line = await eventually('it waits for its program', () => host.lines().find((l) => l.startsWith('program')));
    expect(await host.supervisor.drain()).toMatchObject({ clean: false });
    expect(isGone(pid)).toBe(true);
    await eventually('the program is gone', () => isGone(Number(line.split(' ')[1])));
  });

  test('process - a program that an agent had started ends with it, also when the agent dies by itself', async () => {
    await using host = await startHost({ agents: { well: actor(), alone }, delivery: { maxAttempts: 1 } });
    expect(await host.outcome('alone', 'program')).toMatchObject({ code: 'ORRERY_WORKER_UNRESPONSIVE' });
    const line = host.lines().find((l) => l.startsWith('program')) ?? '';
    await eventually('the program is gone', () => isGone(Number(line.split(' ')[1])));
    expect(host.status.zombies).toBe(0);
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('process - what it prints on standard error becomes lines of the log, an abort’s too', async () => {
    const lines: { slot?: string; msg: string; pid?: number }[] = [];
    const log = pino(
      { base: null },
      new Writable({
        write(chunk: Buffer, _, done) {
          lines.push(JSON.parse(chunk.toString()) as (typeof lines)[number]);
          done();
        },
      }),
    );
    await using host = await startHost({ agents: { well: actor(), alone }, delivery: { maxAttempts: 1 } }, { log });
    const pid = pidOf(host, 'alone');
    await host.ask('alone', 'complain {"not":"a line of ours"}');
    const complaint = await eventually('it is logged', () => lines.find(({ msg }) => msg.includes('a line of ours')));
    expect(complaint).toMatchObject({ slot: 'alone', pid, msg: '{"not":"a line of ours"}' });
    expect(await host.outcome('alone', 'abort')).toMatchObject({
      code: 'ORRERY_WORKER_EXITED',
      error: { message: expect.stringContaining('SIGABRT') },
    });
    expect(lines.find(({ msg }) => msg.includes('JavaScript stack trace'))).toMatchObject({ slot: 'alone', pid });
  });

  test('process - tokens are counted on a vocabulary that it loads itself', async () => {
    const counts = { use: fixture('counts') };
    await using host = await startHost({ agents: { counts, alone: { ...counts, isolation: 'process' } } });
    const text = 'How many tokens are these, in a thread and in a process?';
    const [there, here] = await Promise.all([host.ask('alone', text), host.ask('counts', text)]);
    expect(there).toBe(here);
    expect(JSON.parse(there)).toMatchObject({ exact: true, same: true });
  });
});

describe('sessions of processes', () => {
  test('process - conversations go on in the next process; in memory they begin anew', async () => {
    for (const [store, past] of [
      ['sqlite', '["say one","one 1"]'],
      ['memory', '[]'],
    ] as const) {
      await using host = await startHost({
        agents: { well: actor(), alone },
        sessions: { store },
        delivery: { maxAttempts: 1 },
      });
      await host.ask('alone', 'say one');
      expect(await host.outcome('alone', 'abort')).toHaveProperty('code', 'ORRERY_WORKER_EXITED');
      expect(await host.ask('alone', 'history')).toBe(past);
    }
  });

  test('process - processes and threads that commit at once all do, and each session has all of its turns', async () => {
    await using host = await startHost({
      agents: { threads: actor({ replicas: 2 }), processes: actor({ isolation: 'process', replicas: 2 }) },
    });
    const sessions = Array.from({ length: 8 }, (_, i) => `s${i}`);
    const rounds = 25;
    const asked = ['threads', 'processes'].flatMap((agent) =>
      sessions.map(async (session) => {
        for (let i = 0; i < rounds; i++) expect(await host.ask(agent, `say ${i}`, session)).toBe(`${i} 1`);
        return (JSON.parse(await host.ask(agent, 'history', session)) as unknown[]).length;
      }),
    );
    expect(await Promise.all(asked)).toEqual(asked.map(() => 2 * rounds));
    expect(host.status.messages.dead).toBe(0);
  });
});

describe('a child and its supervisor', () => {
  test.each(['spin', 'block', 'hold'])(
    'process - a child that does %s ends when its supervisor is killed, with the program of another one',
    async (act) => {
      using dir = temporaryDirectory();
      const config = {
        agents: { alone, other: alone },
        defaultAgent: 'alone',
        channels: { web: { type: 'gateway', port: 0 } },
        workers: { threads: 1, killAfterMs: 60_000 },
        dataDir: dir.path,
        log: { level: 'info', pretty: false },
      };
      await using serve = start(['serve', '-c', dir.write('orrery.json', JSON.stringify(config))], { cwd: dir.path });
      const output = await serve.until('the supervisor runs');
      const line = output.split('\n').find((text) => text.includes('the supervisor runs')) ?? '';
      const [url = ''] = (JSON.parse(line) as { urls: string[] }).urls;
      const say = (agent: string, message: string): void => {
        const metadata = { log: join(dir.path, 'log'), gate: join(dir.path, 'gate') };
        const body = JSON.stringify({ agent, message, namespace: agent, metadata });
        const headers = { 'content-type': 'application/json' };
        fetch(`${url}/api/chat`, { method: 'POST', headers, body }).catch(() => undefined); // it ends with the supervisor
      };
      say('alone', act);
      say('other', 'program');
      const log = await eventually('both are at it', () => {
        const text = existsSync(join(dir.path, 'log')) ? readFileSync(join(dir.path, 'log'), 'utf8') : '';
        return text.includes(`begin ${act}`) && /^program \d+$/m.test(text) && text;
      });
      const pids = listOf(dir.path)?.children.map(({ pid }) => pid) ?? [];
      expect(pids).toHaveLength(2);
      expect(pids.filter(isGone)).toEqual([]);
      serve.child.kill('SIGKILL');
      const program = Number(/^program (\d+)$/m.exec(log)?.[1]);
      await eventually('all are gone', () => [...pids, program].every(isGone));

      // The list is stale; the next start takes no notice of numbers that are nobody's now.
      await using host = await startHost({ agents: { alone }, dataDir: dir.path });
      expect(await host.ask('alone', 'say back')).toBe('back 1');
      // Beside its own there may be the one in which the message that was cut off is tried.
      const listed = await eventually('the list is that of the slots', () => {
        const numbers = listOf(dir.path)?.children.map(({ pid }) => pid) ?? [];
        const slots = host.status.slots.flatMap(({ pid }) => pid ?? []);
        return numbers.length === slots.length && numbers.every((pid) => slots.includes(pid)) && numbers;
      });
      expect(listed).toContain(pidOf(host, 'alone'));
      expect(listed.filter((pid) => pids.includes(pid))).toEqual([]);
    },
  );

  test('process - a start ends what was left behind, and nobody who has only the number', async () => {
    using dir = temporaryDirectory();
    const [left, unrelated, unknown] = await Promise.all([sleeper(), sleeper(), sleeper()]);
    try {
      const children = [
        { pid: left.pid, start: left.start },
        { pid: unrelated.pid, start: String(Number(unrelated.start) - 1) },
        { pid: unknown.pid },
        { pid: 1, start: processStat(1)?.start },
        'no child',
      ];
      writeFileSync(
        join(dir.path, 'children.json'),
        JSON.stringify({ supervisor: { pid: process.pid, start: '1' }, children }),
      );
      const ended = once(left.child, 'exit');
      await using host = await startHost({ agents: { well: actor() }, dataDir: dir.path });
      expect(await ended).toEqual([null, 'SIGKILL']);
      expect(await host.ask('well', 'say well')).toBe('well 1');
      expect([unrelated, unknown].map(({ pid }) => isGone(pid))).toEqual([false, false]);
      expect(listOf(dir.path)).toBeUndefined();
    } finally {
      for (const { child } of [left, unrelated, unknown]) child.kill('SIGKILL');
    }
  });

  test('process - a start leaves the children of a supervisor that lives alone, and a list that is none', async () => {
    using dir = temporaryDirectory();
    const child = await sleeper();
    try {
      const supervisor = { pid: process.pid, start: processStat(process.pid)?.start };
      const list = JSON.stringify({ supervisor, children: [{ pid: child.pid, start: child.start }] });
      for (const text of [list, '{"children":', '[]', '{"supervisor":{"pid":0},"children":[]}']) {
        writeFileSync(join(dir.path, 'children.json'), text);
        await using host = await startHost({ agents: { well: actor() }, dataDir: dir.path });
        expect(await host.ask('well', 'say well')).toBe('well 1');
      }
      expect(isGone(child.pid)).toBe(false);
    } finally {
      child.child.kill('SIGKILL');
    }
  });
});
