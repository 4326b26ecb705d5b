/** Kills processes with SIGKILL that have messages and replies of chat networks in their journal, and looks what is said after the next start. */
import { afterEach, describe, expect, test } from 'vitest';
import type { Status } from '../../src/main/api.ts';
import { DiscordServer, TOKEN } from '../support/discord/server.ts';
import type { TestRoom } from '../support/discord/world.ts';
import { eventually } from '../support/host.ts';
import { IrcServer } from '../support/irc/server.ts';
import { ServedDir } from '../support/served.ts';

const open: AsyncDisposable[] = [];

afterEach(async () => {
  for (const thing of open.splice(0).toReversed()) await thing[Symbol.asyncDispose]();
});

function use<T extends AsyncDisposable>(thing: T): T {
  open.push(thing);
  return thing;
}

/** Tells the log of each turn, and holds those that say so until their gate is open: `hold GATE TEXT`. */
const AGENT = `import { appendFileSync, existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
export default {
  async *respond({ message, namespace, signal }) {
    const [, gate, text] = message.content.split(' ');
    appendFileSync('log', namespace.key + ' begin ' + text + '\\n');
    while (!existsSync(gate)) await delay(5, undefined, { signal });
    yield 'answer ' + text;
  },
};`;

function servedWith(name: string, channel: object): ServedDir {
  const web = { type: 'gateway', port: 0 } as const;
  const served = use(
    new ServedDir({ agents: { held: { use: './held.mjs' } }, channels: { web, [name]: channel as typeof web } }),
  );
  served.dir.write('held.mjs', AGENT);
  return served;
}

async function statusOf(served: ServedDir): Promise<Status> {
  return (await served.call('GET', '/api/status')).body as Status;
}

async function isOpen(served: ServedDir, name: string): Promise<boolean> {
  return (await statusOf(served)).channels.some((channel) => channel.name === name && channel.connected);
}

describe('SIGKILL of a host with networks', () => {
  test('networks - what Discord brought, and what was held for it while it was down, is answered once and in order', async () => {
    const discord = use(await DiscordServer.start());
    const { world } = discord;
    const served = servedWith('chat', {
      type: 'discord',
      token: TOKEN,
      apiUrl: discord.apiUrl,
      allow: ['*'],
      stream: false,
    });
    await served.start();
    await eventually('it is open', () => isOpen(served, 'chat'));
    const rooms: readonly TestRoom[] = [world.dm, world.room, world.addRoom('other')];
    const [now, later] = ['now', 'later'] as const;
    for (const [i, room] of rooms.entries()) {
      for (const [n, gate] of [now, later, now].entries()) {
        const content = `hold ${gate} ${i}${n}`;
        if (room === world.dm) discord.say({ content });
        else discord.mention(content, room);
      }
    }
    await eventually('all are accepted', async () => (await statusOf(served)).messages.accepted === 9);

    // The first of each session is committed while nobody can be told, and the second one is under way.
    discord.gateway.down = true;
    discord.gateway.drop();
    await eventually('it is down', async () => !(await isOpen(served, 'chat')));
    served.dir.write(now, '');
    await eventually('the second ones are under way', () =>
      rooms.every((_, i) => served.lines().some((line) => line.endsWith(`begin ${i}1`))),
    );
    expect(discord.heard.all).toEqual([]);
    await served.kill();

    await served.start();
    expect((await statusOf(served)).messages).toMatchObject({ recovered: 9, answered: 0, pending: 9 });
    served.dir.write(later, '');
    discord.gateway.down = false;
    await eventually('all are answered', async () => (await statusOf(served)).messages.answered === 9);
    for (const [i, room] of rooms.entries()) {
      expect(discord.standing(room)).toEqual([0, 1, 2].map((n) => `answer ${i}${n}`));
      // What had committed was not run again; what was cut off was.
      const begun = served.lines().filter((line) => line.endsWith(`begin ${i}0`));
      expect(begun).toHaveLength(1);
    }
    expect((await statusOf(served)).messages).toMatchObject({ dead: 0, pending: 0 });
  });

  test('networks - a reply that Discord has, and whose receipt died with the process, stands there once', async () => {
    const discord = use(await DiscordServer.start());
    const served = servedWith('chat', {
      type: 'discord',
      token: TOKEN,
      apiUrl: discord.apiUrl,
      allow: ['*'],
      stream: false,
    });
    served.dir.write('now', '');
    await served.start();
    await eventually('it is open', () => isOpen(served, 'chat'));
    discord.swallows = 1;
    discord.say({ content: 'hold now one' });
    expect((await discord.heard.next()).message.content).toBe('answer one');
    await served.kill();
    discord.swallows = 0;
    await served.start();
    await eventually('it is answered', async () => (await statusOf(served)).messages.answered === 1);
    expect(discord.standing(discord.world.dm)).toEqual(['answer one']);
    expect(discord.enforced).toBeGreaterThan(0);
  });

  test('networks - on IRC, which has no nonce, such a reply is heard again', async () => {
    const irc = use(await IrcServer.start());
    const served = servedWith('irc', {
      type: 'irc',
      host: '127.0.0.1',
      port: irc.port,
      tls: false,
      nick: 'orrery',
      allow: ['*'],
      flood: { burst: 100, intervalMs: 0 },
    });
    served.dir.write('now', '');
    await served.start();
    await eventually('it is open', () => isOpen(served, 'irc'));
    irc.answersPings = false;
    irc.say('alice', 'orrery', 'hold now one');
    expect((await irc.heard.next()).params).toEqual(['alice', 'answer one']);
    await served.kill();
    irc.answersPings = true;
    await served.start();
    await eventually('it is answered', async () => (await statusOf(served)).messages.answered === 1);
    expect(irc.heard.all.map(({ params }) => params)).toEqual([
      ['alice', 'answer one'],
      ['alice', 'answer one'],
    ]);
  });
});
