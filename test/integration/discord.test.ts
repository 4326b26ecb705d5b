import { afterEach, describe, expect, test } from 'vitest';
import { isFatal } from '../../src/main/channels/connection.ts';
import { DiscordDriver } from '../../src/main/channels/discord/driver.ts';
import { ChannelMemory } from '../../src/main/channels/network/memory.ts';
import { NetworkChannel, type NetworkOptions } from '../../src/main/channels/network/network-channel.ts';
import { type DeliveryListener, toWire } from '../../src/protocol/index.ts';
import { type Recorder, options as sendOptions, record } from '../contract/harness.ts';
import { replyTo } from '../support/channels.ts';
import { DiscordServer, type DiscordServerOptions, TOKEN } from '../support/discord/server.ts';
import { makeUser } from '../support/discord/world.ts';
import { eventually } from '../support/host.ts';

/** Of the privileged intents, the one for the text of all messages. */
const MESSAGE_CONTENT = 1 << 15;
const open: AsyncDisposable[] = [];

afterEach(async () => {
  for (const thing of open.splice(0).toReversed()) await thing[Symbol.asyncDispose]();
});

async function setUp(
  o: { server?: DiscordServerOptions; rules?: Partial<NetworkOptions>; resumeMs?: number; memory?: ChannelMemory } = {},
): Promise<{ server: DiscordServer; channel: NetworkChannel; recorder: Recorder }> {
  const server = await DiscordServer.start(o.server);
  open.push(server);
  const rules: NetworkOptions = {
    allow: ['*'],
    respondTo: 'mentions',
    rateLimitPerMinute: Infinity,
    stream: false,
    ...o.rules,
  };
  const { resumeMs = 10_000, memory = new ChannelMemory() } = o;
  const driver = new DiscordDriver({ token: TOKEN, apiUrl: server.apiUrl, respondTo: rules.respondTo, resumeMs });
  const channel = new NetworkChannel(driver, rules, memory);
  open.push({ [Symbol.asyncDispose]: () => channel.dispose() });
  return { server, channel, recorder: record() };
}

function contents(recorder: Recorder): readonly string[] {
  return recorder.accepted.all.map((m) => m.message.content);
}

describe('what the bot takes in', () => {
  test('discord - is told of a message by room, author, mentions, reply and attachments', async () => {
    const { server, channel, recorder } = await setUp();
    await channel.connect(recorder.ctx);
    const { world } = server;
    const first = server.say({ room: world.room, content: 'what is this?' });
    server.say({
      room: world.room,
      content: `<@${world.self.id}> ask <@${world.alice.id}>`,
      replyTo: first.id,
      attachments: [
        { id: '1', filename: 'a.png', url: 'https://cdn.example/a.png', content_type: 'image/png', size: 3 },
        { id: '2', filename: 'a.bin', url: 'https://cdn.example/a.bin', size: 3 },
      ],
    });
    const inbound = await recorder.accepted.next();
    expect(inbound.message).toEqual({
      role: 'user',
      content: 'ask @alice',
      parts: [
        { type: 'image', url: 'https://cdn.example/a.png', mediaType: 'image/png' },
        { type: 'file', url: 'https://cdn.example/a.bin', name: 'a.bin' },
      ],
    });
    expect(inbound.namespace).toBe(`contract:${world.guild.id}:${world.room.id}:${world.alice.id}`);
    expect(inbound.metadata).toMatchObject({
      peer: world.alice.id,
      author: 'alice',
      guild: world.guild.id,
      room: world.room.id,
      replyTo: first.id,
      mentions: `${world.self.id},${world.alice.id}`,
    });
    expect(recorder.accepted.all).toHaveLength(1);
  });

  test('discord - a thread is one session of all who talk there', async () => {
    const { server, channel, recorder } = await setUp();
    const thread = server.world.addRoom('thread', server.world.room);
    await channel.connect(recorder.ctx);
    server.mention('in the thread', thread);
    const { world } = server;
    expect(await recorder.accepted.next()).toMatchObject({
      namespace: `contract:${world.guild.id}:${world.room.id}:${thread.id}`,
      metadata: { room: world.room.id, thread: thread.id, target: thread.id },
    });
  });

  test('discord - passes over bots, itself, those not allowed, and direct messages of those allowed in a room only', async () => {
    const { server, channel, recorder } = await setUp({ rules: { allow: [] } });
    await channel.connect(recorder.ctx);
    server.mention('nobody may');
    await eventually('it was passed over', () => channel.health()['notAllowed'] === 1);
    await channel.dispose();

    const { world } = server;
    const rules: NetworkOptions = {
      allow: [`guild:${world.guild.id}`],
      respondTo: 'mentions',
      rateLimitPerMinute: Infinity,
      stream: false,
    };
    const driver = new DiscordDriver({ token: TOKEN, apiUrl: server.apiUrl, respondTo: 'mentions' });
    const other = new NetworkChannel(driver, rules, new ChannelMemory());
    open.push({ [Symbol.asyncDispose]: () => other.dispose() });
    const again = record();
    await other.connect(again.ctx);
    server.say({ content: 'in private' });
    server.say({ room: world.room, user: makeUser('robot', true), content: `<@${world.self.id}> beep` });
    server.say({ room: world.room, content: 'not addressed' });
    server.mention('allowed');
    expect((await again.accepted.next()).message.content).toBe('allowed');
    expect(other.health()).toMatchObject({ notAllowed: 1, bot: 1, notAddressed: 1 });
  });

  test('discord - tells a user once who writes too fast, and takes the rest no further', async () => {
    const { server, channel, recorder } = await setUp({ rules: { rateLimitPerMinute: 2 } });
    await channel.connect(recorder.ctx);
    for (const text of ['one', 'two', 'three', 'four']) server.say({ content: text });
    expect((await server.heard.next()).message.content).toMatch(/faster than I may answer/);
    await eventually('all were looked at', () => channel.health()['limited'] === 2);
    expect(contents(recorder)).toEqual(['one', 'two']);
    expect(server.heard.all).toHaveLength(1);
  });
});

describe('what the bot sends', () => {
  test('discord - answers as a reply that rings for nobody else', async () => {
    const { server, channel, recorder } = await setUp();
    await channel.connect(recorder.ctx);
    const question = server.mention('question');
    await channel.send(replyTo(await recorder.accepted.next(), 'hello @everyone'), sendOptions());
    const { message } = await server.heard.next();
    expect(message.message_reference).toEqual({ message_id: question.id });
    expect(message.nonce).toHaveLength(24);
  });

  test('discord - shows a reply while it is written, and then stands with the reply alone', async () => {
    const { server, channel, recorder } = await setUp({ rules: { stream: true } });
    let listener: DeliveryListener | undefined;
    const accept = recorder.ctx.accept.bind(recorder.ctx);
    const ctx = {
      ...recorder.ctx,
      accept: (...[inbound, heard]: Parameters<typeof accept>) => {
        listener = heard;
        return accept(inbound);
      },
    };
    await channel.connect(ctx);
    server.say({ content: 'tell me a story' });
    const inbound = await recorder.accepted.next();
    listener?.delta?.('Once upon');
    expect((await server.heard.next()).message.content).toBe('Once upon …');
    listener?.delta?.(' a time');
    expect((await server.edits.next()).message.content).toBe('Once upon a time …');
    listener?.reset?.();
    const { ids } = await channel.send(replyTo(inbound, 'Twice upon a time.'), sendOptions(`d-${inbound.id}`));
    expect(server.standing(server.world.dm)).toEqual(['Twice upon a time.']);
    expect(ids).toHaveLength(1);
  });

  test('discord - finds by its nonce what was posted before a restart of the process, and makes it the reply', async () => {
    const { server, channel, recorder } = await setUp();
    await channel.connect(recorder.ctx);
    server.say({ content: 'question' });
    const inbound = await recorder.accepted.next();
    await channel.send(replyTo(inbound, 'a draft'), sendOptions('key'));
    await channel.dispose();
    const driver = new DiscordDriver({ token: TOKEN, apiUrl: server.apiUrl, respondTo: 'mentions' });
    const rules = { allow: ['*'], respondTo: 'mentions', rateLimitPerMinute: Infinity, stream: false } as const;
    const other = new NetworkChannel(driver, rules, new ChannelMemory());
    open.push({ [Symbol.asyncDispose]: () => other.dispose() });
    await other.connect(record().ctx);
    await other.send(replyTo(inbound, 'the answer'), sendOptions('key'));
    expect(server.standing(server.world.dm)).toEqual(['the answer']);
    expect(server.enforced).toBe(1);
  });

  test('discord - a place that is closed to the bot makes the reply undeliverable, not tried again', async () => {
    const { channel, recorder, server } = await setUp();
    await channel.connect(recorder.ctx);
    server.say({ content: 'question' });
    const out = replyTo(await recorder.accepted.next(), 'answer');
    const target = { ...out.target, metadata: { ...out.target.metadata, target: '42' } };
    const error: unknown = await channel.send({ ...out, target }, sendOptions()).catch((e: unknown) => e);
    expect(toWire(error)).toMatchObject({ code: 'ORRERY_UNDELIVERABLE' });
  });

  test.each([
    [502, 'ORRERY_CHANNEL_CLOSED'],
    [503, 'ORRERY_CHANNEL_CLOSED'],
    [500, 'ORRERY_CHANNEL_FAILED'],
  ])('discord - a reply is told apart as not there or failed when Discord answers %i: %s', async (status, code) => {
    const { channel, recorder, server } = await setUp();
    await channel.connect(recorder.ctx);
    server.say({ content: 'question' });
    const out = replyTo(await recorder.accepted.next(), 'answer');
    server.status = status;
    const error: unknown = await channel.send(out, sendOptions('key')).catch((e: unknown) => e);
    expect(toWire(error)).toMatchObject({ code });
    server.status = undefined;
    await channel.send(out, sendOptions('key'));
    expect(server.standing(server.world.dm)).toEqual(['answer']);
  });

  test('discord - a reply waits, and is not given up, when the token it goes with is refused', async () => {
    const { channel, recorder, server } = await setUp();
    await channel.connect(recorder.ctx);
    server.say({ content: 'question' });
    const out = replyTo(await recorder.accepted.next(), 'answer');
    server.token = 'another';
    const error: unknown = await channel.send(out, sendOptions()).catch((e: unknown) => e);
    expect(toWire(error)).toMatchObject({ code: 'ORRERY_CHANNEL_CLOSED' });
    expect(toWire((await recorder.closed.next()).cause)).toMatchObject({ code: 'ORRERY_UNAUTHORIZED' });
  });

  test('discord - a token that is revoked while it runs ends the channel for good', async () => {
    const { channel, recorder, server } = await setUp();
    await channel.connect(recorder.ctx);
    server.say({ content: 'question' });
    const inbound = await recorder.accepted.next();
    server.token = 'another';
    await channel.send(replyTo(inbound, 'answer'), sendOptions()).catch(() => undefined);
    expect(isFatal((await recorder.closed.next()).cause)).toBe(true);
  });
});

describe('connections', () => {
  test('discord - is fatal with a hint when an intent is not granted, which is asked for only where all is read', async () => {
    const server = { disallowedIntents: MESSAGE_CONTENT };
    const all = await setUp({ server, rules: { respondTo: 'all' } });
    const error: unknown = await all.channel.connect(all.recorder.ctx).catch((e: unknown) => e);
    expect(isFatal(error)).toBe(true);
    expect(toWire(error).hint).toContain('Message Content Intent');
    const mentions = await setUp({ server });
    await mentions.channel.connect(mentions.recorder.ctx);
  });

  test('discord - is fatal when the gateway refuses the token', async () => {
    const { server, channel, recorder } = await setUp({ server: { token: 'the gateway knows another' } });
    server.token = TOKEN;
    const error: unknown = await channel.connect(recorder.ctx).catch((e: unknown) => e);
    expect(toWire(error)).toMatchObject({ code: 'ORRERY_UNAUTHORIZED' });
  });

  test.each([
    ['is cut', (s: DiscordServer) => s.gateway.drop()],
    ['is asked to connect again', (s: DiscordServer) => s.gateway.askToReconnect()],
    ['is closed with a code that may be resumed', (s: DiscordServer) => s.gateway.drop(4000)],
  ])('discord - resumes, and has what was said meanwhile replayed, when it %s', async (_, lose) => {
    const { server, channel, recorder } = await setUp();
    await channel.connect(recorder.ctx);
    server.say({ content: 'before' });
    await recorder.accepted.next();
    lose(server);
    await eventually('the connection is gone', () => server.gateway.live === 0);
    server.say({ content: 'meanwhile' });
    await eventually('it was replayed', () => contents(recorder).includes('meanwhile'));
    server.say({ content: 'after' });
    await eventually('all came', () => contents(recorder).includes('after'));
    expect(contents(recorder)).toEqual(['before', 'meanwhile', 'after']);
    expect(channel.health()).toMatchObject({ drops: 1, resumes: 1 });
    expect(recorder.closed.all).toEqual([]);
  });

  test('discord - identifies anew when its session is gone, and fetches in order what nobody sent it', async () => {
    const { server, channel, recorder } = await setUp();
    await channel.connect(recorder.ctx);
    const { world } = server;
    server.say({ content: 'before' });
    await recorder.accepted.next();
    server.gateway.forget();
    server.gateway.drop();
    await eventually('the connection is gone', () => server.gateway.live === 0);
    for (let i = 0; i < 120; i++) server.say({ content: `missed ${i}` });
    server.mention('missed in the hall');
    await eventually('it is back', () => server.gateway.live === 1);
    server.say({ content: 'after' });
    await eventually('all came', () => recorder.accepted.all.length >= 123);
    const dm = recorder.accepted.all.filter((m) => m.metadata['room'] === world.dm.id).map((m) => m.message.content);
    expect(dm).toEqual(['before', ...Array.from({ length: 120 }, (_, i) => `missed ${i}`), 'after']);
    expect(contents(recorder)).toContain('missed in the hall');
  });

  test('discord - fetches what was said while the process was down from where its memory ends', async () => {
    const memory = new ChannelMemory();
    const { server, channel, recorder } = await setUp({ memory });
    server.mention('before the bot was there');
    await channel.connect(recorder.ctx);
    server.mention('heard');
    await recorder.accepted.next();
    await eventually(
      'it is marked',
      () => memory.mark(server.world.room.id)?.last === server.world.room.messages.at(-1)?.id,
    );
    channel.shutdown();
    server.mention('while it stops');
    await channel.dispose();
    server.mention('while it is down');
    const again = record();
    await channel.connect(again.ctx);
    server.mention('after');
    await eventually('all came', () => again.accepted.all.length === 3);
    expect(contents(again)).toEqual(['while it stops', 'while it is down', 'after']);
    expect(contents(recorder)).toEqual(['heard']);
  });

  test('discord - gives up what does not come back in time, though the library tries again and again within it', async () => {
    // More than two of its attempts, which come half a second apart.
    const { server, channel, recorder } = await setUp({ resumeMs: 1_200 });
    await channel.connect(recorder.ctx);
    server.gateway.down = true;
    server.gateway.drop();
    expect((await recorder.closed.next()).cause).toMatchObject({
      message: expect.stringContaining('did not come back'),
    });
  });

  test('discord - gives up what does not come back in time, and leaves no connection behind', async () => {
    const { server, channel, recorder } = await setUp({ resumeMs: 50 });
    await channel.connect(recorder.ctx);
    server.gateway.down = true;
    server.gateway.drop();
    expect(isFatal((await recorder.closed.next()).cause)).toBe(false);
    await channel.dispose();
    server.gateway.down = false;
    const before = server.gateway.events.length;
    // The library would be back half a second after the loss.
    await new Promise((resolve) => {
      setTimeout(resolve, 700);
    });
    expect(server.gateway.events.slice(before)).toEqual([]);
  });

  test('discord - leaves no connection behind that was ended while it asked for the gateway', async () => {
    const { server, channel, recorder } = await setUp();
    const held = Promise.withResolvers<void>();
    server.held = held.promise;
    const connecting = channel.connect(recorder.ctx).catch(() => undefined);
    await eventually('it asks', () => server.requests.length === 1);
    recorder.abort.abort();
    await Promise.all([connecting, channel.dispose()]);
    held.resolve();
    const again = record();
    await channel.connect(again.ctx);
    expect(server.gateway.events).toEqual(['hello', 'identify']);
    expect(server.gateway.live).toBe(1);
  });
});
