import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { ChannelContext } from '../../src/main/channels/channel.ts';
import { TerminalChannel, type TerminalOptions } from '../../src/main/channels/terminal.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { type DeliveryListener, type InboundMessage, NO_USAGE, OrreryError } from '../../src/protocol/index.ts';

interface Turn {
  readonly inbound: InboundMessage;
  readonly listener: DeliveryListener | undefined;
}

/** A terminal between two streams, and the host behind it as the test plays it. */
class Bench {
  readonly input = new PassThrough();
  readonly output = new PassThrough();
  readonly errors = new PassThrough();
  readonly abort = new AbortController();
  readonly channel: TerminalChannel;
  readonly accepted: Turn[] = [];
  readonly closed: unknown[] = [];
  readonly ended = Promise.withResolvers<void>();
  refuse: Error | undefined;
  #heard = Promise.withResolvers<void>();

  constructor(o: Partial<TerminalOptions> = {}) {
    const { input, output, errors } = this;
    this.channel = new TerminalChannel({ input, output, errors, ...o });
  }

  async connect(): Promise<this> {
    const context: ChannelContext = {
      signal: this.abort.signal,
      log: silentLogger(),
      name: 'terminal',
      metadata: { place: 'desk' },
      closed: (cause) => {
        this.closed.push(cause);
        this.ended.resolve();
      },
      accept: (inbound, listener) => {
        if (this.refuse !== undefined) return Promise.reject(this.refuse);
        this.accepted.push({ inbound, listener });
        this.#heard.resolve();
        return Promise.resolve({ status: 'accepted', id: `d-${inbound.id}`, agent: 'a' });
      },
    };
    await this.channel.connect(context);
    return this;
  }

  /** Resolves with the n-th message, counted from 1. */
  async turn(n: number): Promise<Turn> {
    for (;;) {
      const turn = this.accepted[n - 1];
      if (turn !== undefined) return turn;
      await this.#heard.promise;
      this.#heard = Promise.withResolvers();
    }
  }

  async answer({ inbound }: Turn, content: string): Promise<void> {
    const { id, namespace, metadata } = inbound;
    const target = { channel: 'terminal', namespace, inReplyTo: id, metadata };
    const message = { role: 'assistant', content } as const;
    await this.channel.send({
      target,
      reply: { message, usage: NO_USAGE, steps: 0, id: `d-${id}`, agent: 'a', namespace },
    });
  }

  async answerError({ inbound }: Turn, message: string): Promise<void> {
    const { id, namespace, metadata } = inbound;
    const target = { channel: 'terminal', namespace, inReplyTo: id, metadata };
    const error = { name: 'OrreryError', message, code: 'ORRERY_AGENT_FAILED', hint: 'look there' };
    await this.channel.sendError({ target, delivery: `d-${id}`, agent: 'a', error });
  }

  written(stream: PassThrough = this.output): string {
    return String(stream.read() ?? '');
  }
}

describe('terminal', () => {
  it('pipe - is answered in order, one message under way at a time', async () => {
    const bench = await new Bench().connect();
    bench.input.end('one\n\n  \ntwo\r\nthree');
    const first = await bench.turn(1);
    expect(first.inbound).toMatchObject({ channel: 'terminal', message: { role: 'user', content: 'one' } });
    expect(first.inbound.metadata).toEqual({ place: 'desk' });
    expect(bench.accepted).toHaveLength(1);
    await bench.answer(first, '1');
    await bench.answer(await bench.turn(2), '2');
    await bench.answer(await bench.turn(3), '3');
    await bench.ended.promise;
    expect(bench.written()).toBe('1\n2\n3\n');
    expect(bench.accepted.map(({ inbound }) => inbound.message.content)).toEqual(['one', 'two', 'three']);
    expect(new Set(bench.accepted.map(({ inbound }) => inbound.namespace)).size).toBe(1);
    expect(new Set(bench.accepted.map(({ inbound }) => inbound.id)).size).toBe(3);
  });

  it('input that ends by itself - closes only after the turn in flight is answered', async () => {
    const bench = await new Bench().connect();
    bench.input.end('last\n');
    const turn = await bench.turn(1);
    expect(bench.closed).toEqual([]);
    await bench.answer(turn, 'done');
    await bench.ended.promise;
    expect(bench.closed).toEqual([undefined]);
    expect(bench.written()).toBe('done\n');
  });

  it('empty input - closes at once without a cause', async () => {
    const bench = await new Bench().connect();
    bench.input.end();
    await bench.ended.promise;
    expect(bench.closed).toEqual([undefined]);
  });

  it('error - goes to the error stream with code and hint, is counted, and the next line is still read', async () => {
    const bench = await new Bench().connect();
    bench.input.end('bad\ngood\n');
    await bench.answerError(await bench.turn(1), 'it broke');
    await bench.answer(await bench.turn(2), 'fine');
    await bench.ended.promise;
    expect(bench.written(bench.errors)).toBe('error: it broke (ORRERY_AGENT_FAILED)\n  look there\n');
    expect(bench.written()).toBe('fine\n');
    expect(bench.channel.failed).toBe(1);
  });

  it('refusal - is told like an error when intake does not take a message', async () => {
    const bench = await new Bench().connect();
    bench.refuse = new OrreryError('ORRERY_OVERLOADED', 'too much');
    bench.input.end('x\n');
    await bench.ended.promise;
    expect(bench.written(bench.errors)).toContain('error: too much (ORRERY_OVERLOADED)');
    expect(bench.channel.failed).toBe(1);
  });

  it('shutdown - takes nothing more in, and the turn in flight is still answered', async () => {
    const bench = await new Bench().connect();
    bench.input.write('one\n');
    const turn = await bench.turn(1);
    bench.channel.shutdown();
    bench.input.write('two\n');
    await bench.answer(turn, '1');
    await bench.ended.promise;
    expect(bench.written()).toBe('1\n');
    expect(bench.accepted).toHaveLength(1);
  });

  it('abort - ends the connection without waiting for the turn', async () => {
    const bench = await new Bench().connect();
    bench.input.write('one\n');
    await bench.turn(1);
    bench.abort.abort();
    await bench.ended.promise;
    await bench.channel.dispose();
    expect(bench.written()).toBe('');
  });

  it('session and agent - stand in every message when they are given', async () => {
    const bench = await new Bench({ agent: 'atlas', session: 'a:b' }).connect();
    bench.input.end('x\n');
    const turn = await bench.turn(1);
    expect(turn.inbound).toMatchObject({ agent: 'atlas', namespace: 'terminal:a%3Ab' });
    await bench.answer(turn, 'y');
    await bench.ended.promise;
  });

  it('second connection - of one instance starts afresh', async () => {
    const input = new PassThrough();
    const bench = new Bench({ input });
    await bench.connect();
    bench.channel.shutdown();
    await bench.channel.dispose();
    const again = Object.assign(bench, { ended: Promise.withResolvers<void>() });
    await again.connect();
    input.end('hello\n');
    await again.answer(await again.turn(1), 'hi');
    await again.ended.promise;
    expect(again.written()).toBe('hi\n');
  });
});

describe('terminal with a person', () => {
  it('text - is shown as it comes, without escape sequences, and not twice', async () => {
    const bench = await new Bench({ interactive: true }).connect();
    bench.input.write('hi\r');
    const turn = await bench.turn(1);
    bench.written();
    turn.listener?.delta?.('Hel');
    turn.listener?.delta?.('\u001B[2Jlo');
    expect(bench.written()).toBe('Hel[2Jlo');
    await bench.answer(turn, 'Hel\u001B[2Jlo');
    expect(bench.written()).toBe('\n');
    bench.channel.shutdown();
    await bench.ended.promise;
  });

  it('answer - is shown whole when it is not what was streamed', async () => {
    const bench = await new Bench({ interactive: true }).connect();
    bench.input.write('hi\r');
    const turn = await bench.turn(1);
    turn.listener?.delta?.('first attempt');
    turn.listener?.reset?.();
    turn.listener?.delta?.('sec');
    bench.written();
    await bench.answer(turn, 'second');
    expect(bench.written()).toContain('[the answer is:]\nsecond\n');
    bench.channel.shutdown();
    await bench.ended.promise;
  });

  it('Ctrl-C - cancels the running turn first and leaves the second time', async () => {
    const cancelled: string[] = [];
    const bench = await new Bench({ interactive: true, cancel: (id) => cancelled.push(id) }).connect();
    bench.input.write('hi\r');
    const turn = await bench.turn(1);
    bench.input.write('\u0003');
    await expect.poll(() => cancelled).toEqual([turn.inbound.id]);
    expect(bench.closed).toEqual([]);
    bench.input.write('\u0003');
    await bench.ended.promise;
  });

  it('Ctrl-C - leaves at once when no turn runs', async () => {
    const bench = await new Bench({ interactive: true, cancel: () => undefined }).connect();
    bench.input.write('\u0003');
    await bench.ended.promise;
    expect(bench.closed).toEqual([undefined]);
  });
});
