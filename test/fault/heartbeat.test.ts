/** Looks at threads that do not come back: in native code, in work that ends, and beside agents that only wait. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { OrreryError } from '../../src/protocol/index.ts';
import { BALANCED, SOON_KILLED, actor, balance, eventually, fixture, startHost } from '../support/host.ts';

/** A pipe whose reader waits in native code until it is disposed. */
function namedPipe(): Disposable & { readonly path: string } {
  const dir = mkdtempSync(join(tmpdir(), 'orrery-pipe-'));
  const path = join(dir, 'pipe');
  execFileSync('mkfifo', [path]);
  return {
    path,
    [Symbol.dispose]() {
      try {
        // Never waits: without a reader it fails, and then there is nobody to let go.
        closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
      } catch {
        // nobody reads
      }
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

describe('the heartbeat of a slot', () => {
  test('heartbeat - a thread that native code holds is counted as a zombie until it ends, and its replacement answers', async () => {
    await using host = await startHost({
      agents: { native: { use: fixture('native'), isolation: 'dedicated' }, well: actor() },
      defaultAgent: 'well',
      workers: SOON_KILLED,
    });
    using pipe = namedPipe();
    expect(await host.outcome('native', pipe.path)).toMatchObject({
      code: 'ORRERY_WORKER_UNRESPONSIVE',
      error: { details: { agent: 'native' } },
    });
    // The old thread still waits.
    expect(await host.outcome('native', 'hello')).toEqual({ text: 'hello' });
    await eventually('it is counted', () => host.status.zombies === 1);
    expect(await host.outcome('well', 'say well')).toEqual({ text: 'well 1' });
    pipe[Symbol.dispose]();
    await eventually('it ended', () => host.status.zombies === 0);
    expect(host.status.state).toBe('running');
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('heartbeat - at three zombies the owner is told that only a new process helps, and the others are still served', async () => {
    const fatal = Promise.withResolvers<OrreryError>();
    const native = { use: fixture('native'), isolation: 'dedicated' } as const;
    await using host = await startHost(
      {
        agents: { one: native, two: native, three: native, well: actor() },
        defaultAgent: 'well',
        workers: SOON_KILLED,
      },
      { onFatal: fatal.resolve },
    );
    using pipes = new DisposableStack();
    const held = ['one', 'two', 'three'].map((agent) => host.outcome(agent, pipes.use(namedPipe()).path, agent));
    for (const outcome of await Promise.all(held))
      expect(outcome).toMatchObject({ code: 'ORRERY_WORKER_UNRESPONSIVE' });
    expect(await fatal.promise).toMatchObject({
      code: 'ORRERY_INTERNAL',
      message: '3 killed threads live on: only a new process gets rid of them',
    });
    expect(host.status.zombies).toBe(3);
    expect(await host.outcome('well', 'say well')).toEqual({ text: 'well 1' });
    pipes.dispose();
    await eventually('they ended', () => host.status.zombies === 0);
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('heartbeat - a slot that is silent for a while is unresponsive, is not killed, and is ready again', async () => {
    await using host = await startHost({ agents: { busy: actor(), free: actor() }, workers: { killAfterMs: 4_000 } });
    const work = host.outcome('busy', 'work 1500');
    await eventually('it is seen', () => host.status.slots[0]?.state.status === 'unresponsive');
    expect(await host.outcome('free', 'say hello')).toEqual({ text: 'hello 1' });
    expect(await work).toEqual({ text: 'worked' });
    await eventually('it is ready', () => host.status.slots[0]?.state.status === 'ready');
    expect(host.status.slots.map(({ restarts, state }) => [restarts, state.generation])).toEqual([
      [0, 1],
      [0, 1],
    ]);
  });
});
