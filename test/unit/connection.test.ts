import * as fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { backoffDelayMs } from '../../src/lib/backoff.ts';
import {
  Connection,
  type ConnectionOptions,
  DEFAULT_RECONNECT,
  isFatal,
  nextAttempt,
} from '../../src/main/channels/connection.ts';
import { ChannelManager } from '../../src/main/channels/manager.ts';
import { type ConnectionState, OrreryError } from '../../src/protocol/index.ts';
import { ManualClock, MemoryChannel, TestHost, turn } from '../support/channels.ts';

const down = (): Promise<void> => Promise.reject(new Error('network is down'));
const rejectedWithNothing = (): Promise<void> => new Promise((_, reject: () => void) => reject());
const never = (): Promise<void> => new Promise(() => undefined);

function connect(
  channel: MemoryChannel,
  over: Partial<ConnectionOptions> = {},
): {
  connection: Connection;
  clock: ManualClock;
  states: ConnectionState[];
} {
  const clock = new ManualClock();
  const states: ConnectionState[] = [];
  const connection = new Connection(channel, {
    name: 'memory',
    metadata: {},
    log: pino({ enabled: false }),
    clock,
    reconnect: DEFAULT_RECONNECT,
    connectTimeoutMs: 30_000,
    accept: async (message) => ({ status: 'accepted', id: message.id, agent: 'echo' }),
    onState: (state) => states.push(state),
    ...over,
  });
  return { connection, clock, states };
}

describe('reconnecting', () => {
  test('connection - a lost connection is made again at once, and released before that', async () => {
    const channel = new MemoryChannel();
    const { connection, clock, states } = connect(channel);
    await connection.start();
    channel.drop(new Error('connection reset'));
    expect(connection.state).toMatchObject({ status: 'waiting', cause: { message: 'connection reset' } });
    await clock.advance(0);
    expect(connection.state.status).toBe('open');
    expect(channel.events).toEqual(['connect', 'open', 'abort', 'dispose', 'connect', 'open']);
    expect(states.map((s) => s.status)).toEqual(['connecting', 'open', 'waiting', 'connecting', 'open']);
    await connection.close('stopped');
  });

  test('connection - waits longer after every loss in a row, up to the maximum', async () => {
    const channel = new MemoryChannel().onConnect(...Array.from({ length: 10 }, () => down));
    const { connection, clock } = connect(channel);
    const started = connection.start();
    await clock.advance(0);
    await started; // resolved, although nothing is open: the attempt failed in passing
    const delays: number[] = [];
    while (connection.state.status === 'waiting') {
      delays.push(connection.state.retryAt - clock.now());
      await clock.advance(connection.state.retryAt - clock.now());
    }
    // The first retry, after 0 ms, was made by the first `advance`.
    expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    expect(connection.state.status).toBe('open');
    await connection.close('stopped');
  });

  test('connection - a connection that was healthy long enough starts the backoff anew', async () => {
    const channel = new MemoryChannel();
    const { connection, clock } = connect(channel);
    await connection.start();
    const waits: number[] = [];
    for (const healthyMs of [0, 59_999, 60_000, 10, 60_001]) {
      await clock.advance(healthyMs);
      channel.drop();
      expect(connection.state.status).toBe('waiting');
      if (connection.state.status === 'waiting') waits.push(connection.state.retryAt - clock.now());
      await clock.advance(waits.at(-1) ?? 0);
    }
    expect(waits).toEqual([0, 1000, 0, 1000, 0]);
    await connection.close('stopped');
  });

  test('connection - an adapter that does not open in time is aborted and tried again', async () => {
    const channel = new MemoryChannel().onConnect(never);
    const { connection, clock } = connect(channel, { connectTimeoutMs: 500 });
    const started = connection.start();
    await clock.advance(499);
    expect(connection.state.status).toBe('connecting');
    await clock.advance(1);
    await started;
    await clock.advance(0);
    expect(channel.events).toEqual(['connect', 'abort', 'dispose', 'connect', 'open']);
    await connection.close('stopped');
  });

  test('connection - does not connect again while the release of the last session hangs', async () => {
    const release = Promise.withResolvers<void>();
    const channel = new MemoryChannel().onDispose(() => release.promise);
    const { connection, clock } = connect(channel);
    await connection.start();
    channel.drop();
    await clock.advance(10);
    expect(channel.events.at(-1)).toBe('dispose');
    release.resolve();
    await clock.advance(0);
    expect(channel.events.at(-1)).toBe('open');
    await connection.close('stopped');
  });

  test('connection - stop while it waits gives up reconnecting', async () => {
    const channel = new MemoryChannel().onConnect(down, down);
    const { connection, clock } = connect(channel);
    void connection.start();
    await clock.advance(0);
    expect(connection.state.status).toBe('waiting');
    connection.drain(clock.now());
    await connection.close('stopped');
    await clock.advance(120_000);
    expect(channel.events.filter((e) => e === 'connect')).toHaveLength(2);
    expect(clock.timers).toBe(0);
  });

  test.each([new Error('connection reset'), new OrreryError('ORRERY_UNAUTHORIZED', 'token revoked')])(
    'connection - a loss while draining is not mended, and left to the drain: %s',
    async (cause) => {
      const channel = new MemoryChannel();
      const { connection, clock } = connect(channel);
      await connection.start();
      connection.drain(clock.now() + 100);
      channel.drop(cause);
      await clock.advance(0);
      expect([connection.state.status, clock.timers]).toEqual(['draining', 0]);
      await clock.advance(60_000);
      await connection.close('stopped');
      expect(channel.events.filter((e) => e === 'connect')).toHaveLength(1);
    },
  );
});

describe('what ends a connection for good', () => {
  const fatal = [
    new OrreryError('ORRERY_PORT_IN_USE', 'taken'),
    new OrreryError('ORRERY_UNAUTHORIZED', 'wrong token'),
    Object.assign(new Error('disallowed intents'), { retryable: false }),
  ];
  test.each(fatal)('connection - fails and is not tried again when connect rejects with %s', async (reason) => {
    const channel = new MemoryChannel().onConnect(() => Promise.reject(reason));
    const { connection, clock } = connect(channel);
    await expect(connection.start()).rejects.toThrow(reason.message);
    expect(connection.state).toMatchObject({ status: 'closed', reason: 'failed', cause: { message: reason.message } });
    await clock.advance(120_000);
    expect(channel.events.filter((e) => e === 'connect')).toHaveLength(1);
    expect(channel.events.at(-1)).toBe('dispose');
  });

  test('connection - fails when it is lost to an error that no retry mends', async () => {
    const channel = new MemoryChannel();
    const { connection } = connect(channel);
    await connection.start();
    channel.drop(new OrreryError('ORRERY_UNAUTHORIZED', 'token revoked'));
    expect(connection.state).toMatchObject({ status: 'closed', reason: 'failed' });
  });

  test('connection - which errors are fatal', () => {
    expect(isFatal(new OrreryError('ORRERY_PEER_MISSING', 'x'))).toBe(true);
    expect(isFatal({ code: 'ORRERY_CONFIG_INVALID' })).toBe(true);
    expect(isFatal({ retryable: false })).toBe(true);
    expect(isFatal(new OrreryError('ORRERY_CHANNEL_FAILED', 'x'))).toBe(false);
    for (const passing of [new Error('x'), { retryable: true }, { code: 'ECONNREFUSED' }, 'text', null, undefined]) {
      expect(isFatal(passing)).toBe(false);
    }
  });

  test('connection - an adapter that throws instead of rejecting, or rejects with nothing, is tried again', async () => {
    const channel = new MemoryChannel();
    const plain = channel.connect.bind(channel);
    let calls = 0;
    channel.connect = (ctx) => {
      calls += 1;
      if (calls === 1) throw new Error('thrown');
      return calls === 2 ? rejectedWithNothing() : plain(ctx);
    };
    const { connection, clock } = connect(channel);
    const started = connection.start();
    await clock.advance(1000);
    await started;
    expect([calls, connection.state.status]).toEqual([3, 'open']);
    await connection.close('stopped');
  });
});

describe('late events', () => {
  test('connection - what a lost session says later is refused', async () => {
    const channel = new MemoryChannel();
    const { connection, clock } = connect(channel);
    await connection.start();
    const old = await channel.connections.next();
    channel.drop();
    await clock.advance(0);
    expect(connection.state.status).toBe('open');

    old.ctx.closed();
    old.ctx.closed(new Error('a late close'));
    await expect(old.say('through a dead socket')).rejects.toMatchObject({ code: 'ORRERY_CHANNEL_CLOSED' });
    expect(connection.state.status).toBe('open');
    await connection.close('stopped');
  });

  test('connection - a connect that succeeds after it was given up opens nothing', async () => {
    const channel = new MemoryChannel();
    const late = Promise.withResolvers<void>();
    const plain = channel.connect.bind(channel);
    const contexts: (() => void)[] = [];
    channel.connect = (ctx) => {
      contexts.push(() => ctx.closed(new Error('late')));
      return contexts.length === 1 ? late.promise : plain(ctx);
    };
    const { connection, clock, states } = connect(channel, { connectTimeoutMs: 100 });
    void connection.start();
    await clock.advance(100);
    await clock.advance(5000); // the adapter ignores its signal: its release is not waited for longer than this
    expect(connection.state.status).toBe('open');
    late.resolve();
    await turn();
    contexts[0]?.();
    expect(states.map((s) => s.status)).toEqual(['connecting', 'waiting', 'connecting', 'open']);
    await connection.close('stopped');
  });

  test('connection - a connect that succeeds late does not open the session that is being made after it', async () => {
    const channel = new MemoryChannel();
    const late = Promise.withResolvers<void>();
    let calls = 0;
    channel.connect = () => {
      calls += 1;
      return calls === 1 ? late.promise : never();
    };
    const { connection, clock } = connect(channel, { connectTimeoutMs: 10_000 });
    void connection.start();
    await clock.advance(10_000);
    await clock.advance(5000);
    expect([calls, connection.state.status]).toEqual([2, 'connecting']);
    late.resolve();
    await turn();
    expect(connection.state.status).toBe('connecting');
    const closed = connection.close('stopped');
    await clock.advance(5000);
    await closed;
  });

  test('connection - one that ends while it connects is closed, and its opening later changes nothing', async () => {
    const channel = new MemoryChannel();
    const { connection, states } = connect(channel);
    const plain = channel.connect.bind(channel);
    channel.connect = async (ctx) => {
      await plain(ctx);
      ctx.closed();
    };
    await connection.start();
    await turn();
    expect(states.map((s) => s.status)).toEqual(['connecting', 'closed']);
    await connection.close('stopped');
  });

  test('connection - a message that comes before connect resolved is taken in', async () => {
    const opening = Promise.withResolvers<void>();
    const channel = new MemoryChannel().onConnect(() => opening.promise);
    const { connection } = connect(channel);
    const started = connection.start();
    const session = await channel.connections.next();
    expect(await session.say('early bird')).toMatchObject({ status: 'accepted' });
    opening.resolve();
    await started;
    await connection.close('stopped');
  });
});

describe('a start while the network is down', () => {
  test('manager - start resolves when the first attempt failed in passing, and connects later', async () => {
    const clock = new ManualClock();
    const channel = new MemoryChannel().onConnect(down, down);
    const manager = new ChannelManager('echo', { host: new TestHost(), clock });
    await manager.start(channel, { name: 'memory' });
    expect(manager.isConnected()).toBe(false);
    await clock.advance(1000);
    expect(manager.isConnected()).toBe(true);
    await manager.stop();
  });

  test('manager - start does not wait for a network that never answers', async () => {
    const clock = new ManualClock();
    const channel = new MemoryChannel().onConnect(never);
    const manager = new ChannelManager('echo', { host: new TestHost(), clock, startWaitMs: 200 });
    const started = manager.start(channel, { name: 'memory' });
    await clock.advance(200);
    await started;
    expect(manager.state().status).toBe('connecting');
    await clock.advance(30_000);
    expect(manager.isConnected()).toBe(true);
    await manager.stop();
    expect(clock.timers).toBe(0);
  });
});

describe('delays', () => {
  const backoff = fc.record({
    minMs: fc.integer({ min: 1, max: 10_000 }),
    maxMs: fc.integer({ min: 10_000, max: 600_000 }),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  });

  test('backoff - stays between its share without jitter and the maximum for every attempt', () => {
    fc.assert(
      fc.property(backoff, fc.integer({ min: 1, max: 5000 }), fc.double({ min: 0, max: 1, noNaN: true }), (b, n, r) => {
        const delay = backoffDelayMs(n, b, r);
        const full = backoffDelayMs(n, { ...b, jitter: 0 }, 0);
        expect(delay).toBeGreaterThanOrEqual(Math.floor(full * (1 - b.jitter)));
        expect(delay).toBeLessThanOrEqual(full);
        expect(full).toBeGreaterThanOrEqual(Math.min(b.minMs, b.maxMs));
        expect(full).toBeLessThanOrEqual(b.maxMs);
      }),
    );
  });

  test('backoff - doubles up to its maximum', () => {
    const delays = [1, 2, 3, 4, 5, 2000].map((n) => backoffDelayMs(n, { minMs: 10, maxMs: 70, jitter: 0 }, 0));
    expect(delays).toEqual([10, 20, 40, 70, 70, 70]);
    expect(backoffDelayMs(1, { minMs: 100, maxMs: 100, jitter: 0.2 }, 0)).toBe(80);
  });

  test('connection - counts losses in a row, and forgets them after a healthy time', () => {
    expect(nextAttempt(0, 0, DEFAULT_RECONNECT, 1)).toEqual({ failures: 1, delayMs: 0 });
    expect(nextAttempt(1, 59_999, DEFAULT_RECONNECT, 1)).toEqual({ failures: 2, delayMs: 1000 });
    expect(nextAttempt(9, 60_000, DEFAULT_RECONNECT, 1)).toEqual({ failures: 1, delayMs: 0 });
  });
});
