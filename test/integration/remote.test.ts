/** Calls an agent host over a real channel, and lets its thread die under the calls. */
import { once } from 'node:events';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { expose } from 'comlink';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import { exposeEndpoint } from '../../src/lib/comlink.ts';
import { Pool, type Slot, type SlotEnd } from '../../src/main/pool/index.ts';
import { Remote } from '../../src/main/pool/remote.ts';
import { type AgentSpec, OrreryError } from '../../src/protocol/index.ts';
import { eventually } from '../support/host.ts';

const ports: MessagePort[] = [];

afterEach(() => {
  for (const port of ports.splice(0)) port.close();
});

/** A remote whose other side is an object of the test. */
function remoteOf(host: object): Remote {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  expose(host, exposeEndpoint(port2));
  return new Remote(port1);
}

const never = { collect: () => new Promise(() => undefined), history: () => new Promise(() => undefined) };

describe('a remote', () => {
  test('remote - pending calls and later ones reject with the error of the end; the first one counts', async () => {
    const remote = remoteOf(never);
    const pending = [remote.host.collect(), remote.host.history('a', 's')].map((call) => call.catch((e: unknown) => e));
    await eventually('both are under way', () => remote.pending === 2);
    remote.close(new OrreryError('ORRERY_WORKER_EXITED', 'the thread ended'));
    remote.close(new OrreryError('ORRERY_CLOSED', 'too late'));
    const expected = { code: 'ORRERY_WORKER_EXITED', message: 'the thread ended' };
    expect(await Promise.all(pending)).toMatchObject([expected, expected]);
    await expect(remote.host.collect()).rejects.toMatchObject(expected);
    expect(remote.pending).toBe(0);
  });

  test('remote - an answer that was posted before the end and not read yet counts', async () => {
    const { port1, port2 } = new MessageChannel();
    ports.push(port1, port2);
    const remote = new Remote(port1);
    const call = remote.host.history('a', 's');
    const [[key]] = (await once(port2, 'message')) as [[number]];
    port2.postMessage([key, ['said in time']]);
    port2.close();
    remote.drain();
    remote.close(new OrreryError('ORRERY_WORKER_EXITED', 'the thread ended'));
    expect(await call).toEqual(['said in time']);
    // And draining what is closed does no harm.
    remote.drain();
  });

  test('remote - code, hint, details and causes of an error survive the boundary', async () => {
    const cause = Object.assign(new TypeError('deep', { cause: new Error('deepest') }), { code: 'EDEEP' });
    const remote = remoteOf({
      history: () => {
        throw new OrreryError('ORRERY_AGENT_FAILED', 'broken', { cause, hint: 'mend it', details: { agent: 'a' } });
      },
    });
    await expect(remote.host.history('a', 's')).rejects.toMatchObject({
      code: 'ORRERY_AGENT_FAILED',
      hint: 'mend it',
      retryable: false,
      details: { agent: 'a' },
      cause: { name: 'TypeError', message: 'deep', code: 'EDEEP', cause: { message: 'deepest' } },
    });
  });

  test.each([undefined, null, 'text', { toString: null }, new Proxy({}, { get: () => () => 1 })])(
    'remote - anything thrown arrives as an error (%#)',
    async (thrown) => {
      const remote = remoteOf({
        history: () => {
          throw thrown;
        },
      });
      await expect(remote.host.history('a', 's')).rejects.toBeInstanceOf(Error);
    },
  );

  test('remote - an argument that cannot cross fails its own call, and the channel goes on', async () => {
    const remote = remoteOf({ history: () => ['well'], cancel: () => undefined });
    const smuggled: string = Object.assign([], { key: () => 'a function' }) as never;
    const bad = remote.host.history(smuggled, 's').catch((e: unknown) => e);
    const good = remote.host.history('a', 's');
    expect(await bad).toMatchObject({ code: 'ORRERY_UNCLONEABLE', message: expect.stringContaining('history()') });
    expect(await good).toEqual(['well']);
    expect(remote.pending).toBe(0);
  });

  test('remote - a call past its deadline rejects, and its late answer harms nobody', async () => {
    const late = Promise.withResolvers<readonly string[]>();
    const remote = remoteOf({ history: () => late.promise, cancel: () => undefined, collect: never.collect });
    const call = remote.host.history('a', 's').catch((e: unknown) => e);
    const collect = remote.host.collect().catch((e: unknown) => e);
    await eventually('both are under way', () => remote.pending === 2);
    remote.sweep(performance.now() + 5_000);
    expect(remote.pending).toBe(2);
    remote.sweep(performance.now() + 11_000);
    expect(await call).toMatchObject({ code: 'ORRERY_CALL_DEADLINE', message: expect.stringContaining('history()') });
    late.resolve(['late']);
    await remote.host.cancel([], 'cancelled');
    // Outcomes are never given up for coming late.
    expect(remote.pending).toBe(1);
    remote.close(new OrreryError('ORRERY_CLOSED', 'over'));
    await collect;
  });
});

describe('a slot', () => {
  interface Watched {
    readonly pool: Pool;
    readonly slot: Slot;
    readonly ready: number[];
    readonly ends: SlotEnd[];
  }

  function watched(): Watched {
    const ready: number[] = [];
    const ends: SlotEnd[] = [];
    const pool = new Pool({
      threads: 1,
      heartbeatMs: 50,
      turnTimeoutMs: 10_000,
      images: () => ({}),
      workerLog: { level: 'silent', pretty: false },
      log: pino({ enabled: false }),
      env: process.env,
      events: {
        ready: (slot) => ready.push(slot.generation),
        exited: (_, end) => ends.push(end),
        outcomes: () => undefined,
        delta: () => undefined,
        changed: () => undefined,
      },
    });
    const [slot] = pool.shared;
    if (!slot) throw new Error('there is no slot');
    return { pool, slot, ready, ends };
  }

  const echo: AgentSpec = {
    runtime: 'echo',
    agent: 'echo',
    source: { kind: 'builtin', name: 'echo' },
    env: {},
    number: 1,
  };

  test('pool - a killed slot rejects what was under way with the cause, and starts again with a new generation', async () => {
    const { pool, slot, ready, ends } = watched();
    slot.start();
    await eventually('it is ready', () => ready.length === 1);
    expect(await slot.remote.host.startAgents([echo])).toEqual([{ runtime: 'echo', ok: true }]);
    const { remote } = slot;
    const { thread } = slot;
    slot.kill(new OrreryError('ORRERY_WORKER_UNRESPONSIVE', 'killed by a test'));
    await slot.ended;
    expect(ends).toMatchObject([{ exit: 'killed', error: { code: 'ORRERY_WORKER_UNRESPONSIVE' } }]);
    await expect(remote.host.history('echo', 's')).rejects.toMatchObject({ code: 'ORRERY_WORKER_UNRESPONSIVE' });
    if (thread && thread.threadId > 0) await once(thread, 'exit');
    slot.start();
    await eventually('it is ready again', () => ready.length === 2);
    expect(ready).toEqual([1, 2]);
    expect(await slot.remote.host.startAgents([echo])).toEqual([{ runtime: 'echo', ok: true }]);
    await pool.close();
    expect(slot.state).toMatchObject({ status: 'exited' });
  });

  test('pool - a thread that takes longer to come up than a call may take is ready in the end', async () => {
    const { pool, slot, ready } = watched();
    slot.start();
    slot.remote.sweep(performance.now() + 3_600_000);
    await eventually('it is ready', () => ready.length === 1);
    expect(slot.state).toMatchObject({ status: 'ready', generation: 1 });
    await pool.close();
  });

  test('pool - a stop ends the thread by itself, and a stopped slot starts again', async () => {
    const { pool, slot, ready, ends } = watched();
    slot.start();
    await eventually('it is ready', () => ready.length === 1);
    expect(await slot.stop(5_000)).toBe(true);
    expect(ends).toMatchObject([{ exit: 'clean' }]);
    slot.start();
    await eventually('it is ready again', () => ready.length === 2);
    await pool.close();
    // Nothing can be started in a closed pool.
    expect(() => slot.start()).toThrow(expect.objectContaining({ code: 'ORRERY_CLOSED' }));
  });
});
