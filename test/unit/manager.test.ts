import { describe, expect, test } from 'vitest';
import { ChannelManager } from '../../src/main/channels/manager.ts';
import { type ConnectionState, OrreryError } from '../../src/protocol/index.ts';
import { ManualClock, MemoryChannel, TestHost, inbound, replyTo, turn } from '../support/channels.ts';

const SEND = { key: 'k', signal: new AbortController().signal };

function setup(o: { clock?: ManualClock; shutdownTimeoutMs?: number } = {}): {
  host: TestHost;
  manager: ChannelManager;
  states: ConnectionState['status'][];
} {
  const host = new TestHost();
  const states: ConnectionState['status'][] = [];
  const manager = new ChannelManager('echo', { host, ...o, onState: (state) => states.push(state.status) });
  return { host, manager, states };
}

describe('ChannelManager, as its users know it', () => {
  test('manager - starts, answers a message through a channel and stops', async () => {
    const { manager } = setup();
    const channel = new MemoryChannel();
    await manager.start(channel, { name: 'memory' });
    expect(manager.isConnected()).toBe(true);

    const accepted = await channel.say('hello there');
    const sent = await channel.sent.next();
    expect(accepted).toMatchObject({ status: 'accepted', agent: 'echo' });
    expect(sent.reply.message.content).toBe('hello there');
    expect(sent.target.namespace).toBe('memory:alice');

    await manager.stop();
    expect(manager.isConnected()).toBe(false);
    expect(channel.events).toEqual(['connect', 'open', 'shutdown', 'abort', 'dispose']);
  });

  test('manager - state tracks metadata, and keeps it after a stop', async () => {
    const { manager } = setup();
    expect(manager.state()).toEqual({ connected: false, metadata: {}, status: 'idle' });
    const metadata = { team: 'blue' };
    await manager.start(new MemoryChannel(), { name: 'memory', metadata });
    metadata.team = 'changed by the caller';
    expect(manager.state()).toEqual({ connected: true, metadata: { team: 'blue' }, status: 'open' });
    await manager.stop();
    expect(manager.state()).toEqual({ connected: false, metadata: { team: 'blue' }, status: 'closed' });
    await manager.start(new MemoryChannel(), { name: 'memory' });
    expect(manager.state().metadata).toEqual({});
    await manager.stop();
  });

  test('manager - state is a copy: what it said does not change later', async () => {
    const { manager } = setup();
    await manager.start(new MemoryChannel(), { name: 'memory' });
    const before = manager.state();
    await manager.stop();
    expect(before).toEqual({ connected: true, metadata: {}, status: 'open' });
  });

  test('manager - a second start replaces the first connection', async () => {
    const { manager } = setup();
    const first = new MemoryChannel('first');
    const second = new MemoryChannel('second');
    await manager.start(first, { name: 'a' });
    await manager.start(second, { name: 'b' });
    expect(first.events).toEqual(['connect', 'open', 'shutdown', 'abort', 'dispose']);
    expect(second.events).toEqual(['connect', 'open']);
    expect([manager.name, manager.type, manager.isConnected()]).toEqual(['b', 'second', true]);
    await second.say('to the second');
    expect((await second.sent.next()).reply.message.content).toBe('to the second');
    expect(first.sent.all).toEqual([]);
    await manager.stop();
  });

  test('manager - stop is a no-op when nothing runs', async () => {
    const { manager, states } = setup();
    await manager.stop();
    expect(manager.state().status).toBe('idle');
    await manager.start(new MemoryChannel(), { name: 'memory' });
    await manager.stop();
    await manager.stop();
    expect(states).toEqual(['connecting', 'open', 'draining', 'closed']);
  });

  test('manager - connected turns false when the input ends by itself', async () => {
    const { manager } = setup();
    const channel = new MemoryChannel();
    await manager.start(channel, { name: 'memory', metadata: { team: 'blue' } });
    channel.end();
    expect(manager.state()).toEqual({ connected: false, metadata: { team: 'blue' }, status: 'closed' });
    expect(manager.connection).toEqual({ status: 'closed', reason: 'ended' });
    await manager.stop();
    expect(manager.connection).toEqual({ status: 'closed', reason: 'ended' });
  });

  test('manager - a turn under way is still answered when the input ends by itself', async () => {
    const { manager, host } = setup();
    host.echo = false;
    const channel = new MemoryChannel();
    await manager.start(channel, { name: 'memory' });
    await channel.say('last line of a pipe');
    const { message } = await host.accepted.next();
    channel.end();
    await host.answer(message, 'answer', manager);
    expect((await channel.sent.next()).reply.message.content).toBe('answer');
    await manager.stop();
  });
});

describe('ChannelManager and its agents', () => {
  test('manager - runs the default agent alone until setAgents', async () => {
    const { manager } = setup();
    const channel = new MemoryChannel();
    await manager.start(channel, { name: 'memory' });
    await expect(channel.say('hi', { metadata: { agent: 'atlas' } })).rejects.toMatchObject({
      code: 'ORRERY_AGENT_UNKNOWN',
    });
    expect(await channel.say('hi')).toMatchObject({ agent: 'echo' });
    await manager.stop();
  });

  test('manager - the next message sees the agents of setAgents, without a restart', async () => {
    const { manager, host } = setup();
    const channel = new MemoryChannel();
    await manager.start(channel, { name: 'memory' });
    manager.setAgents(host.agents('atlas', 'eliza'), 'eliza');
    expect(await channel.say('hi')).toMatchObject({ agent: 'eliza' });
    expect(await channel.say('hi', { metadata: { agent: 'atlas' } })).toMatchObject({ agent: 'atlas' });
    manager.setAgents(host.agents('eliza'), 'eliza');
    await expect(channel.say('hi', { metadata: { agent: 'atlas' } })).rejects.toMatchObject({
      code: 'ORRERY_AGENT_UNKNOWN',
    });
    expect(channel.events).toEqual(['connect', 'open']);
    await manager.stop();
  });

  test('manager - a map changed after setAgents changes nothing', async () => {
    const { manager, host } = setup();
    const channel = new MemoryChannel();
    const agents = new Map(host.agents('eliza'));
    manager.setAgents(agents, 'eliza');
    agents.clear();
    await manager.start(channel, { name: 'memory' });
    expect(await channel.say('hi')).toMatchObject({ agent: 'eliza' });
    await manager.stop();
  });

  test('manager - start is refused while no agents are known, and works with the host of an agent', async () => {
    const host = new TestHost();
    const manager = new ChannelManager('echo');
    const channel = new MemoryChannel();
    await expect(manager.start(channel, { name: 'memory' })).rejects.toMatchObject({ code: 'ORRERY_CONFIG_INVALID' });
    expect(channel.events).toEqual([]);
    manager.setAgents(host.agents('echo'), 'echo');
    await manager.start(channel, { name: 'memory' });
    await channel.say('now');
    expect((await channel.sent.next()).reply.message.content).toBe('now');
    await manager.stop();
  });
});

describe('ChannelManager, started and stopped at once', () => {
  test('manager - starts and stops run in call order when called together', async () => {
    const { manager, states } = setup();
    const [a, b] = [new MemoryChannel('a'), new MemoryChannel('b')];
    await Promise.all([
      manager.start(a, { name: 'a' }),
      manager.stop(),
      manager.start(b, { name: 'b' }),
      manager.stop(),
      manager.stop(),
    ]);
    expect(manager.state().status).toBe('closed');
    expect([a.events.at(-1), b.events.at(-1)]).toEqual(['dispose', 'dispose']);
    expect(states.filter((s) => s === 'closed')).toHaveLength(2);
    expect(states.indexOf('closed')).toBeLessThan(states.lastIndexOf('connecting'));
  });

  test('manager - the last of many starts wins, and one connection is open at most', async () => {
    const { manager } = setup();
    const channels = Array.from({ length: 8 }, (_, i) => new MemoryChannel(String(i)));
    await Promise.all(channels.map((channel) => manager.start(channel, { name: channel.type })));
    expect(manager.isConnected()).toBe(true);
    expect(channels.map((c) => c.events.at(-1))).toEqual([...Array.from({ length: 7 }, () => 'dispose'), 'open']);
    await manager.stop();
  });

  test('manager - the same channel is started again after the release of its first connection', async () => {
    const { manager } = setup();
    const channel = new MemoryChannel();
    await manager.start(channel, { name: 'memory' });
    await manager.start(channel, { name: 'memory' });
    expect(channel.events).toEqual(['connect', 'open', 'shutdown', 'abort', 'dispose', 'connect', 'open']);
    await channel.say('again');
    expect((await channel.sent.next()).reply.message.content).toBe('again');
    await manager.stop();
  });

  test('manager - stop ends a connection that is still being made', async () => {
    const { manager } = setup({ clock: new ManualClock() });
    const channel = new MemoryChannel().onConnect(() => new Promise(() => undefined));
    const started = manager.start(channel, { name: 'memory' });
    await channel.connections.next();
    await manager.stop();
    await started;
    expect(channel.events).toEqual(['connect', 'shutdown', 'abort', 'dispose']);
    expect(manager.connection).toMatchObject({ status: 'closed', reason: 'stopped' });
  });

  test('manager - a start that is refused does not block what follows', async () => {
    const { manager } = setup();
    const refused = manager.start(
      new MemoryChannel().onConnect(() => Promise.reject(new OrreryError('ORRERY_PORT_IN_USE', 'taken'))),
      { name: 'a' },
    );
    await expect(refused).rejects.toMatchObject({ code: 'ORRERY_PORT_IN_USE' });
    const channel = new MemoryChannel();
    await manager.start(channel, { name: 'b' });
    expect(manager.isConnected()).toBe(true);
    await manager.stop();
  });
});

describe('ChannelManager and its stop', () => {
  test('manager - stop takes in nothing new and lets turns in flight be answered', async () => {
    const { manager, host } = setup();
    host.echo = false;
    const channel = new MemoryChannel();
    await manager.start(channel, { name: 'memory' });
    const connection = await channel.connections.next();
    await channel.say('slow one');
    const { message } = await host.accepted.next();

    const stopped = manager.stop();
    await turn();
    expect(manager.state()).toMatchObject({ connected: false, status: 'draining' });
    expect(channel.events).toEqual(['connect', 'open', 'shutdown']);
    await expect(connection.say('too late')).rejects.toMatchObject({ code: 'ORRERY_DRAINING' });

    await host.answer(message, 'done', manager);
    await stopped;
    expect((await channel.sent.next()).reply.message.content).toBe('done');
    expect(channel.events).toEqual(['connect', 'open', 'shutdown', 'abort', 'dispose']);
    expect(host.aborted).toEqual([]);
  });

  test('manager - stop aborts the turns in flight when its timeout passes', async () => {
    const clock = new ManualClock();
    const { manager, host } = setup({ clock });
    manager.withShutdownTimeout(250);
    host.echo = false;
    const channel = new MemoryChannel();
    await manager.start(channel, { name: 'memory' });
    await channel.say('never answered');
    const stopped = manager.stop();
    await clock.advance(249);
    expect(host.aborted).toEqual([]);
    expect(manager.connection).toEqual({ status: 'draining', deadline: 1_000_250 });
    await clock.advance(1);
    await stopped;
    expect(host.aborted).toEqual([manager]);
    expect(channel.events.slice(-2)).toEqual(['abort', 'dispose']);
    expect(clock.timers).toBe(0);
  });

  test.each(['abort', 'settled'] as const)(
    'manager - the next connection opens only after the aborted turns of the one before ended, as %s tells',
    async (teller) => {
      const clock = new ManualClock();
      const { manager, host } = setup({ clock, shutdownTimeoutMs: 100 });
      const ended = Promise.withResolvers<void>();
      host.echo = false;
      host.abort = () => (teller === 'abort' ? ended.promise : undefined);
      const channel = new MemoryChannel();
      await manager.start(channel, { name: 'memory' });
      await channel.say('never answered');
      const second = new MemoryChannel();
      const restarted = manager.start(second, { name: 'memory' });
      await clock.advance(100);
      await clock.advance(100);
      expect([channel.events.at(-1), second.events]).toEqual(['shutdown', []]);
      TestHost.prototype.abort.call(host, manager);
      ended.resolve();
      await restarted;
      expect(second.events).toEqual(['connect', 'open']);
      await manager.stop();
    },
  );

  test('manager - stop ends although a channel hangs in its release', async () => {
    const clock = new ManualClock();
    const { manager } = setup({ clock });
    const channel = new MemoryChannel().onDispose(() => new Promise(() => undefined));
    await manager.start(channel, { name: 'memory' });
    const stopped = manager.stop();
    await clock.advance(10_000);
    await stopped;
    expect(manager.state().status).toBe('closed');
  });

  test('manager - stop ends although a channel throws at every step of it', async () => {
    const { manager } = setup();
    const channel = new MemoryChannel().onDispose(() => Promise.reject(new Error('dispose')));
    channel.shutdown = () => {
      throw new Error('shutdown');
    };
    await manager.start(channel, { name: 'memory' });
    await manager.stop();
    expect(manager.state().status).toBe('closed');
  });

  test.each([-1, Number.NaN, Infinity])('manager - a shutdown timeout of %s is refused', (ms) => {
    expect(() => new ChannelManager('echo', { shutdownTimeoutMs: ms })).toThrow(/shutdownTimeoutMs/);
    expect(() => new ChannelManager('echo').withShutdownTimeout(ms)).toThrow(/shutdownTimeoutMs/);
  });
});

describe('ChannelManager and what is sent', () => {
  test('manager - a send rejects before a start and after a stop, the message untouched', async () => {
    const { manager } = setup();
    const channel = new MemoryChannel();
    const out = replyTo(inbound(), 'hello');
    const copy = structuredClone(out);
    const closed = { code: 'ORRERY_CHANNEL_CLOSED', retryable: true };
    await expect(manager.send(out, SEND)).rejects.toMatchObject(closed);
    await manager.start(channel, { name: 'memory' });
    expect(await manager.send(out, SEND)).toEqual({ ids: ['sent-1'] });
    await manager.stop();
    await expect(manager.send(out, SEND)).rejects.toMatchObject(closed);
    const error = { target: out.target, delivery: 'd', agent: 'echo', error: { name: 'Error', message: 'x' } };
    await expect(manager.sendError(error, SEND)).rejects.toMatchObject(closed);
    expect(out).toEqual(copy);
    expect(channel.sent.all).toEqual([out]);
  });

  test('manager - a channel inside the process is sent to at once, and only while it is open', async () => {
    const { manager } = setup();
    const out = replyTo(inbound(), 'answer');
    const sent: unknown[] = [];
    const channel = Object.assign(new MemoryChannel(), { sendNow: (one: unknown) => void sent.push(one) });
    expect(manager.sendNow(out)).toBe(false);
    await manager.start(channel, { name: 'memory' });
    expect([manager.sendNow(out), sent]).toEqual([true, [out]]);
    await manager.stop();
    expect(manager.sendNow(out)).toBe(false);

    await manager.start(new MemoryChannel(), { name: 'memory' });
    expect(manager.sendNow(out)).toBe(false);
    await manager.stop();
    expect(sent).toEqual([out]);
  });

  test('manager - startTyping is shown until disposed, and is nothing without a connection', async () => {
    const { manager } = setup();
    const channel = new MemoryChannel();
    const { target } = replyTo(inbound(), '');
    manager.startTyping(target)[Symbol.dispose]();
    await manager.start(channel, { name: 'memory' });
    {
      using _typing = manager.startTyping(target);
      expect(channel.typing).toBe(1);
    }
    expect(channel.typing).toBe(0);
    channel.startTyping = () => {
      throw new Error('no');
    };
    manager.startTyping(target)[Symbol.dispose]();
    await manager.stop();
  });

  test('manager - an answer goes out through the connection of the moment when the channel was replaced', async () => {
    const clock = new ManualClock();
    const { manager, host } = setup({ clock, shutdownTimeoutMs: 10 });
    host.echo = false;
    const first = new MemoryChannel();
    await manager.start(first, { name: 'memory' });
    await first.say('slow');
    const { message } = await host.accepted.next();
    const second = new MemoryChannel();
    const restarted = manager.start(second, { name: 'memory' });
    await clock.advance(2000);
    await restarted;
    await host.answer(message, 'late', manager);
    expect([first.sent.all.length, second.sent.all.length]).toEqual([0, 1]);
    await manager.stop();
  });
});
