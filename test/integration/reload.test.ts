/** Gives running supervisors other configurations: real threads, real networks, and what is not touched by it. */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setImmediate as nextTick } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, describe, expect, test } from 'vitest';
import type { ReloadReport } from '../../src/main/api.ts';
import { type OrreryConfig, loadConfig } from '../../src/main/config/index.ts';
import { createSupervisor } from '../../src/main/supervisor.ts';
import { DiscordServer, TOKEN } from '../support/discord/server.ts';
import { TestSocket } from '../support/gateway.ts';
import {
  BALANCED,
  type HostUnderTest,
  actor,
  balance,
  eventually,
  settled,
  shortened,
  startHost,
} from '../support/host.ts';
import { Ngircd } from '../support/irc/ngircd.ts';
import { IrcUser } from '../support/irc/user.ts';
import { Accepted, Relay } from '../support/tap.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

type ChannelInput = NonNullable<OrreryConfig['channels']>[string];

const ECHO = { use: 'builtin:echo' };
const NOTHING = { added: [], changed: [], removed: [] };
const open: AsyncDisposable[] = [];

afterEach(async () => {
  for (const thing of open.splice(0).toReversed()) await thing[Symbol.asyncDispose]();
});

function use<T extends AsyncDisposable>(thing: T): T {
  open.push(thing);
  return thing;
}

async function hosted(config: OrreryConfig): Promise<HostUnderTest> {
  return use(await startHost(config));
}

function reload(host: HostUnderTest, config: OrreryConfig): Promise<ReloadReport> {
  return host.supervisor.reload({ dataDir: host.dir.path, ...shortened(config) });
}

function discordOf(server: DiscordServer, over: object = {}): ChannelInput {
  return { type: 'discord', token: TOKEN, apiUrl: server.apiUrl, allow: ['*'], stream: false, ...over };
}

function ircOf(port: number, over: object = {}): ChannelInput {
  const flood = { burst: 100, intervalMs: 0 };
  return {
    type: 'irc',
    host: '127.0.0.1',
    port,
    tls: false,
    nick: 'orrery',
    channels: ['#hall'],
    allow: ['*'],
    flood,
    ...over,
  };
}

/** Answers once the file `gate` is there: what comes over a network brings no path of one. */
function gated(files: TemporaryDirectory): { readonly use: string } {
  const text = `import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
export default {
  async *respond({ message }) {
    while (!existsSync(${JSON.stringify(`${files.path}/gate`)})) await delay(5);
    yield 'gated ' + message.content;
  },
};`;
  return { use: files.write('gated.mjs', text) };
}

function channelOf(host: HostUnderTest, name: string) {
  return host.status.channels.find((channel) => channel.name === name);
}

function urlOf(host: HostUnderTest, name = 'web'): string {
  const url = channelOf(host, name)?.url;
  if (url === undefined) throw new Error(`${name} has no address`);
  return url;
}

describe('channels', () => {
  test('reload - Hot reload that changes one of four channels: the other three connections are the same socket before and after', async () => {
    using accepted = new Accepted();
    const [first, second] = [use(await DiscordServer.start()), use(await DiscordServer.start())];
    const ngircd = use(await Ngircd.start());
    const relay = use(await Relay.to(ngircd.port));
    const channels = {
      web: { type: 'gateway', port: 0 } as const,
      discord: discordOf(first),
      other: discordOf(second, { allow: [`user:${second.world.alice.id}`] }),
      irc: ircOf(relay.port),
    };
    const host = await hosted({ agents: { echo: ECHO }, channels });
    using socket = await TestSocket.open(urlOf(host));
    using alice = await IrcUser.connect(ngircd.port, 'alice', ['#hall']);
    const webPort = Number(new URL(urlOf(host)).port);
    const discordPort = Number(new URL(first.apiUrl).port);
    const sockets = () => ({
      web: accepted.at(webPort).filter((one) => !one.destroyed),
      irc: accepted.at(relay.port).filter((one) => !one.destroyed),
      discord: accepted.at(discordPort).filter((one) => !one.destroyed),
    });
    const before = sockets();
    expect([before.web.length, before.irc.length]).toEqual([1, 1]);
    const gatewayEvents = [...first.gateway.events];
    const states = ['web', 'discord', 'irc'].map((name) => channelOf(host, name)?.state);

    const report = await reload(host, {
      agents: { echo: ECHO },
      channels: { ...channels, other: discordOf(second, { allow: ['*'] }) },
    });
    expect(report).toMatchObject({
      agents: NOTHING,
      channels: { ...NOTHING, changed: ['other'] },
      routing: false,
      needsRestart: [],
      failed: [],
    });
    const after = sockets();
    // Each is the server's own object of the connection: the same one, not one like it.
    for (const name of ['web', 'irc'] as const) {
      expect(after[name]).toHaveLength(1);
      expect(after[name][0] === before[name][0]).toBe(true);
    }
    expect(before.discord.every((one) => after.discord.includes(one))).toBe(true);
    expect(first.gateway.events).toEqual(gatewayEvents);
    expect(['web', 'discord', 'irc'].map((name) => channelOf(host, name)?.state)).toEqual(states);
    expect(second.gateway.events.filter((event) => event === 'identify')).toHaveLength(2);

    socket.send({ type: 'chat', id: 'w', message: 'over the web' });
    expect((await socket.next('response', 'w'))['message']).toBe('over the web');
    await alice.say('#hall', 'orrery: over IRC');
    expect((await alice.heard.next()).params.at(-1)).toBe('alice: over IRC');
    first.say({ content: 'over Discord' });
    expect((await first.heard.next()).message.content).toBe('over Discord');
    // And the one that was changed hears whom it did not hear before.
    await eventually('it is open', () => channelOf(host, 'other')?.connected);
    second.say({ content: 'over the other' });
    expect((await second.heard.next()).message.content).toBe('over the other');
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('reload - a reply whose turn outlasts the change of its channel goes out on the new connection', async () => {
    using files = temporaryDirectory();
    const discord = use(await DiscordServer.start());
    const agents = { gated: gated(files) };
    const shutdown = { timeoutMs: 4_000, drainMs: 100, hostMs: 1_000 };
    const host = await hosted({ agents, channels: { d: discordOf(discord) }, shutdown });
    discord.say({ content: 'before' });
    await eventually('it is under way', () => host.status.slots.some(({ running }) => running > 0));
    const changed = { d: discordOf(discord, { respondTo: 'all' }) };
    expect(await reload(host, { agents, channels: changed, shutdown })).toMatchObject({
      channels: { ...NOTHING, changed: ['d'] },
      failed: [],
    });
    await eventually('it is open', () => channelOf(host, 'd')?.connected);
    expect(discord.gateway.events.filter((event) => event === 'identify')).toHaveLength(2);
    discord.say({ content: 'after', room: discord.world.room });
    files.write('gate', '');
    await eventually('both are answered', () => host.status.messages.answered === 2);
    expect(discord.standing(discord.world.dm)).toEqual(['gated before']);
    expect(discord.standing(discord.world.room)).toEqual(['gated after']);
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('reload - channels come and go, and their agent and queue modes change without a new connection', async () => {
    const agents = { echo: ECHO, eliza: { use: 'builtin:eliza' } };
    const host = await hosted({ agents, channels: { web: { type: 'gateway', port: 0 } } });
    using socket = await TestSocket.open(urlOf(host));
    const ask = async (id: string): Promise<string> => {
      socket.send({ type: 'chat', id, message: id });
      return String((await socket.next('response', id))['agent']);
    };
    expect(await ask('one')).toBe('echo');
    const changed = { type: 'gateway', port: 0, agent: 'eliza', queue: { mode: 'collect' } } as const;
    const added = await reload(host, { agents, channels: { web: changed, more: { type: 'gateway', port: 0 } } });
    expect(added.channels).toEqual({ added: ['more'], changed: ['web'], removed: [] });
    expect(await ask('two')).toBe('eliza');
    using other = await TestSocket.open(urlOf(host, 'more'));
    const closed = once(other.ws, 'close');
    const removed = await reload(host, { agents, channels: { web: changed } });
    expect(removed.channels).toEqual({ ...NOTHING, removed: ['more'] });
    await closed;
    expect(host.status.channels.map(({ name }) => name)).toEqual(['web']);
    expect(await ask('three')).toBe('eliza');
  });

  test('reload - a channel that does not open in its new form goes on in the old one, and the next reload tries again', async () => {
    const blocker = createServer();
    blocker.listen(0, '127.0.0.1');
    await once(blocker, 'listening');
    const { port } = blocker.address() as AddressInfo;
    const agents = { echo: ECHO };
    const host = await hosted({ agents, channels: { web: { type: 'gateway', port: 0 } } });
    const config = {
      agents,
      channels: { web: { type: 'gateway', port }, more: { type: 'gateway', port } },
    } as const;
    const report = await reload(host, config);
    expect(report.failed).toMatchObject([
      { kind: 'channel', name: 'web', error: { code: 'ORRERY_PORT_IN_USE' } },
      { kind: 'channel', name: 'more', error: { code: 'ORRERY_PORT_IN_USE' } },
    ]);
    expect(host.status.channels.map(({ name, connected }) => [name, connected])).toEqual([['web', true]]);
    using _socket = await TestSocket.open(urlOf(host));
    blocker.close();
    await once(blocker, 'close');
    const again = await reload(host, { agents, channels: { web: { type: 'gateway', port } } });
    expect(again).toMatchObject({ channels: { ...NOTHING, changed: ['web'] }, failed: [] });
    expect(new URL(urlOf(host)).port).toBe(String(port));
  });

  test('reload - what a channel that is taken out can no longer send is a dead letter, whose reply goes out when it is back', async () => {
    using files = temporaryDirectory();
    const discord = use(await DiscordServer.start());
    const agents = { gated: gated(files) };
    const shutdown = { timeoutMs: 4_000, drainMs: 100, hostMs: 1_000 };
    const channels = { d: discordOf(discord) };
    const host = await hosted({ agents, channels, shutdown });
    discord.say({ content: 'hello' });
    await eventually('it is under way', () => host.status.slots.some(({ running }) => running > 0));
    expect(await reload(host, { agents, shutdown })).toMatchObject({ channels: { removed: ['d'] }, failed: [] });
    expect(host.status.channels).toEqual([]);
    files.write('gate', '');
    await eventually('it is dead', () => host.status.messages.dead === 1);
    expect(host.status.messages.deadBy).toEqual({ undeliverable: 1 });
    const [letter] = await host.supervisor.deadLetters.list();
    expect(letter?.error?.cause?.message).toBe('The channel "d" was taken out of the configuration');
    await reload(host, { agents, channels, shutdown });
    await eventually('it is open', () => channelOf(host, 'd')?.connected);
    await host.supervisor.deadLetters.replay(letter?.id ?? '');
    expect((await discord.heard.next()).message.content).toBe('gated hello');
    expect(balance(host.status)).toEqual(BALANCED);
  });
});

describe('agents', () => {
  test('reload - agents are added, changed and removed under load, and nothing that was accepted is lost', async () => {
    const well = actor();
    const host = await hosted({
      agents: { well, first: ECHO, second: { ...ECHO, replicas: 2 } },
      defaultAgent: 'well',
    });
    const running = new AbortController();
    const told = { answered: 0, refused: 0 };
    const talk = async (agent: string, session: string): Promise<void> => {
      for (let i = 0; !running.signal.aborted; i++) {
        const outcome = await settled(host.ask(agent, `say ${i}`, session));
        if ('text' in outcome) told.answered += 1;
        // One that is not there is told so before it is accepted.
        else if (outcome.code === 'ORRERY_AGENT_UNKNOWN') {
          told.refused += 1;
          await nextTick();
        } else throw outcome.error;
      }
    };
    const talks = ['well', 'first', 'second', 'third'].flatMap((agent) =>
      Array.from({ length: 4 }, (_, i) => talk(agent, `s${i}`)),
    );
    const steps: OrreryConfig['agents'][] = [
      { well, first: ECHO, second: ECHO, third: actor({ isolation: 'dedicated' }) },
      { well, second: { ...ECHO, replicas: 3 }, third: actor() },
      { well, first: actor({ isolation: 'dedicated' }), second: ECHO },
    ];
    for (const agents of steps) {
      const report = await reload(host, { agents, defaultAgent: 'well' });
      expect(report.failed).toEqual([]);
      expect(host.status.agents.map(({ name }) => name).toSorted()).toEqual(Object.keys(agents).toSorted());
    }
    running.abort();
    await Promise.all(talks);
    expect(told.answered).toBeGreaterThan(0);
    expect(host.status.messages).toMatchObject({ dead: 0, pending: 0, answered: told.answered });
    expect(balance(host.status)).toEqual(BALANCED);
    expect(host.status.agents.map(({ name, replicas }) => [name, replicas.length])).toEqual(
      expect.arrayContaining([
        ['first', 1],
        ['second', 1],
      ]),
    );
    await eventually('no slot of what is gone is left', () => host.status.slots.length <= 3);
  });

  test('reload - an agent that is taken out answers what it accepted; what it does not in time is a dead letter with a reason', async () => {
    const shutdown = { timeoutMs: 4_000, drainMs: 300, hostMs: 1_000 };
    const agents = { well: actor(), gone: actor() };
    const host = await hosted({ agents, shutdown });
    const held = host.outcome('gone', 'hold', 'one');
    const waiting = host.outcome('gone', 'say late', 'one');
    await eventually('it is under way', () => host.lines().length === 1);
    const report = await reload(host, { agents: { well: actor() }, shutdown });
    expect(report).toMatchObject({ agents: { ...NOTHING, removed: ['gone'] }, failed: [] });
    const stopped = {
      code: 'ORRERY_AGENT_STOPPED',
      error: { message: 'Agent gone was taken out of the configuration' },
    };
    expect([await held, await waiting]).toMatchObject([stopped, stopped]);
    expect(await host.outcome('gone', 'say later')).toMatchObject({ code: 'ORRERY_AGENT_UNKNOWN' });
    expect(host.status.messages.deadBy).toEqual({ 'agent-stopped': 2 });
    expect(host.status.agents.map(({ name }) => name)).toEqual(['well']);
    const [letter] = await host.supervisor.deadLetters.list();
    await expect(host.supervisor.deadLetters.replay(letter?.id ?? '')).rejects.toMatchObject({
      code: 'ORRERY_AGENT_UNKNOWN',
    });
    // It comes back: its letters can be put back too.
    await reload(host, { agents, shutdown });
    host.open();
    for (const { id } of await host.supervisor.deadLetters.list()) await host.supervisor.deadLetters.replay(id);
    await eventually('all is answered', () => host.status.messages.pending === 0);
    expect(host.status.messages).toMatchObject({ answered: 2, dead: 2, replayed: 2 });
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('reload - an agent that does not start in its new form goes on in the old one', async () => {
    using files = temporaryDirectory();
    const module = files.write('agent.ts', "export default { async *respond() { yield 'old'; } };");
    const broken = files.write('broken.ts', 'export default 1;');
    const host = await hosted({ agents: { agent: { use: module } } });
    const report = await reload(host, {
      agents: { agent: { use: broken }, new: { use: broken } },
      defaultAgent: 'agent',
    });
    expect(report.failed).toMatchObject([
      { kind: 'agent', name: expect.any(String), error: { code: expect.stringMatching(/AGENT_LOAD|AGENT_ESCALATED/) } },
      { kind: 'agent', name: expect.any(String), error: { code: expect.stringMatching(/AGENT_LOAD|AGENT_ESCALATED/) } },
    ]);
    expect(await host.ask('agent', 'hello')).toBe('old');
    // One that is new is there as at a start, given up.
    expect(host.status.agents.find(({ name }) => name === 'new')?.replicas[0]?.state.status).toBe('escalated');
    const again = await reload(host, { agents: { agent: { use: broken } } });
    expect(again).toMatchObject({ agents: { added: [], changed: ['agent'], removed: ['new'] } });
    expect(again.failed).toMatchObject([{ name: 'agent' }]);
    expect(await reload(host, { agents: { agent: { use: module } } })).toMatchObject({ agents: NOTHING, failed: [] });
  });
});

describe('routing and the rest', () => {
  test('reload - routing, default agent and the agents that a channel may reach are replaced at once', async () => {
    const agents = { one: ECHO, two: ECHO };
    const web = { type: 'gateway', port: 0 } as const;
    const host = await hosted({
      agents,
      defaultAgent: 'one',
      channels: { web },
      routing: [{ rule: 'static', agent: 'one' }],
    });
    const ask = async (metadata = {}): Promise<string> => {
      const { agent: _, ...message } = host.message('', 'hello', { metadata });
      return (await host.supervisor.inject(message)).agent;
    };
    expect(await ask()).toBe('one');
    const report = await reload(host, {
      agents,
      defaultAgent: 'two',
      channels: { web },
      routing: [{ match: { metadata: { to: 'one' } }, agent: 'one' }],
    });
    expect(report).toMatchObject({ routing: true, defaultAgent: 'two', channels: NOTHING, agents: NOTHING });
    expect([await ask(), await ask({ to: 'one' })]).toEqual(['two', 'one']);
    expect(host.status.defaultAgent).toBe('two');
    const models = await fetch(`${urlOf(host)}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'orrery', messages: [{ role: 'user', content: 'hi' }] }),
    });
    expect(models.status).toBe(200);
  });

  test('reload - keys that need a new process are named, and the running values stay', async () => {
    const host = await hosted({ agents: { echo: ECHO } });
    const change = {
      workers: { threads: 3 },
      delivery: { journal: 'memory' },
      routing: [{ rule: 'namespacePrefix' }],
    } as const;
    const report = await reload(host, { agents: { echo: ECHO }, ...change });
    expect(report.needsRestart).toEqual(expect.arrayContaining(['workers.threads', 'delivery.journal']));
    expect(report.routing).toBe(true);
    expect(host.status.slots).toHaveLength(2);
    expect(host.status.journal.kind).toBe('sqlite');
    // They are named again as long as they differ.
    const again = await reload(host, { agents: { echo: ECHO }, ...change });
    expect(again).toMatchObject({ needsRestart: report.needsRestart, routing: false });
  });

  test('reload - a configuration that is wrong is told with all its issues, and changes nothing', async () => {
    const host = await hosted({ agents: { echo: ECHO } });
    const wrong = { agents: { echo: { use: 'builtin:ehco' } }, defaultAgent: 'nobody' };
    await expect(host.supervisor.reload(wrong)).rejects.toMatchObject({
      code: 'ORRERY_CONFIG_INVALID',
      message: expect.stringMatching(/builtin:ehco[\s\S]*nobody|nobody[\s\S]*builtin:ehco/),
    });
    expect(await host.ask('echo', 'hello')).toBe('hello');
  });

  test('reload - of several at once one runs at a time, and the latest wins', async () => {
    const host = await hosted({ agents: { a: ECHO, b: ECHO, c: ECHO, d: ECHO } });
    const defaults = ['b', 'c', 'd'].map((defaultAgent) =>
      reload(host, { agents: { a: ECHO, b: ECHO, c: ECHO, d: ECHO }, defaultAgent }),
    );
    expect((await Promise.all(defaults)).map((report) => report.defaultAgent)).toEqual(['b', 'd', 'd']);
    expect(host.status.defaultAgent).toBe('d');
  });

  test('reload - is refused before the start, during the drain and after it', async () => {
    const config = { agents: { actor: actor() } };
    await using host = await startHost(config, { start: false });
    await expect(reload(host, config)).rejects.toMatchObject({ code: 'ORRERY_STARTING' });
    await host.supervisor.start();
    await expect(host.supervisor.reload()).rejects.toMatchObject({ code: 'ORRERY_UNSUPPORTED' });
    const held = host.outcome('actor', 'hold');
    await eventually('it is under way', () => host.lines().length === 1);
    const drained = host.supervisor.drain();
    await expect(reload(host, config)).rejects.toMatchObject({ code: 'ORRERY_DRAINING' });
    host.open();
    expect(await held).toEqual({ text: 'held 1' });
    await drained;
    await expect(reload(host, config)).rejects.toMatchObject({ code: 'ORRERY_CLOSED' });
  });

  test('reload - a drain that begins while agents start ends the reload, and all of them', async () => {
    const host = await hosted({ agents: { actor: actor() } });
    const agents = Object.fromEntries(
      Array.from({ length: 6 }, (_, i) => [`a${i}`, actor({ isolation: 'dedicated' })]),
    );
    const reloading = reload(host, { agents: { actor: actor(), ...agents }, defaultAgent: 'actor' });
    reloading.catch(() => undefined);
    await eventually('some are starting', () => host.status.slots.length > 2);
    await host.supervisor.drain();
    await expect(reloading).rejects.toMatchObject({ code: 'ORRERY_DRAINING' });
    expect(host.status.slots.every(({ state }) => state.status === 'exited')).toBe(true);
  });
});

describe('a configuration file', () => {
  let files: TemporaryDirectory;

  afterEach(() => files[Symbol.dispose]());

  test('reload - the file is read afresh; one that is wrong or cut off leaves the last good one in force', async () => {
    files = temporaryDirectory();
    const file = files.write('orrery.config.mjs', '');
    const write = (text: string): void => writeFileSync(file, text);
    const good = (...names: string[]): string =>
      `import { agent } from './shared.mjs';
export default { agents: { ${names.map((name) => `${name}: agent`).join(', ')} }, defaultAgent: '${names[0] ?? ''}', dataDir: 'data' };`;
    files.write('shared.mjs', "export const agent = { use: 'builtin:echo' };");
    write(good('a'));
    const lines: string[] = [];
    const log = pino({}, { write: (line: string) => lines.push(line) });
    const load = () => loadConfig({ file, env: {}, again: true });
    await using supervisor = await createSupervisor({ agents: {} }, { resolved: await load(), load, log });
    await supervisor.start();
    const names = () => supervisor.agents.list().map(({ name }) => name);

    write(good('a', 'b'));
    expect(await supervisor.reload()).toMatchObject({ file, agents: { ...NOTHING, added: ['b'] }, failed: [] });
    expect(names()).toEqual(['a', 'b']);

    for (const text of ['', good('a', 'b').slice(0, 60), 'export default { agents: {} };', 'export default {']) {
      write(text);
      await expect(supervisor.reload()).rejects.toMatchObject({ code: expect.stringMatching(/^ORRERY_CONFIG_/) });
      expect(names()).toEqual(['a', 'b']);
    }
    expect(lines.filter((line) => line.includes('the one before stays in force'))).toHaveLength(4);

    write(good('a'));
    files.write('shared.mjs', "export const agent = { use: 'builtin:eliza' };");
    expect(await supervisor.reload()).toMatchObject({ agents: { added: [], changed: ['a'], removed: ['b'] } });
    expect(supervisor.agents.list()).toMatchObject([{ name: 'a', source: 'builtin:eliza' }]);
    expect(await supervisor.reload()).toMatchObject({ agents: NOTHING, channels: NOTHING, routing: false });
  });
});
