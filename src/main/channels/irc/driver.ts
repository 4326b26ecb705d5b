/** Owns IRC as a {@link NetworkDriver}: the form of its lines, and sending them. The connection is connection.ts's. */
import { OrreryError } from '../../../protocol/index.ts';
import type { Link, NetworkDriver, PostOptions, Posted, Recipient } from '../network/driver.ts';
import { loadPeer } from '../network/peer.ts';
import { IrcConnection, type IrcOptions } from './connection.ts';
import { type Formatting, roomFor, toLines } from './lines.ts';

export interface IrcDriverOptions extends IrcOptions {
  readonly formatting: Formatting;
}

export class IrcDriver implements NetworkDriver {
  readonly type = 'irc';
  readonly hasHistory = false;
  readonly #options: IrcDriverOptions;
  #connection: IrcConnection | undefined;
  /** Lines of which the connection ended before it was known that they arrived. */
  #unconfirmed = 0;

  constructor(options: IrcDriverOptions) {
    this.#options = options;
  }

  async open(link: Link): Promise<void> {
    const { Client } = await loadPeer('irc-framework', '4', () => import('irc-framework'));
    link.signal.throwIfAborted();
    this.#connection = new IrcConnection(new Client(), this.#options, link);
    await this.#connection.open();
  }

  async close(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#unconfirmed += connection?.writer.unconfirmed ?? 0;
    await connection?.close();
  }

  compose(text: string, { kind, target, author }: Recipient): readonly string[] {
    const max = roomFor(this.#connection?.sender ?? 'x'.repeat(100), target);
    return toLines(text, {
      max,
      formatting: this.#options.formatting,
      ...(kind === 'room' ? { prefix: `${author}: ` } : {}),
    });
  }

  async post(target: string, text: string, { nonce, signal }: PostOptions): Promise<Posted> {
    await this.#live().writer.send(['PRIVMSG', target, text], signal);
    return { id: nonce };
  }

  /** What the server says of a message comes before its answer to a PING that follows it. */
  async confirm(target: string): Promise<void> {
    const connection = this.#live();
    await connection.writer.confirmed();
    const reason = connection.takeRefusal(target);
    if (reason === undefined) return;
    throw new OrreryError('ORRERY_UNDELIVERABLE', `The IRC server did not take the message to ${target}: ${reason}`);
  }

  health(): Readonly<Record<string, number | string>> {
    const connection = this.#connection;
    const lost = this.#unconfirmed > 0 ? { unconfirmed: this.#unconfirmed } : {};
    return connection ? { nick: connection.client.user.nick, rooms: connection.rooms, ...lost } : lost;
  }

  #live(): IrcConnection {
    if (this.#connection) return this.#connection;
    throw new OrreryError('ORRERY_CHANNEL_CLOSED', 'IRC is not connected');
  }
}
