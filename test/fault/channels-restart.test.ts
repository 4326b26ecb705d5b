/** Restarts channels of a whole host in the middle of what people say: nothing is lost, nothing is answered twice. */
import { describe, expect, test } from 'vitest';
import { DiscordPlay, onceEach } from '../support/discord/play.ts';
import { IrcSpeaker, ircChannel } from '../support/irc/play.ts';
import { Ngircd } from '../support/irc/ngircd.ts';
import { IrcUser } from '../support/irc/user.ts';
import { eventually } from '../support/host.ts';
import { unfinished } from '../support/journal-file.ts';

/** Messages on each network. More of them take longer and show no more, mostly; `bench/restarts.ts` takes 1,000. */
const MESSAGES = Number(process.env['ORRERY_TEST_MESSAGES'] ?? 200);
const RESTARTS = 3;
/** Messages that people are ahead of the answers at most. */
const AHEAD = 50;

/** As somebody does who is told that nobody is there. */
async function insist(speaker: IrcSpeaker, text: string): Promise<void> {
  await eventually(`somebody hears "${text}"`, () => speaker.say(text));
}

describe('a restart of a channel', () => {
  test(
    'channels - restarts of each network in the middle of many messages lose none and answer none twice',
    async () => {
      await using ngircd = await Ngircd.start();
      await using play = await DiscordPlay.begin({}, { channels: { irc: ircChannel(ngircd.port) } });
      using user = await IrcUser.connect(ngircd.port, 'alice');
      const { discord, served } = play;
      const onIrc = new IrcSpeaker(user);
      const onDiscord = [play.speaker(discord.world.dm), play.speaker(discord.world.room)];
      const said: string[] = [];
      const restarts: Promise<{ readonly status: number }>[] = [];
      // Some acknowledgements are lost on top.
      discord.swallows = 5;
      for (let i = 0; i < MESSAGES; i++) {
        const text = `message ${i}`;
        for (const speaker of onDiscord) if (i % 2 === onDiscord.indexOf(speaker)) play.say(speaker, text);
        await insist(onIrc, text);
        said.push(text);
        if (i % Math.ceil(MESSAGES / (RESTARTS + 1)) === AHEAD - 1) {
          for (const name of ['discord', 'irc']) restarts.push(served.call('POST', `/api/channels/${name}/restart`));
        }
        await eventually('people are not far ahead', () => i - discord.heard.all.length < AHEAD);
      }
      expect((await Promise.all(restarts)).map(({ status }) => status)).toEqual(restarts.map(() => 200));
      await eventually('all is answered on IRC', () => onIrc.heard().length >= said.length);
      expect(await play.outcome(onDiscord)).toEqual(onceEach(onDiscord));
      expect(onIrc.heard()).toEqual(said);
      expect(restarts.length).toBeGreaterThan(2);
    },
    60_000 + MESSAGES * 200,
  );

  test('channels - a turn that outlasts the patience of a restart goes on, and is answered on the new connection', async () => {
    const shutdown = { timeoutMs: 20_000, drainMs: 100 };
    await using play = await DiscordPlay.begin({ stream: true }, { shutdown });
    const { discord, served } = play;
    const alice = play.speaker(discord.world.dm);
    play.say(alice, 'tell a story');
    play.say(alice, 'another');
    await discord.heard.next();
    await eventually('both are accepted', () => unfinished(served).length === 2);
    expect(await served.command('channels', 'restart', 'discord')).toMatchObject({ code: 0 });
    served.openGate('gate-a');
    expect(await play.outcome([alice])).toEqual(onceEach([alice]));
    expect(discord.standing(discord.world.dm)).toEqual(['tell a story and all', 'another']);
    expect(served.lines().filter((line) => line === 'begin tell a story')).toHaveLength(1);
  });
});
