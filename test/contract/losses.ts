/** Owns the part of the adapter contract that is about lost connections, repeated events and restarts: nothing is lost, nothing comes twice. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ChannelManager } from '../../src/main/channels/manager.ts';
import { TestHost } from '../support/channels.ts';
import { eventually } from '../support/host.ts';
import { type ChannelHarness, NAME, record } from './harness.ts';

const RECONNECT = { minMs: 10, maxMs: 50, jitter: 0, resetAfterMs: 60_000 };
const LOAD = 60;

export function lossContract(name: string, makeHarness: () => Promise<ChannelHarness>): void {
  describe(`the adapter contract on losses, kept by ${name}`, () => {
    let harness: ChannelHarness;

    beforeEach(async () => {
      harness = await makeHarness();
    });

    afterEach(async () => {
      await harness[Symbol.asyncDispose]();
    });

    /** Says something as soon as somebody is there to take it. */
    function sayWhenHeard(text: string): Promise<boolean> {
      return eventually(`somebody hears "${text}"`, () =>
        harness.say(text).then(
          () => true,
          () => false,
        ),
      );
    }

    test('adapter - hands an event in under one id when the network delivers it twice', async ({ skip }) => {
      if (harness.sayTwice === undefined) return skip('the network names no events');
      const recorder = record();
      await harness.channel.connect(recorder.ctx);
      await harness.sayTwice('twice');
      await Promise.all([recorder.accepted.next(), harness.say('after it')]);
      await eventually('the last one came', () => recorder.accepted.all.some((m) => m.message.content === 'after it'));
      const twice = recorder.accepted.all.filter((m) => m.message.content === 'twice');
      expect(new Set(twice.map((m) => m.id)).size).toBe(1);
    });

    test('adapter - is connected again by its machine, with what was missed where the network keeps it', async ({
      skip,
    }) => {
      if (harness.breakConnection === undefined || harness.mendNetwork === undefined) return skip('it cannot break');
      const host = new TestHost();
      const manager = new ChannelManager('echo', { host, reconnect: RECONNECT });
      await manager.start(harness.channel, { name: NAME });
      await harness.say('before');
      expect((await harness.hear()).text).toBe('before');
      await host.settled();
      await harness.breakConnection();
      await eventually('the loss is noticed', () => !manager.isConnected());
      await harness.sayUnheard?.('meanwhile');
      await harness.mendNetwork();
      await sayWhenHeard('after');
      const expected = harness.sayUnheard === undefined ? ['after'] : ['meanwhile', 'after'];
      const heard: string[] = [];
      for (const _ of expected) heard.push((await harness.hear()).text);
      expect(heard).toEqual(expected);
      expect(new Set(host.accepted.all.map(({ message }) => message.id)).size).toBe(host.accepted.all.length);
      await manager.stop();
    });

    test('adapter - answers each message once and in order when it is restarted under load', async () => {
      const host = new TestHost();
      const manager = new ChannelManager('echo', { host });
      await manager.start(harness.channel, { name: NAME });
      const texts = Array.from({ length: LOAD }, (_, i) => `message ${i}`);
      const said = (async () => {
        for (const text of texts) await sayWhenHeard(text);
      })();
      const heard: string[] = [];
      while (heard.length < LOAD) {
        heard.push((await harness.hear()).text);
        if (heard.length === LOAD / 3 || heard.length === LOAD / 2)
          await manager.start(harness.channel, { name: NAME });
      }
      await said;
      await manager.stop();
      expect(heard).toEqual(texts);
    });
  });
}
