/** A process ends when it is told to, also while native code holds a thread of it that nothing can interrupt. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { Finished } from '../support/commands.ts';
import { ServedDir } from '../support/served.ts';

const NATIVE = fileURLToPath(new URL('../fixtures/agents/native.ts', import.meta.url));

/** Agents of one thread each, on a host that gives a thread up soon. */
function served(...names: readonly string[]): ServedDir {
  const agents = names.map((name) => [name, { use: NATIVE, isolation: 'dedicated' }] as const);
  return new ServedDir({
    agents: Object.fromEntries(agents),
    ...(names[0] === undefined ? {} : { defaultAgent: names[0] }),
    workers: { threads: 1, killAfterMs: 2_000 },
  });
}

/** Has an agent's thread open a pipe that nobody ever writes to; resolves when it has been given up. */
async function hold(host: ServedDir, agent: string): Promise<number> {
  const pipe = host.path(`${agent}.pipe`);
  execFileSync('mkfifo', [pipe]);
  const answer = await host.ask({ message: pipe, id: agent, namespace: agent, agent });
  return answer.status;
}

async function ended(host: ServedDir): Promise<Pick<Finished, 'code' | 'signal'>> {
  const { code, signal } = await host.process.finished;
  return { code, signal };
}

describe('native code that holds a thread', () => {
  test('signal - the process drains and exits with 0', async () => {
    await using host = served('one');
    await host.start();
    expect(await hold(host, 'one')).toBe(502);
    // Of the thread in its place, whose start a stop may not wait for.
    expect(await host.ask({ message: 'hello', id: 'after' })).toMatchObject({ status: 200 });
    host.process.child.kill('SIGTERM');
    expect(await ended(host)).toEqual({ code: 0, signal: null });
    // As after any end in order.
    expect(existsSync(host.path('data/supervisor.json'))).toBe(false);
  });

  test('second signal - the process exits with 1 at once, and leaves a data directory that the next one takes', async () => {
    await using host = served('one');
    await host.start();
    expect(await hold(host, 'one')).toBe(502);
    host.process.child.kill('SIGTERM');
    host.process.child.kill('SIGINT');
    expect(await ended(host)).toEqual({ code: 1, signal: null });
    expect(existsSync(host.path('data/supervisor.json'))).toBe(false);
    await host.start();
    await host.stop();
  });

  test('three threads - the process ends with 1, to be started anew', async () => {
    await using host = served('one', 'two', 'three');
    await host.start();
    const held = ['one', 'two', 'three'].map((agent) => hold(host, agent));
    expect(await Promise.all(held)).toEqual([502, 502, 502]);
    expect(await ended(host)).toEqual({ code: 1, signal: null });
  });
});
