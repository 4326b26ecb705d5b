/**
 * Owns one connection to an IRC server: registering under a name that is free, SASL, the rooms. The library's own reconnecting is off: it stops for
 * good when a connection ends within 5 s of registering, and the channel's machine does it better.
 */
import type { Client, ConnectOptions } from 'irc-framework';
import { OrreryError } from '../../../protocol/index.ts';
import type { Link } from '../network/driver.ts';
import { JOIN_REFUSALS, SEND_REFUSALS, lostError, registrationError, saslError } from './errors.ts';
import { readMessage } from './messages.ts';
import { Writer } from './writer.ts';

export interface IrcOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly tlsVerify: boolean;
  readonly nick: string;
  readonly username: string;
  readonly realname: string;
  /** Rooms that are joined: `#name`, or `#name key`. */
  readonly channels: readonly string[];
  readonly password?: string;
  readonly sasl?: { readonly account: string; readonly password: string };
  readonly flood: { readonly burst: number; readonly intervalMs: number };
}

/** A room that does not answer by then, in milliseconds, does not keep the others waiting. */
const JOIN_WAIT_MS = 10_000;
/** Milliseconds after a kick until the room is joined again. */
const REJOIN_MS = 5000;
/** Seconds of silence before the server is asked, and then before it is taken for dead. */
const PING_S = 30;
const PING_TIMEOUT_S = 90;
const CLOSE_GRACE_MS = 1000;
/** Names that are tried when the configured one is taken. */
const MAX_NICKS = 6;

export class IrcConnection {
  readonly client: Client;
  readonly writer: Writer;
  readonly #options: IrcOptions;
  readonly #link: Link;
  readonly #opened = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  /** Rooms whose answer to JOIN is awaited, in lower case. */
  readonly #joining = new Set<string>();
  readonly #rooms = new Set<string>();
  /** What the server said of a message to a target, until somebody asks. */
  readonly #refusals = new Map<string, string>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #status: 'registering' | 'joining' | 'open' | 'over' = 'registering';
  #nicks = 0;
  #host = '';
  #isLoggedIn = false;
  #hasSocket = false;
  #said: string | undefined;

  constructor(client: Client, options: IrcOptions, link: Link) {
    this.client = client;
    this.#options = options;
    this.#link = link;
    this.writer = new Writer({ ...options.flood, write: (line) => client.raw(...line), now: () => performance.now() });
    this.#opened.promise.catch(() => undefined); // open() may have ended by the signal
    this.#listen();
  }

  /** The bot's whole name, as others see it: before it was seen, the longest that it can be. */
  get sender(): string {
    return `${this.client.user.nick}!${this.#host === '' ? 'x'.repeat(76) : this.#host}`;
  }

  /** Rooms that the bot is in. */
  get rooms(): number {
    return this.#rooms.size;
  }

  async open(): Promise<void> {
    const { signal } = this.#link;
    const abort = (): void => this.#opened.reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      signal.throwIfAborted();
      this.#hasSocket = true;
      this.client.connect(this.#connectOptions());
      await this.#opened.promise;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  async close(): Promise<void> {
    const { client } = this;
    const hasSocket = this.#hasSocket && this.#status !== 'over';
    this.#over(new OrreryError('ORRERY_CHANNEL_CLOSED', 'The IRC connection was closed'));
    if (hasSocket) {
      if (client.connected) client.quit('Goodbye');
      else client.connection.end(null, true);
      this.#after(CLOSE_GRACE_MS, () => client.connection.end(null, true));
      await this.#ended.promise;
    }
    for (const timer of this.#timers) clearTimeout(timer);
    client.removeAllListeners();
  }

  /** Tells, once, why the server did not take what was said to a target. */
  takeRefusal(target: string): string | undefined {
    const key = this.client.caseLower(target);
    const reason = this.#refusals.get(key);
    this.#refusals.delete(key);
    return reason;
  }

  #connectOptions(): ConnectOptions {
    const { host, port, tls, tlsVerify, nick, username, realname, password, sasl } = this.#options;
    return {
      host,
      port,
      tls,
      rejectUnauthorized: tlsVerify,
      nick,
      username,
      gecos: realname,
      account: sasl === undefined ? {} : { account: sasl.account, password: sasl.password },
      ...(password === undefined ? {} : { password }),
      sasl_disconnect_on_fail: true,
      auto_reconnect: false,
      ping_interval: PING_S,
      ping_timeout: PING_TIMEOUT_S,
      version: 'Orrery',
    };
  }

  #listen(): void {
    const { client } = this;
    client.on('loggedin', () => {
      this.#isLoggedIn = true;
    });
    client.on('registered', () => this.#registered());
    client.on('nick in use', () => this.#nextNick());
    client.on('nick invalid', ({ nick }) => {
      this.#fail(
        new OrreryError('ORRERY_CONFIG_INVALID', `The IRC server does not allow the nick "${nick}"`, {
          hint: 'Choose another `nick`.',
        }),
      );
    });
    client.on('sasl failed', ({ reason, message }) => this.#fail(saslError(reason, message)));
    client.on('irc error', (event) => this.#refused(event));
    client.on('join', (event) => this.#joined(event));
    client.on('kick', ({ kicked, channel, nick }) => {
      if (!client.caseCompare(kicked, client.user.nick)) return;
      this.#rooms.delete(client.caseLower(channel));
      this.#link.log.warn({ room: channel, by: nick }, 'the bot was kicked out of a room');
      this.#after(REJOIN_MS, () => this.#join(channel));
    });
    // Who has the configured name went away.
    client.on('quit', ({ nick }) => this.#regain(nick));
    client.on('nick', ({ nick }) => this.#regain(nick));
    client.on('pong', ({ message }) => this.writer.pong(message));
    client.on('privmsg', (event) => {
      const message = readMessage(event, {
        nick: client.user.nick,
        lower: (text) => client.caseLower(text),
        now: Date.now(),
      });
      if (message) void this.#link.take(message);
    });
    client.on('socket close', (error) => {
      this.#fail(lostError(error === false ? undefined : error, this.#said));
      this.#ended.resolve();
    });
  }

  #registered(): void {
    if (this.#status !== 'registering') return;
    // The library goes on without a word where the server lists no capability at all: then nobody was identified.
    if (this.#options.sasl && !this.#isLoggedIn) {
      this.#fail(saslError('capability_missing', undefined));
      return;
    }
    this.#status = 'joining';
    for (const room of this.#options.channels) {
      const [name = '', key] = room.split(' ');
      this.#joining.add(this.client.caseLower(name));
      this.#join(name, key);
    }
    this.#after(JOIN_WAIT_MS, () => this.#open());
    if (this.#joining.size === 0) this.#open();
  }

  #open(): void {
    if (this.#status !== 'joining') return;
    for (const room of this.#joining) this.#link.log.warn({ room }, 'a room did not answer');
    this.#status = 'open';
    this.#opened.resolve();
  }

  #join(name: string, key?: string): void {
    if (this.#status !== 'over') this.client.join(name, key ?? this.#keyOf(name));
  }

  #keyOf(name: string): string | undefined {
    const { client } = this;
    const room = this.#options.channels.find((r) => client.caseCompare(r.split(' ')[0] ?? '', name));
    return room?.split(' ')[1];
  }

  #joined({
    nick,
    ident,
    hostname,
    channel,
  }: {
    nick: string;
    ident: string;
    hostname: string;
    channel: string;
  }): void {
    const { client } = this;
    if (!client.caseCompare(nick, client.user.nick)) return;
    if (hostname !== '') this.#host = `${ident}@${hostname}`;
    this.#rooms.add(client.caseLower(channel));
    this.#answered(channel);
  }

  #answered(channel: string): void {
    this.#joining.delete(this.client.caseLower(channel));
    if (this.#joining.size === 0) this.#open();
  }

  #refused({
    error,
    reason,
    nick,
    channel,
  }: {
    error: string;
    reason?: string;
    nick?: string;
    channel?: string;
  }): void {
    if (error === 'irc') this.#said = reason; // what an ERROR says before the server closes
    const target = nick ?? channel;
    if (SEND_REFUSALS.has(error) && target !== undefined) {
      this.#refusals.set(this.client.caseLower(target), reason ?? error);
    } else if (JOIN_REFUSALS.has(error) && channel !== undefined) {
      this.#link.log.warn({ room: channel, reason: reason ?? error }, 'the bot was not let into a room');
      this.#answered(channel);
    } else if (this.#status === 'registering') {
      const fatal = registrationError(error, reason);
      if (fatal) this.#fail(fatal);
    }
  }

  #nextNick(): void {
    if (this.#status !== 'registering') return;
    const { nick } = this.#options;
    this.#nicks += 1;
    if (this.#nicks > MAX_NICKS) {
      this.#fail(new OrreryError('ORRERY_CHANNEL_FAILED', `The nick "${nick}" and others like it are in use`));
      return;
    }
    // Servers cut a name that is too long for them, and then it would be the same again: digits take the place of its end.
    const next =
      this.#nicks <= 2
        ? `${nick}${'_'.repeat(this.#nicks)}`
        : `${nick.slice(0, 6)}${Math.floor(Math.random() * 900 + 100)}`;
    this.client.changeNick(next);
  }

  #regain(nick: string): void {
    const { client } = this;
    const wanted = this.#options.nick;
    if (this.#status === 'over' || !client.caseCompare(nick, wanted) || client.caseCompare(client.user.nick, wanted))
      return;
    client.changeNick(wanted);
  }

  #fail(error: OrreryError): void {
    const was = this.#status;
    if (was === 'over') return;
    this.#over(error);
    if (was === 'open') this.#link.lost(error);
    else this.#opened.reject(error);
    this.client.connection.end(null, true);
  }

  #over(error: OrreryError): void {
    this.#status = 'over';
    this.writer.end(error);
  }

  #after(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    this.#timers.add(timer);
  }
}
