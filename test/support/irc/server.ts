/**
 * Owns a small IRC server for what ngircd does not do: accounts by SASL, ids and accounts in message tags, and ways to misbehave. It records PINGs and
 * how soon they were answered. One room's worth of the protocol, on loopback.
 */
import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { Inbox } from '../channels.ts';
import { type IrcLine, parseLine } from './user.ts';

export interface IrcServerOptions {
  /** Accounts and passwords of SASL; absent: not offered. */
  readonly accounts?: Readonly<Record<string, string>>;
  /** Nicks that somebody else has. */
  readonly taken?: readonly string[];
  /** Milliseconds between two PINGs of the server. Default: none. */
  readonly pingMs?: number;
}

interface Client {
  readonly socket: Socket;
  nick: string;
  isRegistered: boolean;
  isNegotiating: boolean;
  readonly caps: Set<string>;
  readonly rooms: Set<string>;
  ping: { readonly token: string; readonly at: number } | undefined;
}

const HOST = 'irc.example.test';

export class IrcServer implements AsyncDisposable {
  readonly port: number;
  /** Every line of the clients. */
  readonly lines: Inbox<IrcLine> = new Inbox();
  /** What the bot said. */
  readonly heard: Inbox<IrcLine> = new Inbox();
  /** Milliseconds until each PING was answered. */
  readonly pongs: number[] = [];
  /** PONGs are sent while it is true. */
  answersPings = true;
  readonly #server: Server;
  readonly #options: IrcServerOptions;
  readonly #clients = new Set<Client>();
  readonly #timer: NodeJS.Timeout | undefined;
  #pings = 0;

  private constructor(server: Server, options: IrcServerOptions) {
    this.#server = server;
    this.#options = options;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (socket) => this.#connected(socket));
    this.#timer = options.pingMs === undefined ? undefined : setInterval(() => this.#ping(), options.pingMs);
  }

  static async start(options: IrcServerOptions = {}): Promise<IrcServer> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new IrcServer(server, options);
  }

  /** Registered clients. */
  get live(): number {
    return [...this.#clients].filter((c) => c.isRegistered).length;
  }

  /** Somebody says something to a nick or in a room, with tags for those who asked for them. */
  say(from: string, target: string, text: string, tags: Readonly<Record<string, string>> = {}): void {
    const tag = Object.entries(tags).map(([key, value]) => `${key}=${value}`);
    for (const client of this.#clients) {
      if (client.nick.toLowerCase() !== target.toLowerCase() && !client.rooms.has(target)) continue;
      const tagged = client.caps.has('message-tags') && tag.length > 0 ? `@${tag.join(';')} ` : '';
      client.socket.write(`${tagged}:${from}!~${from}@host.example PRIVMSG ${target} :${text}\r\n`);
    }
  }

  /** Cuts all connections. */
  drop(): void {
    for (const { socket } of this.#clients) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.drop();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #connected(socket: Socket): void {
    const client: Client = {
      socket,
      nick: '',
      isRegistered: false,
      isNegotiating: false,
      caps: new Set(),
      rooms: new Set(),
      ping: undefined,
    };
    this.#clients.add(client);
    socket.on('close', () => this.#clients.delete(client));
    socket.on('error', () => undefined);
    createInterface({ input: socket }).on('line', (raw) => this.#line(client, parseLine(raw)));
  }

  #line(client: Client, line: IrcLine): void {
    this.lines.push(line);
    const { command, params } = line;
    const [first = '', second = ''] = params;
    switch (command) {
      case 'CAP':
        this.#capability(client, first, params.at(-1) ?? '');
        break;
      case 'AUTHENTICATE':
        this.#authenticate(client, first);
        break;
      case 'NICK':
        if (this.#options.taken?.includes(first) === true)
          this.#to(client, `433 * ${first} :Nickname is already in use`);
        else if (client.isRegistered) client.socket.write(`:${client.nick}!~u@h NICK :${first}\r\n`);
        if (this.#options.taken?.includes(first) !== true) client.nick = first;
        this.#register(client);
        break;
      case 'USER':
        this.#register(client);
        break;
      case 'JOIN':
        client.rooms.add(first);
        client.socket.write(`:${client.nick}!~u@host.example JOIN ${first}\r\n`);
        break;
      case 'PING':
        if (this.answersPings) client.socket.write(`:${HOST} PONG ${HOST} :${first}\r\n`);
        break;
      case 'PONG':
        if (!client.ping || client.ping.token !== params.at(-1)) break;
        this.pongs.push(performance.now() - client.ping.at);
        client.ping = undefined;
        break;
      case 'PRIVMSG':
        if (first === 'nobody') this.#to(client, `401 ${client.nick} ${first} :No such nick`);
        else this.heard.push({ ...line, from: client.nick, params: [first, second] });
        break;
      case 'QUIT':
        client.socket.end();
        break;
      default:
        break;
    }
  }

  #capability(client: Client, verb: string, rest: string): void {
    if (verb === 'LS') {
      client.isNegotiating = true;
      const sasl = this.#options.accounts ? ' sasl=PLAIN' : '';
      this.#to(client, `CAP * LS :message-tags account-tag${sasl}`);
    } else if (verb === 'REQ') {
      for (const cap of rest.split(' ')) client.caps.add(cap);
      this.#to(client, `CAP * ACK :${rest}`);
    } else if (verb === 'END') {
      client.isNegotiating = false;
      this.#register(client);
    }
  }

  #authenticate(client: Client, text: string): void {
    if (text === 'PLAIN') {
      client.socket.write('AUTHENTICATE +\r\n');
      return;
    }
    const [, account = '', password] = Buffer.from(text, 'base64').toString().split('\0');
    if (this.#options.accounts?.[account] === password) {
      this.#to(client, `900 ${client.nick} ${client.nick}!u@h ${account} :You are now logged in`);
      this.#to(client, `903 ${client.nick} :SASL authentication successful`);
    } else this.#to(client, `904 ${client.nick} :SASL authentication failed`);
  }

  #register(client: Client): void {
    if (client.isRegistered || client.isNegotiating || client.nick === '') return;
    client.isRegistered = true;
    this.#to(client, `001 ${client.nick} :Welcome`);
    this.#to(client, `005 ${client.nick} CHANTYPES=# PREFIX=(ov)@+ CASEMAPPING=rfc1459 :are supported`);
  }

  #ping(): void {
    for (const client of this.#clients) {
      if (!client.isRegistered || client.ping) continue;
      this.#pings += 1;
      client.ping = { token: `t${this.#pings}`, at: performance.now() };
      client.socket.write(`PING :${client.ping.token}\r\n`);
    }
  }

  #to(client: Client, line: string): void {
    client.socket.write(`:${HOST} ${line}\r\n`);
  }
}
