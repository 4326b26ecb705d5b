/**
 * Owns talking to agents over a pair of streams: a prompt on a terminal, one message a line from a pipe. It keeps no history
 * and starts no supervisor.
 */
import { randomUUID } from 'node:crypto';
import { type Interface, createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import {
  Namespace,
  type OutboundError,
  type OutboundMessage,
  type WireError,
  messageOf,
  toWire,
} from '../../protocol/index.ts';
import type { Channel, ChannelContext, SendReceipt } from './channel.ts';

export interface TerminalOptions {
  readonly input: Readable;
  readonly output: Writable;
  /** Where errors go. Default: `output`. */
  readonly errors?: Writable;
  /** The agent of all messages. Default: what the routing says. */
  readonly agent?: string;
  /** Names the session under the channel's name. Default: a new one for each connection. */
  readonly session?: string;
  /** A prompt, line editing and text as it comes, instead of whole answers only. Default: false. */
  readonly interactive?: boolean;
  /** Cancels the message of that id; asked for by Ctrl-C on a terminal. */
  cancel?(id: string): void;
}

/** The message that is being answered. One at a time: a pipe cannot fill the session's mailbox, and answers keep its order. */
interface Exchange {
  readonly id: string;
  readonly done: () => void;
  streamed: string;
  cancelled: boolean;
}

const PROMPT = '> ';

/** Reads messages from a stream and writes the answers to another. An instance serves one connection after another. */
export class TerminalChannel implements Channel {
  readonly type = 'terminal';
  readonly #options: TerminalOptions;
  #lines: Interface | undefined;
  #loop: Promise<void> = Promise.resolve();
  #exchange: Exchange | undefined;
  #failed = 0;

  constructor(options: TerminalOptions) {
    this.#options = options;
  }

  /** How many messages were answered with an error. */
  get failed(): number {
    return this.#failed;
  }

  connect(ctx: ChannelContext): Promise<void> {
    const { input, output, interactive = false } = this.#options;
    const lines = createInterface(interactive ? { input, output, terminal: true, prompt: PROMPT } : { input });
    this.#lines = lines;
    const left = Promise.withResolvers<void>();
    const leave = (): void => {
      lines.close();
      left.resolve();
    };
    ctx.signal.addEventListener('abort', leave, { once: true });
    // A reader that went away (`| head -1`) is an end like any other.
    output.once('error', leave);
    lines.on('SIGINT', () => this.#interrupt(leave));
    this.#loop = this.#read(lines, ctx, left.promise).then(
      () => ctx.closed(),
      (error: unknown) => ctx.closed(error),
    );
    void this.#loop.finally(() => {
      ctx.signal.removeEventListener('abort', leave);
      output.off('error', leave);
    });
    return Promise.resolve();
  }

  send(out: OutboundMessage): Promise<SendReceipt> {
    const { output, interactive = false } = this.#options;
    const exchange = this.#take(out.target.inReplyTo);
    const text = this.#shown(out.reply.message.content);
    const streamed = exchange?.streamed ?? '';
    if (!interactive || streamed === '') output.write(`${text}\n`);
    // Deltas are provisional: what the commit says is the answer.
    else output.write(streamed === text ? '\n' : `\n[the answer is:]\n${text}\n`);
    exchange?.done();
    return Promise.resolve({ ids: [out.reply.id] });
  }

  sendError(out: OutboundError): Promise<void> {
    this.#fail(out.error, this.#take(out.target.inReplyTo));
    return Promise.resolve();
  }

  shutdown(): void {
    this.#lines?.close();
  }

  async dispose(): Promise<void> {
    this.#lines?.close();
    await this.#loop;
  }

  async #read(lines: Interface, ctx: ChannelContext, left: Promise<void>): Promise<void> {
    const namespace = new Namespace(ctx.name, this.#options.session ?? randomUUID().slice(0, 8)).key;
    const prompt = (): void => {
      if (this.#options.interactive === true && this.#lines === lines) lines.prompt();
    };
    prompt();
    for await (const line of lines) {
      if (ctx.signal.aborted) return;
      if (line.trim() !== '') await Promise.race([this.#say(line, namespace, ctx), left]);
      if (ctx.signal.aborted) return;
      prompt();
    }
  }

  /** Hands a line in and waits until it is answered. */
  async #say(text: string, namespace: string, ctx: ChannelContext): Promise<void> {
    const { agent, interactive = false, output } = this.#options;
    const id = randomUUID();
    const answered = Promise.withResolvers<void>();
    const exchange: Exchange = { id, done: answered.resolve, streamed: '', cancelled: false };
    this.#exchange = exchange;
    const inbound = {
      id,
      channel: ctx.name,
      namespace,
      message: { role: 'user', content: text },
      metadata: ctx.metadata,
      receivedAt: Date.now(),
      ...(agent === undefined ? {} : { agent }),
    } as const;
    const delta = (piece: string): void => {
      if (this.#exchange !== exchange) return;
      const shown = this.#shown(piece);
      exchange.streamed += shown;
      output.write(shown);
    };
    const reset = (): void => {
      if (exchange.streamed !== '') output.write('\n[starting again]\n');
      exchange.streamed = '';
    };
    try {
      const accepted = await ctx.accept(inbound, interactive ? { delta, reset } : {});
      // Ids are random, so that a duplicate is a repetition by the host: what it says of it is the answer.
      if (accepted.status === 'duplicate' && accepted.state === 'dead') this.#fail(accepted.error, this.#take(id));
    } catch (error) {
      this.#fail(toWire(error), this.#take(id));
    }
    await answered.promise;
  }

  /** The first Ctrl-C cancels the running turn; without one, or again, it leaves. */
  #interrupt(leave: () => void): void {
    const exchange = this.#exchange;
    if (exchange === undefined || exchange.cancelled || this.#options.cancel === undefined) {
      leave();
      return;
    }
    exchange.cancelled = true;
    this.#options.output.write('\n[cancelling; Ctrl-C again leaves]\n');
    this.#options.cancel(exchange.id);
  }

  #take(id: string): Exchange | undefined {
    const exchange = this.#exchange;
    if (exchange?.id !== id) return undefined;
    this.#exchange = undefined;
    return exchange;
  }

  #fail(error: WireError, exchange: Exchange | undefined): void {
    this.#failed++;
    const { errors, output } = this.#options;
    if (exchange !== undefined && exchange.streamed !== '') output.write('\n');
    const hint = error.hint === undefined ? '' : `\n  ${error.hint}`;
    const code = error.code === undefined ? '' : ` (${error.code})`;
    (errors ?? output).write(`error: ${this.#shown(messageOf(error.message))}${code}${hint}\n`);
    exchange?.done();
  }

  /** Escape sequences of an answer would steer a person's terminal; a pipe gets the text as it is. */
  #shown(text: string): string {
    return this.#options.interactive === true ? text.replaceAll(/[^\P{Cc}\n\t]/gu, '') : text;
  }
}
