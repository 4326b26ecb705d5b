/**
 * Kills whole hosts under Discord's users, with the real client library, and looks what the users see: each message answered once, in order, also
 * where the network was away, where nobody knows whether a post arrived, and where people wrote while there was no host.
 */
import { describe, expect, test } from 'vitest';
import { DiscordPlay, onceEach } from '../support/discord/play.ts';
import { TOKEN } from '../support/discord/server.ts';
import { makeUser } from '../support/discord/world.ts';
import { eventually } from '../support/host.ts';
import { unfinished } from '../support/journal-file.ts';

/** Hosts start again and again: with other tests beside them that takes its time. */
const TIMEOUT_MS = 120_000;

describe('SIGKILL under Discord', { timeout: TIMEOUT_MS }, () => {
  test('discord - each message is answered once and in its order when the host is killed again and again', async () => {
    await using play = await DiscordPlay.begin();
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
    await using play = await DiscordPlay.begin();
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

  test('discord - a long reply of which the first part had arrived is continued after it', async () => {
    await using play = await DiscordPlay.begin();
    const { discord, way, served } = play;
    const alice = play.speaker(discord.world.dm);
    const text = `hold a ${'word '.repeat(600)}end`;
    play.say(alice, text);
    play.say(alice, 'next');
    await eventually('both are accepted', () => unfinished(served).length === 2);
    way.muted = true;
    served.openGate('gate-a');
    await discord.heard.next();
    await served.kill();
    expect(discord.standing(discord.world.dm)).toHaveLength(1);
    way.muted = false;
    await served.start();
    await eventually('all is answered', () => unfinished(served).length === 0);
    const [first, second, ...others] = discord.standing(discord.world.dm);
    expect(`${first} ${second}`).toBe(text);
    expect(others).toEqual(['next']);
    expect(discord.enforced).toBe(1);
  });

  test('discord - a reply that stood half written becomes whole in its place', async () => {
    await using play = await DiscordPlay.begin({ stream: true });
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
    await using play = await DiscordPlay.begin();
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

describe('an end of the host while Discord is away', { timeout: TIMEOUT_MS }, () => {
  test('discord - replies that are held outlive the host, and go out once and in order when Discord is back', async () => {
    await using play = await DiscordPlay.begin();
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

  test('discord - replies that are held at an orderly stop are left to the next host, within the deadline', async () => {
    await using play = await DiscordPlay.begin({}, { shutdown: { timeoutMs: 10_000, drainMs: 200 } });
    const { discord, way, served } = play;
    const alice = play.speaker(discord.world.dm);
    for (const name of ['one', 'two']) play.say(alice, `hold a ${name}`);
    await eventually('both are accepted', () => unfinished(served).length === 2);
    await play.known(discord.world.dm);
    await way.cut();
    served.openGate('gate-a');
    await eventually('both have committed', () => unfinished(served).every(({ committed }) => committed));
    served.process.child.kill('SIGTERM');
    expect(await served.process.finished).toMatchObject({ code: 1 });
    play.say(alice, 'three');
    await served.start();
    await way.mend();
    expect(await play.outcome([alice])).toEqual(onceEach([alice]));
    expect(served.lines().filter((line) => line.startsWith('begin hold'))).toHaveLength(2);
  });

  test('discord - what is refused while the library tries to resume is held, however often, and goes out once', async () => {
    await using play = await DiscordPlay.begin();
    const { discord, way, served } = play;
    const alice = play.speaker(discord.world.dm);
    for (const name of ['one', 'two', 'three']) play.say(alice, `hold a ${name}`);
    await eventually('all are accepted', () => unfinished(served).length === 3);
    way.break();
    served.openGate('gate-a');
    await served.process.until('its replies are held');
    // More often than a reply that the network refuses is sent.
    await eventually('it is tried again', () => way.broken > 40);
    await way.mend();
    expect(await play.outcome([alice])).toEqual(onceEach([alice]));
  });
});

describe('a token that is not valid any more', { timeout: TIMEOUT_MS }, () => {
  test('discord - closes the channel alone, holds what is due, and sends it when the token is mended and the channel restarted', async () => {
    await using play = await DiscordPlay.begin();
    const { discord, served } = play;
    const alice = play.speaker(discord.world.dm);
    play.say(alice, 'hold a one');
    play.say(alice, 'two');
    await eventually('both are accepted', () => unfinished(served).length === 2);
    discord.token = 'another';
    served.openGate('gate-a');
    await eventually('the channel is closed', async () => (await served.channel('discord')).state.status === 'closed');
    expect(await served.channel('discord')).toMatchObject({ state: { cause: { code: 'ORRERY_UNAUTHORIZED' } } });
    expect((await served.ask({ id: 'web', message: 'still here?' })).body.message).toBe('still here?');
    await eventually('both have committed', () => unfinished(served).every(({ committed }) => committed));
    discord.token = TOKEN;
    play.say(alice, 'three');
    expect(await served.command('channels', 'restart', 'discord')).toMatchObject({ code: 0 });
    expect(await play.outcome([alice])).toEqual(onceEach([alice]));
  });
});
