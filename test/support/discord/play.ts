/** Owns a whole scene on Discord for tests: the network, people on it, a host as a process of its own, and the way between, which can be cut. */
import type { OrreryConfig } from '../../../src/main/config/input.ts';
import { eventually, fixture } from '../host.ts';
import { type Unfinished, unfinished } from '../journal-file.ts';
import { Relay } from '../relay.ts';
import { ServedDir } from '../served.ts';
import { DiscordServer, TOKEN } from './server.ts';
import type { TestMessage, TestRoom, TestUser } from './world.ts';

/** Somebody who talks to the bot in one place, in a session of their own. */
export interface Speaker {
  readonly user: TestUser;
  readonly room: TestRoom;
  readonly asked: TestMessage[];
}

export interface Outcome {
  readonly answers: readonly (readonly number[])[];
  readonly others: number;
  readonly unfinished: readonly Unfinished[];
}

/** One answer for each message of each speaker, in order, and nothing else. */
export function onceEach(speakers: readonly Speaker[]): Outcome {
  return { answers: speakers.map(({ asked }) => [...asked.keys()]), others: 0, unfinished: [] };
}

/** A network with people on it, and a host that may be ended and started anew. */
export class DiscordPlay implements AsyncDisposable {
  readonly discord: DiscordServer;
  readonly thread: TestRoom;
  readonly way: Relay;
  readonly served: ServedDir;

  private constructor(discord: DiscordServer, thread: TestRoom, way: Relay, served: ServedDir) {
    this.discord = discord;
    this.thread = thread;
    this.way = way;
    this.served = served;
  }

  static async begin(channel: object = {}, { channels, ...config }: Partial<OrreryConfig> = {}): Promise<DiscordPlay> {
    const discord = await DiscordServer.start();
    const thread = discord.world.addRoom('thread', discord.world.room);
    const way = await Relay.start(Number(new URL(discord.gateway.url).port));
    discord.gateway.url = `ws://127.0.0.1:${way.port}/`;
    const served = new ServedDir({
      agents: { gated: { use: fixture('gated'), env: ['GATE', 'LOG'] } },
      channels: {
        web: { type: 'gateway', port: 0 },
        discord: {
          type: 'discord',
          token: TOKEN,
          apiUrl: discord.apiUrl,
          allow: ['*'],
          rateLimitPerMinute: 1_000_000,
          stream: false,
          ...channel,
        },
        ...channels,
      },
      workers: { threads: 1 },
      delivery: { retryMinMs: 20, retryMaxMs: 200, mailboxSize: 1000 },
      ...config,
    });
    const play = new DiscordPlay(discord, thread, way, served);
    await served.start();
    await eventually('the bot is connected', () => discord.gateway.live === 1);
    return play;
  }

  speaker(room: TestRoom, user: TestUser = this.discord.world.alice): Speaker {
    return { user, room, asked: [] };
  }

  say({ user, room, asked }: Speaker, text: string): void {
    const mention = room.type === 1 ? '' : `<@${this.discord.world.self.id}> `;
    asked.push(this.discord.say({ user, room, content: mention + text }));
  }

  /** What stands in a speaker's room as answers to them, as numbers of what they asked, in order. */
  answers({ room, asked }: Speaker): readonly number[] {
    return room.messages
      .filter(({ author }) => author.id === this.discord.world.self.id)
      .map((reply) => asked.findIndex(({ id }) => id === reply.message_reference?.message_id))
      .filter((index) => index >= 0);
  }

  /** Waits until all is answered, ends the host in order, and returns what each speaker got, beside what nobody had asked for. */
  async outcome(speakers: readonly Speaker[]): Promise<Outcome> {
    await eventually('all is answered', () =>
      speakers.every((speaker) => new Set(this.answers(speaker)).size === speaker.asked.length),
    );
    await this.served.stop();
    const answers = speakers.map((speaker) => this.answers(speaker));
    const posts = this.discord.world.rooms.flatMap((room) => this.discord.standing(room)).length;
    return { answers, others: posts - answers.flat().length, unfinished: unfinished(this.served) };
  }

  /** It is on the disk that somebody talks there. */
  async known(...rooms: readonly TestRoom[]): Promise<void> {
    await eventually('the rooms are known', () => {
      const [text = ''] = this.served.lines('data/channels/discord.json');
      return rooms.every(({ id }) => text.includes(id));
    });
  }

  /** So many turns have begun, or ended. */
  async turns(what: 'begin' | 'end', count: number): Promise<void> {
    const read = (): number => this.served.lines().filter((line) => line.startsWith(what)).length;
    await eventually(`${count} turns: ${what}`, () => read() >= count);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.served[Symbol.asyncDispose]();
    await this.way[Symbol.asyncDispose]();
    await this.discord[Symbol.asyncDispose]();
  }
}
