import { afterEach, describe, expect, test } from 'vitest';
import { isFatal } from '../../src/main/channels/connection.ts';
import { IrcDriver, type IrcDriverOptions } from '../../src/main/channels/irc/driver.ts';
import { ChannelMemory } from '../../src/main/channels/network/memory.ts';
import { NetworkChannel, type NetworkOptions } from '../../src/main/channels/network/network-channel.ts';
import { ERRORS, toWire } from '../../src/protocol/index.ts';
import { options as sendOptions, record } from '../contract/harness.ts';
import { replyTo } from '../support/channels.ts';
import { eventually } from '../support/host.ts';
import { Ngircd } from '../support/irc/ngircd.ts';
import { IrcServer } from '../support/irc/server.ts';
import { IrcUser } from '../support/irc/user.ts';

const BASE: Omit<IrcDriverOptions, 'port'> = {
  host: '127.0.0.1',
  tls: false,
  tlsVerify: true,
  nick: 'orrery',
  username: 'orrery',
  realname: 'Orrery',
  channels: ['#hall'],
  flood: { burst: 10, intervalMs: 0 },
  formatting: 'plain',
};
const open: AsyncDisposable[] = [];

afterEach(async () => {
  for (const thing of open.splice(0).toReversed()) await thing[Symbol.asyncDispose]();
});

function use<T extends AsyncDisposable>(thing: T): T {
  open.push(thing);
  return thing;
}

/** An adapter, not connected yet, and a context that records. */
function adapter(port: number, over: Partial<IrcDriverOptions> = {}, rules: Partial<NetworkOptions> = {}) {
  const driver = new IrcDriver({ ...BASE, port, ...over });
  const options = {
    allow: ['*'],
    respondTo: 'mentions',
    rateLimitPerMinute: Infinity,
    stream: false,
    ...rules,
  } as const;
  const channel = new NetworkChannel(driver, options, new ChannelMemory());
  use({ [Symbol.asyncDispose]: () => channel.dispose() });
  return { channel, recorder: record() };
}

async function refusal(connecting: Promise<void>): Promise<unknown> {
  return connecting.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('irc against ngircd', () => {
  test('irc - joins its rooms over TLS, and answers there whoever names it', async () => {
    const server = use(await Ngircd.start());
    const { channel, recorder } = adapter(server.tlsPort, { tls: true, tlsVerify: false });
    await channel.connect(recorder.ctx);
    using alice = await IrcUser.connect(server.port, 'Alice', ['#hall']);
    await alice.say('#hall', 'nobody is meant');
    await alice.say('#hall', 'orrery: hello');
    const inbound = await recorder.accepted.next();
    expect(inbound).toMatchObject({ namespace: 'contract:#hall:alice', message: { content: 'hello' } });
    expect(inbound.metadata).toMatchObject({ peer: 'alice', author: 'Alice', room: '#hall', kind: 'room' });
    await channel.send(replyTo(inbound, '**hi**\n```\ncode\n```'), sendOptions());
    expect((await alice.heard.next()).params).toEqual(['#hall', 'Alice: hi']);
    expect((await alice.heard.next()).params).toEqual(['#hall', 'code']);
    expect(recorder.accepted.all).toHaveLength(1);
  });

  test('irc - fails for good with a hint when the certificate is not trusted', async () => {
    const server = use(await Ngircd.start());
    const { channel, recorder } = adapter(server.tlsPort, { tls: true });
    const error = await refusal(channel.connect(recorder.ctx));
    expect(isFatal(error)).toBe(true);
    expect(toWire(error).hint).toContain('NODE_EXTRA_CA_CERTS');
  });

  test('irc - takes another nick while its own is in use, and its own when that is free', async () => {
    const server = use(await Ngircd.start());
    const other = await IrcUser.connect(server.port, 'orrery', ['#hall']);
    const { channel, recorder } = adapter(server.port);
    await channel.connect(recorder.ctx);
    expect(channel.health()['nick']).toBe('orrery_');
    other.write('QUIT :bye');
    await eventually('the nick is taken back', () => channel.health()['nick'] === 'orrery');
    other[Symbol.dispose]();
  });

  test('irc - a reply to somebody who left is undeliverable, at once', async () => {
    const server = use(await Ngircd.start());
    const { channel, recorder } = adapter(server.port);
    await channel.connect(recorder.ctx);
    const alice = await IrcUser.connect(server.port, 'alice');
    await alice.say('orrery', 'question');
    const inbound = await recorder.accepted.next();
    alice.write('QUIT');
    await alice.wait((line) => line.command === 'ERROR');
    const error: unknown = await channel.send(replyTo(inbound, 'answer'), sendOptions()).catch((e: unknown) => e);
    expect(toWire(error).code).toBe('ORRERY_UNDELIVERABLE');
    expect(ERRORS.ORRERY_UNDELIVERABLE.retryable).toBe(false);
    alice[Symbol.dispose]();
  });

  test('irc - control characters of a reply never become a command', async () => {
    const server = use(await Ngircd.start());
    const { channel, recorder } = adapter(server.port);
    await channel.connect(recorder.ctx);
    using alice = await IrcUser.connect(server.port, 'alice');
    await alice.say('orrery', 'question');
    const inbound = await recorder.accepted.next();
    await channel.send(replyTo(inbound, 'one\r\nQUIT :evil\u0000\u0001VERSION\u0001'), sendOptions());
    expect((await alice.heard.next()).params.at(-1)).toBe('one');
    expect((await alice.heard.next()).params.at(-1)).toBe('QUIT :evilVERSION');
    expect(recorder.closed.all).toEqual([]);
  });
});

describe('irc with accounts and tags', () => {
  const sasl = { account: 'bot', password: 'secret' };

  test('irc - identifies by SASL before it joins', async () => {
    const server = use(await IrcServer.start({ accounts: { bot: 'secret' } }));
    const { channel, recorder } = adapter(server.port, { sasl });
    await channel.connect(recorder.ctx);
    const commands = server.lines.all.map((line) => line.command);
    expect(commands.indexOf('AUTHENTICATE')).toBeGreaterThan(0);
    expect(commands.indexOf('JOIN')).toBeGreaterThan(commands.lastIndexOf('AUTHENTICATE'));
  });

  test('irc - fails for good when its password is wrong, and says what to check', async () => {
    const server = use(await IrcServer.start({ accounts: { bot: 'another' } }));
    const { channel, recorder } = adapter(server.port, { sasl });
    const error = await refusal(channel.connect(recorder.ctx));
    expect(isFatal(error)).toBe(true);
    expect(toWire(error)).toMatchObject({
      code: 'ORRERY_UNAUTHORIZED',
      hint: expect.stringContaining('sasl.password'),
    });
    expect(JSON.stringify(toWire(error))).not.toContain('secret');
  });

  test('irc - tries again later when the server has no accounts for the moment, and never goes on without', async () => {
    const server = use(await IrcServer.start());
    const { channel, recorder } = adapter(server.port, { sasl });
    const error = await refusal(channel.connect(recorder.ctx));
    expect(error).toBeDefined();
    expect(isFatal(error)).toBe(false);
    expect(server.lines.all.some((line) => line.command === 'JOIN')).toBe(false);
  });

  test('irc - takes the id and the account of a message from its tags, and allows by account', async () => {
    const server = use(await IrcServer.start());
    const { channel, recorder } = adapter(server.port, {}, { allow: ['account:alice'] });
    await channel.connect(recorder.ctx);
    server.say('mallory', 'orrery', 'let me in', { msgid: 'm1' });
    server.say('alice', 'orrery', 'not identified', { msgid: 'm2' });
    server.say('al', 'orrery', 'hello', { msgid: 'm3', account: 'alice' });
    server.say('al', 'orrery', 'a robot', { msgid: 'm4', account: 'alice', bot: '' });
    server.say('al', 'orrery', 'hello', { msgid: 'm3', account: 'alice' });
    server.say('al', 'orrery', 'end', { msgid: 'm5', account: 'alice' });
    await eventually('the last one came', () => recorder.accepted.all.at(-1)?.message.content === 'end');
    expect(recorder.accepted.all.map((m) => m.id)).toEqual(['m3', 'm3', 'm5']);
    expect(channel.health()).toMatchObject({ notAllowed: 2, bot: 1 });
  });

  test('irc - does not know whether a reply arrived until the server answers, and sends it again on the next connection', async () => {
    const server = use(await IrcServer.start());
    const { channel, recorder } = adapter(server.port);
    await channel.connect(recorder.ctx);
    server.say('alice', 'orrery', 'question');
    const inbound = await recorder.accepted.next();
    server.answersPings = false;
    const first = channel.send(replyTo(inbound, 'answer'), sendOptions('key')).catch((error: unknown) => error);
    await server.heard.next();
    server.drop();
    expect(toWire(await first).code).toBe('ORRERY_CHANNEL_FAILED');
    await recorder.closed.next();
    await channel.dispose();
    server.answersPings = true;
    const again = record();
    await channel.connect(again.ctx);
    await channel.send(replyTo(inbound, 'answer'), sendOptions('key'));
    expect((await server.heard.next()).params).toEqual(['alice', 'answer']);
    expect(channel.health()['unconfirmed']).toBe(1);
  });
});
