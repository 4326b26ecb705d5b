/** Sends messages over real streams, torn at any place, and what is no message. */
import { createServer, connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FrameLink } from '../../src/lib/frame-link.ts';
import { runs } from '../support/properties.ts';

/** Collects the bytes of messages on two lines, by turns. */
async function bytesOf(messages: readonly unknown[]): Promise<Buffer> {
  const stream = new PassThrough();
  const link = new FrameLink(stream, 2);
  // A pass-through hears itself: what it would deliver is not wanted here.
  stream.removeAllListeners('data');
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  for (const [i, message] of messages.entries()) link.line(i % 2).postMessage(message);
  await link.end();
  return Buffer.concat(chunks);
}

function heard(stream: PassThrough): { readonly link: FrameLink; readonly messages: unknown[] } {
  const link = new FrameLink(stream, 2);
  const messages: unknown[] = [];
  for (const number of [0, 1]) link.line(number).on('message', (message) => messages.push(message));
  return { link, messages };
}

interface Pair extends AsyncDisposable {
  readonly ours: Socket;
  readonly theirs: Socket;
}

async function pair(): Promise<Pair> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const ours = connect(address.port, '127.0.0.1');
  const [theirs] = (await once(server, 'connection')) as [Socket];
  return {
    ours,
    theirs,
    async [Symbol.asyncDispose]() {
      ours.destroy();
      theirs.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

describe('a frame link', () => {
  test('frame link - messages arrive whole and in order however the stream is cut', async () => {
    const message = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.integer(),
      fc.constant(null),
      fc.array(fc.oneof(fc.string(), fc.integer())),
      fc.uint8Array(),
      fc.date({ noInvalidDate: true }),
    );
    const cuts = fc.infiniteStream(fc.integer({ min: 1, max: 40 }));
    await fc.assert(
      fc.asyncProperty(fc.array(message, { maxLength: 12 }), cuts, async (messages, sizes) => {
        const bytes = await bytesOf(messages);
        const stream = new PassThrough();
        const { link, messages: got } = heard(stream);
        for (let at = 0; at < bytes.length;) {
          const { value: size = 1 } = sizes.next() as { value?: number };
          stream.write(bytes.subarray(at, at + size));
          at += size;
        }
        stream.end();
        expect(await link.closed).toBeUndefined();
        expect(got).toEqual(messages);
      }),
      { numRuns: runs(60) },
    );
  });

  test('frame link - what comes before its listener waits for it, and a closed line hears nothing', async () => {
    const stream = new PassThrough();
    const link = new FrameLink(stream, 2);
    stream.end(await bytesOf(['for 0', 'for 1', 'more for 0']));
    await link.closed;
    const messages: unknown[] = [];
    link.line(0).on('message', (message) => messages.push(message));
    link.line(1).close();
    link.line(1).on('message', (message) => messages.push(message));
    expect(messages).toEqual(['for 0', 'more for 0']);
  });

  test('frame link - between two messages of one chunk all promises settle', async () => {
    const stream = new PassThrough();
    const link = new FrameLink(stream, 2);
    const order: string[] = [];
    link.line(0).on('message', (message) => {
      order.push(`heard ${String(message)}`);
      void (async () => {
        for (let i = 0; i < 64; i++) await Promise.resolve();
        order.push(`done ${String(message)}`);
      })();
    });
    stream.end(await bytesOf(['a', undefined, 'b', undefined, 'c']));
    await link.closed;
    expect(order).toEqual(['heard a', 'done a', 'heard b', 'done b', 'heard c', 'done c']);
  });

  test.each([
    ['text', Buffer.from('Warning: something is deprecated\n')],
    ['an unknown line', Buffer.from([0x52, 0x4f, 2, 0, 0, 0, 0, 0])],
    ['a message that is none', Buffer.concat([Buffer.from([0x52, 0x4f, 0, 0, 3, 0, 0, 0]), Buffer.from('xyz')])],
  ])('frame link - %s among frames ends the link, after what came before it', async (_, noise) => {
    const stream = new PassThrough();
    const { link, messages } = heard(stream);
    stream.write(Buffer.concat([await bytesOf(['before']), noise, await bytesOf(['after'])]));
    expect(await link.closed).toMatchObject({ code: 'ORRERY_PROTOCOL' });
    expect(messages).toEqual(['before']);
  });

  test('frame link - what cannot be cloned throws, sends nothing, and the next message goes out', async () => {
    const stream = new PassThrough();
    const { link, messages } = heard(stream);
    expect(() => link.line(0).postMessage({ key: () => 'a function' })).toThrow(expect.anything());
    link.line(1).postMessage('next');
    await link.end();
    expect(messages).toEqual(['next']);
    // Nobody is there any more: that is no error here.
    link.line(1).postMessage('late');
  });

  test('frame link - megabytes cross a socket both ways at once, and an end comes after all of them', async () => {
    await using sockets = await pair();
    const ours = new FrameLink(sockets.ours, 1);
    const theirs = new FrameLink(sockets.theirs, 1);
    const long = 'x'.repeat(3_000_000);
    const got: string[][] = [[], []];
    for (const [i, link] of [ours, theirs].entries()) {
      link.line(0).on('message', (message) => got[i]?.push(String(message)));
      for (let n = 0; n < 5; n++) link.line(0).postMessage(`${n}${long}`);
    }
    await Promise.all([ours.end(), theirs.end(), ours.closed, theirs.closed]);
    for (const texts of got)
      expect(texts.map((text) => [text[0], text.length])).toEqual(
        ['0', '1', '2', '3', '4'].map((n) => [n, long.length + 1]),
      );
  });

  test('frame link - a peer that vanishes closes it, and what is posted then is dropped', async () => {
    await using sockets = await pair();
    const link = new FrameLink(sockets.ours, 1);
    sockets.theirs.resetAndDestroy();
    expect(await link.closed).toBeUndefined();
    link.line(0).postMessage('into the void');
    await expect(link.end()).resolves.toBeUndefined();
  });
});
