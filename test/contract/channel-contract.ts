/** Owns what every adapter must do, as tests that run over any of them. A harness plays the adapter's network. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Channel } from '../../src/main/channels/channel.ts';
import { isFatal } from '../../src/main/channels/connection.ts';
import { ChannelManager } from '../../src/main/channels/manager.ts';
import { type Accepted, type InboundMessage, Namespace, OrreryError } from '../../src/protocol/index.ts';
import { TestHost, replyTo } from '../support/channels.ts';
import { type ChannelHarness, NAME, type Recorder, errorTo, options, record } from './harness.ts';
import { lossContract } from './losses.ts';
import { sendingContract } from './sending.ts';

/** Runs the adapter contract over the channel that `makeHarness` gives; each test gets a new one. */
export function channelContract(name: string, makeHarness: () => Promise<ChannelHarness>): void {
  sendingContract(name, makeHarness);
  lossContract(name, makeHarness);
  describe(`the adapter contract, kept by ${name}`, () => {
    let harness: ChannelHarness;
    let channel: Channel;

    beforeEach(async () => {
      harness = await makeHarness();
      ({ channel } = harness);
    });

    afterEach(async () => {
      await harness[Symbol.asyncDispose]();
    });

    async function end(recorder: Recorder): Promise<void> {
      channel.shutdown();
      recorder.abort.abort();
      await channel.dispose?.();
    }

    async function receive(recorder: Recorder, text: string): Promise<InboundMessage> {
      const [inbound] = await Promise.all([recorder.accepted.next(), harness.say(text)]);
      return inbound;
    }

    test('adapter - hands in what a user says, as plain data under its own channel', async () => {
      const recorder = record();
      await channel.connect(recorder.ctx);
      const before = Date.now();
      const inbound = await receive(recorder, 'hello, wörld 💬');
      expect(inbound.message).toMatchObject({ role: 'user', content: 'hello, wörld 💬' });
      expect(inbound.channel).toBe(NAME);
      expect(inbound.id).not.toBe('');
      expect(Namespace.parse(inbound.namespace)).toMatchObject({ root: NAME, key: inbound.namespace });
      expect(Object.values(inbound.metadata).every((v) => typeof v === 'string')).toBe(true);
      expect(inbound.receivedAt).toBeLessThanOrEqual(Date.now());
      expect(inbound.receivedAt).toBeGreaterThanOrEqual(before - 86_400_000);
      expect(structuredClone(inbound)).toEqual(inbound);
      await end(recorder);
    });

    test('adapter - gives two messages two ids, in the order they were said', async () => {
      const recorder = record();
      await channel.connect(recorder.ctx);
      const first = await receive(recorder, 'one');
      const second = await receive(recorder, 'two');
      expect([first.message.content, second.message.content]).toEqual(['one', 'two']);
      expect(first.id).not.toBe(second.id);
      expect(first.namespace).toBe(second.namespace);
      await end(recorder);
    });

    test('adapter - sends a reply to who asked, and a receipt', async () => {
      const recorder = record();
      await channel.connect(recorder.ctx);
      const inbound = await receive(recorder, 'question');
      const out = replyTo(inbound, 'answer, wörld 💬');
      const copy = structuredClone(out);
      const [heard, receipt] = await Promise.all([harness.hear(), channel.send(out, options())]);
      expect(heard).toEqual({ text: 'answer, wörld 💬', error: false });
      expect(Array.isArray(receipt.ids)).toBe(true);
      expect(out).toEqual(copy);
      await end(recorder);
    });

    test('adapter - tells who asked of an error, in words', async () => {
      const recorder = record();
      await channel.connect(recorder.ctx);
      const inbound = await receive(recorder, 'question');
      const { target } = replyTo(inbound, '');
      const [heard] = await Promise.all([harness.hear(), channel.sendError(errorTo(target), options())]);
      expect(heard.error).toBe(true);
      expect(heard.text).not.toBe('');
      await end(recorder);
    });

    test('adapter - acknowledges to its network only what was accepted', async ({ skip }) => {
      skip(harness.acknowledges !== true, 'the network does not learn of it');
      const recorder = record();
      const durable = Promise.withResolvers<Accepted>();
      recorder.outcome = () => durable.promise;
      await channel.connect(recorder.ctx);
      let acknowledged = false;
      const said = harness.say('not yet durable').then(() => {
        acknowledged = true;
      });
      const inbound = await recorder.accepted.next();
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      expect(acknowledged).toBe(false);
      durable.resolve({ status: 'accepted', id: inbound.id, agent: 'echo' });
      await said;
      await end(recorder);
    });

    test('adapter - outlives a refusal by intake', async () => {
      const recorder = record();
      await channel.connect(recorder.ctx);
      recorder.outcome = () => Promise.reject(new OrreryError('ORRERY_OVERLOADED', 'too much'));
      // Whether the network hears of it is the network's affair.
      await Promise.all([recorder.accepted.next(), harness.say('refused').catch(() => undefined)]);
      recorder.outcome = async (inbound) => ({ status: 'accepted', id: inbound.id, agent: 'echo' });
      expect((await receive(recorder, 'taken')).message.content).toBe('taken');
      expect(recorder.closed.all).toEqual([]);
      await end(recorder);
    });

    test('adapter - after shutdown it takes in nothing, and still sends what is in flight', async () => {
      const recorder = record();
      await channel.connect(recorder.ctx);
      const inbound = await receive(recorder, 'before');
      channel.shutdown();
      await harness.say('after').catch(() => undefined);
      const [heard] = await Promise.all([harness.hear(), channel.send(replyTo(inbound, 'still sent'), options())]);
      expect(heard.text).toBe('still sent');
      expect(recorder.accepted.all.map((m) => m.message.content)).toEqual(['before']);
      await end(recorder);
    });

    test('adapter - shutdown before connect, twice, and after the end is harmless', async () => {
      channel.shutdown();
      const recorder = record();
      await channel.connect(recorder.ctx);
      channel.shutdown();
      channel.shutdown();
      await end(recorder);
      channel.shutdown();
      await channel.dispose?.();
      expect(recorder.accepted.all).toEqual([]);
    });

    test('adapter - the same instance serves one connection after another', async () => {
      for (const text of ['first', 'second']) {
        const recorder = record();
        await channel.connect(recorder.ctx);
        const inbound = await receive(recorder, text);
        expect(inbound.message.content).toBe(text);
        const sent = channel.send(replyTo(inbound, `re: ${text}`), options(`key-${text}`));
        const [heard] = await Promise.all([harness.hear(), sent]);
        expect(heard.text).toBe(`re: ${text}`);
        await end(recorder);
        await expect(harness.say('nobody is there')).rejects.toBeDefined();
        expect(recorder.accepted.all).toHaveLength(1);
      }
    });

    test('adapter - an abort while it connects ends the connection', async () => {
      const recorder = record();
      const connected = channel.connect(recorder.ctx).catch(() => undefined);
      recorder.abort.abort();
      await connected;
      await channel.dispose?.();
      await expect(harness.say('nobody is there')).rejects.toBeDefined();
      expect(recorder.accepted.all).toEqual([]);
    });

    test('adapter - shows that it types until disposed, where it can', async ({ skip }) => {
      skip(channel.startTyping === undefined, 'the network has no such thing');
      const recorder = record();
      await channel.connect(recorder.ctx);
      const { target } = replyTo(await receive(recorder, 'question'), '');
      const typing = channel.startTyping?.(target);
      typing?.[Symbol.dispose]();
      typing?.[Symbol.dispose]();
      expect(recorder.closed.all).toEqual([]);
      await end(recorder);
    });

    test('adapter - tells of a broken connection with its cause', async ({ skip }) => {
      skip(harness.breakConnection === undefined, 'the connection cannot break');
      const recorder = record();
      await channel.connect(recorder.ctx);
      await harness.breakConnection?.();
      expect((await recorder.closed.next()).cause).toBeDefined();
      await end(recorder);
      expect(recorder.closed.all).toHaveLength(1);
    });

    test('adapter - tells without a cause that its input ended by itself', async ({ skip }) => {
      skip(harness.endInput === undefined, 'the input has no end');
      const recorder = record();
      await channel.connect(recorder.ctx);
      await harness.endInput?.();
      expect(await recorder.closed.next()).toEqual({ cause: undefined });
      await end(recorder);
    });

    test.for(['passing', 'fatal'] as const)('adapter - rejects a connect that fails: %s', async (kind, { skip }) => {
      skip(harness.failConnect === undefined, 'the network refuses nobody');
      await harness.failConnect?.(kind);
      const recorder = record();
      const error: unknown = await channel.connect(recorder.ctx).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeDefined();
      expect(isFatal(error)).toBe(kind === 'fatal');
      await end(recorder);
    });

    test('adapter - a manager runs it: started, answered, replaced, answered again, stopped', async () => {
      const host = new TestHost();
      const manager = new ChannelManager('echo', { host });
      await manager.start(channel, { name: NAME });
      expect(manager.isConnected()).toBe(true);
      const [heard] = await Promise.all([harness.hear(), harness.say('ping')]);
      expect(heard).toEqual({ text: 'ping', error: false });
      await manager.start(channel, { name: NAME });
      const [again] = await Promise.all([harness.hear(), harness.say('ping again')]);
      expect(again).toEqual({ text: 'ping again', error: false });
      await manager.stop();
      expect(manager.isConnected()).toBe(false);
      await expect(harness.say('nobody is there')).rejects.toBeDefined();
    });
  });
}
