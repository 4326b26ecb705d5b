import { afterEach, describe, expect, test } from 'vitest';
import type { OrreryConfig } from '../../src/main/config/input.ts';
import { ERROR_SIGN } from '../../src/main/channels/network/error-text.ts';
import { DiscordServer, TOKEN } from '../support/discord/server.ts';
import { BALANCED, type HostUnderTest, actor, balance, eventually, startHost } from '../support/host.ts';
import { IrcServer } from '../support/irc/server.ts';

const ECHO = { use: 'builtin:echo' };
const open: AsyncDisposable[] = [];

afterEach(async () => {
  for (const thing of open.splice(0).toReversed()) await thing[Symbol.asyncDispose]();
});

function use<T extends AsyncDisposable>(thing: T): T {
  open.push(thing);
  return thing;
}

function discordOf(server: DiscordServer, over: object = {}): NonNullable<OrreryConfig['channels']>[string] {
  return { type: 'discord', token: TOKEN, apiUrl: server.apiUrl, allow: ['*'], stream: false, ...over };
}

function ircOf(server: IrcServer, over: object = {}): NonNullable<OrreryConfig['channels']>[string] {
  return {
    type: 'irc',
    host: '127.0.0.1',
    port: server.port,
    tls: false,
    nick: 'orrery',
    channels: ['#hall'],
    allow: ['*'],
    flood: { burst: 100, intervalMs: 0 },
    ...over,
  };
}

async function hosted(config: OrreryConfig): Promise<HostUnderTest> {
  return use(await startHost(config));
}

function channelOf(host: HostUnderTest, name: string) {
  return host.status.channels.find((channel) => channel.name === name);
}

describe('networks in a host', () => {
  test('channels - several accounts and networks at once are routed by account, peer and namespace', async () => {
    const [first, second, irc] = [
      use(await DiscordServer.start()),
      use(await DiscordServer.start()),
      use(await IrcServer.start()),
    ];
    const host = await hosted({
      agents: { a: ECHO, b: ECHO, c: ECHO, d: ECHO },
      channels: { one: discordOf(first), two: discordOf(second, { account: 'second' }), irc: ircOf(irc) },
      routing: [
        { match: { account: 'second' }, agent: 'b' },
        { match: { channel: 'one', peer: first.world.alice.id }, agent: 'c' },
        { match: { namespace: 'irc:#hall:*' }, agent: 'd' },
      ],
    });
    first.say({ content: 'to c' });
    second.say({ content: 'to b' });
    irc.say('alice', '#hall', 'orrery: to d');
    expect((await first.heard.next()).message.content).toBe('to c');
    expect((await second.heard.next()).message.content).toBe('to b');
    expect((await irc.heard.next()).params).toEqual(['#hall', 'alice: to d']);
    const sessions = await Promise.all(['a', 'b', 'c', 'd'].map((agent) => host.supervisor.sessions.list(agent)));
    expect(sessions).toEqual([
      [],
      [`two:dm:${second.world.alice.id}`],
      [`one:dm:${first.world.alice.id}`],
      ['irc:#hall:alice'],
    ]);
  });

  test('channels - one that its network refuses is closed with a hint, and touches no other', async () => {
    const [discord, irc] = [use(await DiscordServer.start()), use(await IrcServer.start())];
    const host = await hosted({
      agents: { echo: ECHO },
      channels: { bad: discordOf(discord, { token: 'wrong' }), irc: ircOf(irc), web: { type: 'gateway', port: 0 } },
    });
    expect(channelOf(host, 'bad')).toMatchObject({
      connected: false,
      state: { status: 'closed', reason: 'failed', cause: { code: 'ORRERY_UNAUTHORIZED', hint: expect.any(String) } },
    });
    expect(JSON.stringify(host.status)).not.toContain('wrong');
    irc.say('alice', 'orrery', 'still here?');
    expect((await irc.heard.next()).params).toEqual(['alice', 'still here?']);
    discord.token = 'wrong';
    irc.drop();
    await eventually('IRC is connected again', () => channelOf(host, 'irc')?.connected === true && irc.live === 1);
    expect(channelOf(host, 'web')?.connected).toBe(true);
  });

  test('channels - a host whose only channel is refused does not start', async () => {
    const discord = use(await DiscordServer.start());
    const config = { agents: { echo: ECHO }, channels: { bad: discordOf(discord, { token: 'wrong' }) } };
    await expect(startHost(config)).rejects.toMatchObject({ code: 'ORRERY_UNAUTHORIZED' });
  });

  test('channels - an event that the network delivers twice is answered once', async () => {
    const [discord, irc] = [use(await DiscordServer.start()), use(await IrcServer.start())];
    const host = await hosted({ agents: { echo: ECHO }, channels: { d: discordOf(discord), i: ircOf(irc) } });
    discord.copies = 3;
    discord.say({ content: 'once' });
    discord.copies = 1;
    for (let i = 0; i < 3; i++) irc.say('alice', 'orrery', 'once', { msgid: 'm1' });
    discord.say({ content: 'end' });
    irc.say('alice', 'orrery', 'end', { msgid: 'm2' });
    await eventually('all is answered', () => host.status.messages.answered === 4);
    expect(discord.standing(discord.world.dm)).toEqual(['once', 'end']);
    expect(irc.heard.all.map((line) => line.params.at(-1))).toEqual(['once', 'end']);
    expect(host.status.messages.rejectedBy).toMatchObject({ duplicate: 4 });
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('channels - shows that it types while a turn runs, and says in words that it failed', async () => {
    const discord = use(await DiscordServer.start());
    const host = await hosted({ agents: { actor: actor() }, channels: { d: discordOf(discord) } });
    discord.say({ content: 'throw' });
    expect(await discord.typing.next()).toBe(discord.world.dm.id);
    const { message } = await discord.heard.next();
    expect(message.content).toMatch(new RegExp(`^${ERROR_SIGN} (?:I|Something) `));
    expect(message.content).not.toContain('ORRERY');
    await eventually('it is dead', () => host.status.messages.dead === 1);
  });

  test('channels - a restart in the middle of many messages loses none and answers none twice', async () => {
    const [discord, irc] = [use(await DiscordServer.start()), use(await IrcServer.start())];
    const limits = { rateLimitPerMinute: 100_000 };
    const host = await hosted({
      agents: { echo: ECHO },
      channels: { d: discordOf(discord, limits), i: ircOf(irc, limits) },
      delivery: { mailboxSize: 1000 },
    });
    const said: string[] = [];
    const restarts: Promise<unknown>[] = [];
    discord.swallows = 5;
    for (let i = 0; i < 150; i++) {
      const text = `message ${i}`;
      said.push(text);
      discord.say({ content: text });
      if (i === 50 || i === 100) restarts.push(host.supervisor.channels.restart('d'));
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
    await Promise.all(restarts);
    await eventually('all is answered', () => discord.standing(discord.world.dm).length >= said.length);
    expect(discord.standing(discord.world.dm)).toEqual(said);
    expect(irc.live).toBe(1);
    expect(balance(host.status)).toEqual(BALANCED);
  });

  test('channels - a package that is missing is a configuration error with the line that installs it', async () => {
    const { loadPeer } = await import('../../src/main/channels/network/peer.ts');
    const name: string = 'no-such-package-of-a-network';
    await expect(loadPeer(name, '1', () => import(name))).rejects.toMatchObject({
      code: 'ORRERY_PEER_MISSING',
      hint: `npm install ${name}@1`,
    });
  });
});
