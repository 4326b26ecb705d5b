/** Owns a whole scene on IRC for tests: ngircd, people on it, a host as a process of its own, and the host's way to the server, which can be cut. */
import type { OrreryConfig } from '../../../src/main/config/input.ts';
import { eventually, fixture } from '../host.ts';
import { type Unfinished, unfinished } from '../journal-file.ts';
import { Relay } from '../relay.ts';
import { ServedDir } from '../served.ts';
import { Ngircd } from './ngircd.ts';
import { IrcUser } from './user.ts';

const BOT = 'orrery';
const HALL = '#hall';

/** Returns an IRC channel's configuration, on a port of loopback. */
export function ircChannel(port: number): NonNullable<OrreryConfig['channels']>[string] {
  return {
    type: 'irc',
    host: '127.0.0.1',
    port,
    tls: false,
    nick: BOT,
    channels: [HALL],
    allow: ['*'],
    rateLimitPerMinute: 1_000_000,
    flood: { burst: 10_000, intervalMs: 0 },
  };
}

/** Returns the configuration of a host with that channel. */
export function ircHost(port: number): OrreryConfig {
  return {
    agents: { gated: { use: fixture('gated'), env: ['GATE', 'LOG'] } },
    channels: { web: { type: 'gateway', port: 0 }, irc: ircChannel(port) },
    workers: { threads: 1 },
    delivery: { retryMinMs: 20, retryMaxMs: 200, mailboxSize: 1000 },
  };
}

/** Somebody who talks to the bot, in private or in its room. */
export class IrcSpeaker {
  readonly user: IrcUser;
  readonly #target: string;

  constructor(user: IrcUser, target: string = BOT) {
    this.user = user;
    this.#target = target;
  }

  /** Resolves to false when the server knows that nobody hears it. */
  async say(text: string): Promise<boolean> {
    const said = this.#target === HALL ? `${BOT}: ${text}` : text;
    return this.user.say(this.#target, said).then(
      () => true,
      () => false,
    );
  }

  /** What the bot answered, in order. */
  heard(): readonly string[] {
    const { nick, heard } = this.user;
    const to = this.#target === HALL ? HALL : nick;
    const lines = heard.all.filter(({ from, params }) => from === BOT && params[0] === to);
    return lines.map(({ params }) => (params.at(-1) ?? '').replace(`${nick}: `, ''));
  }
}

/** People on ngircd, and a host that may be ended and started anew. */
export class IrcPlay implements AsyncDisposable {
  readonly server: Ngircd;
  readonly way: Relay;
  readonly served: ServedDir;
  /** Talks in private. */
  readonly alice: IrcSpeaker;
  /** Talks in the room. */
  readonly bob: IrcSpeaker;

  private constructor(server: Ngircd, way: Relay, alice: IrcUser, bob: IrcUser) {
    this.server = server;
    this.way = way;
    this.served = new ServedDir(ircHost(way.port));
    this.alice = new IrcSpeaker(alice);
    this.bob = new IrcSpeaker(bob, HALL);
  }

  static async begin(): Promise<IrcPlay> {
    const server = await Ngircd.start();
    const way = await Relay.start(server.port);
    const alice = await IrcUser.connect(server.port, 'alice');
    const bob = await IrcUser.connect(server.port, 'bob', [HALL]);
    const play = new IrcPlay(server, way, alice, bob);
    await play.start();
    return play;
  }

  /** Starts the host and waits until people see the bot, in its room too. */
  async start(): Promise<void> {
    await this.served.start();
    await eventually('the bot is there', async () => (await this.served.channel('irc')).connected);
  }

  /** Kills the host; resolves when the server knows, and whoever was to hear something from it has heard it. */
  async kill(): Promise<void> {
    await this.served.kill();
    await eventually('the bot is gone', async () => !(await this.#isThere()));
  }

  /** Waits until the host has nothing to do, ends it in order, and returns what it left. */
  async end(): Promise<readonly Unfinished[]> {
    await eventually('all is done', () => unfinished(this.served).length === 0);
    await this.served.stop();
    return unfinished(this.served);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.served[Symbol.asyncDispose]();
    await this.way[Symbol.asyncDispose]();
    for (const { user } of [this.alice, this.bob]) user[Symbol.dispose]();
    await this.server[Symbol.asyncDispose]();
  }

  /** Both ask, so that each has heard everything before. */
  async #isThere(): Promise<boolean> {
    const answers = [this.alice, this.bob].map(async ({ user }) => {
      user.write(`ISON ${BOT}`);
      const { params } = await user.wait(({ command }) => command === '303');
      return params.at(-1)?.trim() === BOT;
    });
    return (await Promise.all(answers)).some(Boolean);
  }
}
