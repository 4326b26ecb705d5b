/** Owns a person on an IRC server, for tests: a plain socket that says and hears. */
import { once } from 'node:events';
import { type Socket, connect } from 'node:net';
import { createInterface } from 'node:readline';
import { Inbox } from '../channels.ts';

export interface IrcLine {
  /** Nick of the sender; the server's name for its own lines. */
  readonly from: string;
  readonly command: string;
  readonly params: readonly string[];
  readonly raw: string;
}

/** Reads a line as it comes; message tags are passed over. */
export function parseLine(raw: string): IrcLine {
  const [, prefix = '', command = '', rest = ''] = /^(?:@\S+ +)?(?::(\S+) +)?(\S+) *(.*)$/.exec(raw) ?? [];
  const [middle = '', ...trailing] = rest.split(/(?:^| ):/);
  const params = [
    ...middle.split(' ').filter((word) => word !== ''),
    ...(trailing.length > 0 ? [trailing.join(' :')] : []),
  ];
  return { from: prefix.split('!')[0] ?? '', command, params, raw };
}

export class IrcUser implements Disposable {
  readonly nick: string;
  /** What others said to this user, or in the rooms that it is in. */
  readonly heard: Inbox<IrcLine> = new Inbox();
  readonly #socket: Socket;
  #lines: IrcLine[] = [];
  #waiting: { readonly test: (line: IrcLine) => boolean; readonly resolve: (line: IrcLine) => void }[] = [];

  private constructor(nick: string, socket: Socket) {
    this.nick = nick;
    this.#socket = socket;
    createInterface({ input: socket }).on('line', (raw) => this.#line(parseLine(raw)));
    socket.on('error', () => undefined);
  }

  /** Resolves when the user is registered and in its rooms. */
  static async connect(port: number, nick: string, rooms: readonly string[] = [], password?: string): Promise<IrcUser> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const user = new IrcUser(nick, socket);
    if (password !== undefined) user.write(`PASS ${password}`);
    user.write(`NICK ${nick}`);
    user.write(`USER ${nick} 0 * :${nick}`);
    await user.wait((line) => line.command === '001');
    for (const room of rooms) {
      user.write(`JOIN ${room}`);
      await user.wait((line) => line.command === '366' && line.params[1] === room);
    }
    return user;
  }

  write(line: string): void {
    this.#socket.write(`${line}\r\n`);
  }

  /** Says something and resolves when the server has passed it on; rejects when nobody of that name is there. */
  async say(target: string, text: string): Promise<void> {
    const token = `say-${Math.random()}`;
    this.write(`PRIVMSG ${target} :${text}`);
    this.write(`PING ${token}`);
    const line = await this.wait((l) => l.command === '401' || (l.command === 'PONG' && l.params.at(-1) === token));
    if (line.command !== '401') return;
    await this.wait((l) => l.command === 'PONG' && l.params.at(-1) === token);
    throw new Error(`${target} is not there`);
  }

  /** Resolves with the first line that passes, of those that nobody waited for yet. */
  wait(test: (line: IrcLine) => boolean): Promise<IrcLine> {
    const at = this.#lines.findIndex(test);
    if (at >= 0) return Promise.resolve(this.#lines.splice(at, 1)[0] as IrcLine);
    return new Promise((resolve) => {
      this.#waiting.push({ test, resolve });
    });
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #line(line: IrcLine): void {
    if (line.command === 'PING') this.write(`PONG :${line.params.at(-1) ?? ''}`);
    if (line.command === 'PRIVMSG') this.heard.push(line);
    const at = this.#waiting.findIndex(({ test }) => test(line));
    if (at >= 0) this.#waiting.splice(at, 1)[0]?.resolve(line);
    else this.#lines.push(line);
  }
}
