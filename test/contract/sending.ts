/** Owns the part of the adapter contract that is about replies: order, long ones, edits, typing, limits and repeated sends. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { toWire } from '../../src/protocol/index.ts';
import { replyTo } from '../support/channels.ts';
import { type ChannelHarness, options, record } from './harness.ts';

const LONG = [
  'The first paragraph says what comes, in a sentence or two. It is not very long.',
  ...Array.from(
    { length: 60 },
    (_, i) => `Paragraph ${i} has words that are counted below: word-${i} is one of them, ünïcode too.`,
  ),
  ['```ts', ...Array.from({ length: 12 }, (_, i) => `const line${i} = ${i}; // a line of code`), '```'].join('\n'),
  'And this is the end.',
].join('\n\n');

export function sendingContract(name: string, makeHarness: () => Promise<ChannelHarness>): void {
  describe(`the adapter contract on sending, kept by ${name}`, () => {
    let harness: ChannelHarness;

    beforeEach(async () => {
      harness = await makeHarness();
    });

    afterEach(async () => {
      await harness[Symbol.asyncDispose]();
    });

    async function asked() {
      const recorder = record();
      await harness.channel.connect(recorder.ctx);
      const [inbound] = await Promise.all([recorder.accepted.next(), harness.say('question')]);
      return { recorder, inbound };
    }

    test('adapter - sends replies in the order of its calls', async () => {
      const { inbound } = await asked();
      const texts = Array.from({ length: 12 }, (_, i) => `answer ${i}`);
      const sent = texts.map((text) => harness.channel.send(replyTo(inbound, text), options(text)));
      const heard: string[] = [];
      for (const _ of texts) heard.push((await harness.hear()).text);
      await Promise.all(sent);
      expect(heard).toEqual(texts);
    });

    test('adapter - splits a long reply into messages that the network takes, and loses no word', async ({ skip }) => {
      const { maxLength } = harness;
      const measure = (text: string): number => harness.measure?.(text) ?? text.length;
      if (maxLength === undefined) return skip('a message may have any length');
      const { inbound } = await asked();
      const { ids } = await harness.channel.send(replyTo(inbound, LONG), options());
      const heard: string[] = [];
      for (const _ of ids) heard.push((await harness.hear()).text);
      expect(heard.length).toBeGreaterThan(1);
      expect(heard.filter((text) => measure(text) > maxLength)).toEqual([]);
      const words = (text: string): string[] =>
        text
          .replaceAll(/^```\w*$/gm, '')
          .split(/\s+/)
          .filter(Boolean);
      expect(words(heard.join('\n'))).toEqual(words(LONG));
    });

    test('adapter - edits what it sent, where the network has edits', async ({ skip }) => {
      const { channel } = harness;
      if (channel.edit === undefined || harness.hearEdit === undefined) return skip('the network has no edits');
      const { inbound } = await asked();
      const receipt = await channel.send(replyTo(inbound, 'a first try'), options());
      await channel.edit(receipt, replyTo(inbound, 'a second one'));
      expect(await harness.hearEdit()).toBe('a second one');
    });

    test('adapter - shows the user that it types', async ({ skip }) => {
      const { channel } = harness;
      if (channel.startTyping === undefined || harness.seeTyping === undefined) return skip('nobody would see it');
      const { inbound } = await asked();
      using _typing = channel.startTyping(replyTo(inbound, '').target);
      await expect(harness.seeTyping()).resolves.toBeUndefined();
    });

    test('adapter - tells when to come back where the network limits the rate, and then sends it once', async ({
      skip,
    }) => {
      if (harness.limitRate === undefined) return skip('the network has no limit');
      const { inbound } = await asked();
      harness.limitRate(5000);
      const out = replyTo(inbound, 'limited');
      const error: unknown = await harness.channel.send(out, options()).catch((thrown: unknown) => thrown);
      expect(toWire(error).code).toBe('ORRERY_RATE_LIMITED');
      expect(toWire(error).retryAfterMs).toBeGreaterThan(1000);
    });

    test('adapter - is heard once when the acknowledgement is lost and the same reply is sent again', async ({
      skip,
    }) => {
      if (harness.loseAcknowledgement === undefined) return skip('the network acknowledges nothing');
      const { inbound } = await asked();
      harness.loseAcknowledgement();
      await harness.channel.send(replyTo(inbound, 'once'), options('a')).catch(() => undefined);
      await harness.channel.send(replyTo(inbound, 'once'), options('a'));
      await harness.channel.send(replyTo(inbound, 'after it'), options('b'));
      expect([(await harness.hear()).text, (await harness.hear()).text]).toEqual(['once', 'after it']);
    });
  });
}
