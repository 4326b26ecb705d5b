/**
 * Kills whole hosts under Discord's users, with the real client library, and looks what the users see: each message answered once, in order, also
 * where the network was away, where nobody knows whether a post arrived, and where people wrote while there was no host.
 */
import { afterEach, describe, expect, test } from 'vitest';
import type { OrreryConfig } from '../../src/main/config/input.ts';
import { DiscordServer, TOKEN } from '../support/discord/server.ts';
import { type TestMessage, type TestRoom, type TestUser, makeUser } from '../support/discord/world.ts';
import { eventually, fixture } from '../support/host.ts';
import { type Unfinished, unfinished } from '../support/journal-file.ts';
import { Relay } from '../support/relay.ts';
import { ServedDir } from '../support/served.ts';

const open: AsyncDisposable[] = [];

afterEach(async () => {
  for (const thing of open.splice(0).toReversed()) await thing[Symbol.asyncDispose]();
});

function use<T extends AsyncDisposable>(thing: T): T {
  open.push(thing);
  return thing;
}

/** Somebody who talks to the bot in one place, in a session of their own. */
interface Speaker {
  readonly user: TestUser;
  readonly room: TestRoom;
  readonly asked: TestMessage[];
}

interface Outcome {
  readonly answers: readonly (readonly number[])[];
  readonly others: number;
  readonly unfinished: readonly Unfinished[];
}

/** One answer for each message of each speaker, in order, and nothing else. */
function onceEach(speakers: readonly Speaker[]): Outcome {
  return { answers: speakers.map(({ asked }) => [...asked.keys()]), others: 0, unfinished: [] };
}

/** A network with people on it, and a host that may be ended and started anew. */
class Play {
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

  static async begin(channel: object = {}, config: Partial<OrreryConfig> = {}): Promise<Play> {
    const discord = use(await DiscordServer.start());
    const thread = discord.world.addRoom('thread', discord.world.room);
    const way = use(await Relay.start(Number(new URL(discord.gateway.url).port)));
    discord.gateway.url = `ws://127.0.0.1:${way.port}/`;
    const served = use(
      new ServedDir({
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
        },
        workers: { threads: 1 },
        delivery: { retryMinMs: 20, retryMaxMs: 200, mailboxSize: 1000 },
        ...config,
      }),
    );
    await served.start();
    await eventually('the bot is connected', () => discord.gateway.live === 1);
    return new Play(discord, thread, way, served);
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
}

describe('SIGKILL under Discord', () => {
  test('discord - each message is answered once and in its order when the host is killed again and again', async () => {
    const play = await Play.begin();
    const { discord, served } = play;
    const { world } = discord;
    const speakers = [
      play.speaker(world.dm),
      play.speaker(world.room),
      play.speaker(world.room, makeUser('bob')),
      play.speaker(play.thread),
    ];
    const all = (count: number): void => {
      for (let i = 0; i < count; i++)
        for (const speaker of speakers) play.say(speaker, `message ${speaker.asked.length}`);
    };
    for (const wanted of [10, 60]) {
      const before = discord.heard.all.length;
      all(20);
      await eventually('some are answered', () => discord.heard.all.length >= before + wanted);
      await play.known(...speakers.map(({ room }) => room));
      await served.kill();
      all(5); // to nobody
      await served.start();
    }
    all(5);
    expect(await play.outcome(speakers)).toEqual(onceEach(speakers));
  });

  test('discord - a post whose acknowledgement the host did not live to see is found by its nonce, and its turn is not run again', async () => {
    const play = await Play.begin();
    const { discord, way, served } = play;
    const { world } = discord;
    const [alice, bob] = [play.speaker(world.dm), play.speaker(world.room, makeUser('bob'))];
    play.say(alice, 'hold a one');
    play.say(alice, 'two');
    play.say(bob, 'hold b one');
    play.say(bob, 'two');
    await play.turns('begin', 2);
    // The post arrives, and nobody but Discord knows.
    way.muted = true;
    served.openGate('gate-a');
    await discord.heard.next();
    await eventually('it has committed', () => unfinished(served).some(({ committed }) => committed));
    await play.known(world.dm, world.room);
    await served.kill();
    expect(unfinished(served).map(({ text }) => text)).toEqual(['hold a one', 'two', 'hold b one', 'two']);
    way.muted = false;
    play.say(alice, 'three');
    play.say(bob, 'three');
    await served.start();
    served.openGate('gate-b');
    expect(await play.outcome([alice, bob])).toEqual(onceEach([alice, bob]));
    expect(discord.enforced).toBe(1);
    expect(served.lines().filter((line) => line === 'begin hold a one')).toHaveLength(1);
    expect(served.lines().filter((line) => line === 'begin hold b one')).toHaveLength(2);
  });

  test('discord - a reply that stood half written becomes whole in its place', async () => {
    const play = await Play.begin({ stream: true });
    const { discord, served } = play;
    const alice = play.speaker(discord.world.dm);
    play.say(alice, 'tell a story');
    expect((await discord.heard.next()).message.content).toBe('tell a story  …');
    await served.kill();
    expect(discord.standing(discord.world.dm)).toEqual(['tell a story  …']);
    served.openGate('gate-a');
    await served.start();
    expect(await play.outcome([alice])).toEqual(onceEach([alice]));
    expect(discord.standing(discord.world.dm)).toEqual(['tell a story and all']);
    expect(discord.removed).toEqual([]);
  });

  test('discord - what somebody writes for the first time just before the end has its sequel fetched', async () => {
    const play = await Play.begin();
    const { discord, served } = play;
    const carol = play.speaker(discord.world.addDm(makeUser('carol')), makeUser('carol'));
    play.say(carol, 'first');
    await Promise.all([discord.heard.next(), play.known(carol.room)]);
    await served.kill();
    play.say(carol, 'second');
    await served.start();
    expect(await play.outcome([carol])).toEqual(onceEach([carol]));
  });
});

describe('SIGKILL while Discord is away', () => {
  test('discord - replies that are held outlive the host, and go out once and in order when Discord is back', async () => {
    const play = await Play.begin();
    const { discord, way, served } = play;
    const { world } = discord;
    const [alice, bob] = [play.speaker(world.dm), play.speaker(world.room, makeUser('bob'))];
    for (const speaker of [alice, bob]) for (const name of ['one', 'two', 'three']) play.say(speaker, `hold a ${name}`);
    await play.turns('begin', 2);
    await eventually('all are accepted', () => unfinished(served).length === 6);
    await play.known(world.dm, world.room);
    await way.cut();
    served.openGate('gate-a');
    await eventually('all have committed', () => unfinished(served).every(({ committed }) => committed));
    await served.kill();
    expect(discord.heard.all).toEqual([]);

    for (const speaker of [alice, bob]) play.say(speaker, 'four');
    await served.start();
    await served.process.until('its replies are held');
    await served.kill();
    expect(unfinished(served).map(({ committed }) => committed)).toEqual(Array.from({ length: 6 }, () => true));
    await served.start();
    await served.process.until('its replies are held');
    await way.mend();
    expect(await play.outcome([alice, bob])).toEqual(onceEach([alice, bob]));
    // What had committed was not run again.
    expect(served.lines().filter((line) => line.startsWith('begin hold'))).toHaveLength(6);
  });
});
