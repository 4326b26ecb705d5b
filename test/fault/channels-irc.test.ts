/**
 * Kills whole hosts under IRC's users, on ngircd. IRC has no history, no ids and no acknowledgements: nothing that was accepted is lost and all of it
 * keeps its order; what the host had sent when it died, and the journal did not know of yet, is said again, and nothing else is.
 */
import { describe, expect, test } from 'vitest';
import { eventually } from '../support/host.ts';
import { IrcPlay, type IrcSpeaker, ircHost } from '../support/irc/play.ts';
import { IrcServer } from '../support/irc/server.ts';
import { unfinished } from '../support/journal-file.ts';
import { ServedDir } from '../support/served.ts';

/** Hosts start again and again: with other tests beside them that takes its time. */
const TIMEOUT_MS = 120_000;
const NOTHING: readonly string[] = [];

/** Says what has a number, from a speaker whose name it begins with. */
async function sayAll(speaker: IrcSpeaker, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) await speaker.say(`${speaker.user.nick} ${i}`);
}

function numbersOf(texts: readonly string[]): readonly number[] {
  return texts.map((text) => Number(text.split(' ').at(-1)));
}

function isAscending(numbers: readonly number[]): boolean {
  return numbers.every((n, i) => i === 0 || n > (numbers[i - 1] ?? n));
}

/** What was heard twice. */
function repeated(texts: readonly string[]): readonly string[] {
  return texts.filter((text, i) => texts.indexOf(text) < i);
}

describe('SIGKILL under IRC', { timeout: TIMEOUT_MS }, () => {
  test('irc - nothing accepted is lost when the host is killed again and again, the order holds, and only what was not marked as sent is repeated', async () => {
    await using play = await IrcPlay.begin();
    const { alice, bob, served } = play;
    const speakers = [alice, bob];
    /** What the journal held at the end of each host, and what had been heard by then. */
    const left: string[] = [];
    const lives: (readonly string[])[] = [];
    const heard = (): readonly string[] => speakers.flatMap((speaker) => speaker.heard());
    const ends = speakers.map(() => 0);
    const close = (): void => {
      for (const [i, speaker] of speakers.entries()) {
        lives.push(speaker.heard().slice(ends[i]));
        ends[i] = speaker.heard().length;
      }
    };
    for (let life = 0; life < 2; life++) {
      const before = heard().length;
      const saying = speakers.map((speaker) => sayAll(speaker, life * 30, life * 30 + 30));
      await eventually('some are answered', () => heard().length > before + 10);
      await play.kill();
      await Promise.all(saying);
      left.push(...unfinished(served).map(({ text }) => text));
      close();
      await play.start();
    }
    await Promise.all(speakers.map((speaker) => sayAll(speaker, 60, 65)));
    await eventually('the last ones are answered', () => speakers.every((s) => s.heard().at(-1)?.endsWith(' 64')));
    const metrics = String((await served.call('GET', '/metrics')).body);
    expect(await play.end()).toEqual([]);
    close();

    const all = new Set(heard());
    expect(left.filter((text) => !all.has(text))).toEqual(NOTHING);
    expect(/^orrery_journal_accepted_total (\d+)$/m.exec(metrics)?.[1]).toBe(String(all.size));
    for (const life of lives) expect(isAscending(numbersOf(life))).toBe(true);
    expect(speakers.flatMap((s) => repeated(s.heard())).filter((text) => !left.includes(text))).toEqual(NOTHING);
  });

  test('irc - a reply that nobody confirmed before the end is said again, its turn is not run again, and what waited follows once', async () => {
    await using play = await IrcPlay.begin();
    const { alice, bob, served, way } = play;
    for (const speaker of [alice, bob]) for (const name of ['one', 'two']) await speaker.say(`hold a ${name}`);
    await eventually('all are accepted', () => unfinished(served).length === 4);
    // The replies arrive, and the server's answers to the PINGs behind them do not.
    way.muted = true;
    served.openGate('gate-a');
    await eventually('both are heard', () => alice.heard().length + bob.heard().length === 2);
    await eventually('all have committed', () => unfinished(served).every(({ committed }) => committed));
    await play.kill();
    expect(unfinished(served)).toHaveLength(4);
    way.muted = false;
    await play.start();
    expect(await play.end()).toEqual([]);
    const expected = ['hold a one', 'hold a one', 'hold a two'];
    expect([alice.heard(), bob.heard()]).toEqual([expected, expected]);
    expect(served.lines().filter((line) => line.startsWith('begin'))).toHaveLength(4);
  });

  test('irc - replies that are held while the server is away outlive the host, and are said once and in order', async () => {
    await using play = await IrcPlay.begin();
    const { alice, bob, served, way } = play;
    const names = ['one', 'two', 'three'];
    for (const speaker of [alice, bob]) for (const name of names) await speaker.say(`hold a ${name}`);
    await eventually('all are accepted', () => unfinished(served).length === 6);
    await way.cut();
    served.openGate('gate-a');
    await eventually('all have committed', () => unfinished(served).every(({ committed }) => committed));
    await served.process.until('its replies are held');
    await play.kill();
    // The next host finds nobody, and is killed too.
    await served.start();
    await served.process.until('its replies are held');
    await play.kill();
    expect([alice.heard(), bob.heard()]).toEqual([[], []]);
    await served.start();
    await way.mend();
    expect(await play.end()).toEqual([]);
    const expected = names.map((name) => `hold a ${name}`);
    expect([alice.heard(), bob.heard()]).toEqual([expected, expected]);
    expect(served.lines().filter((line) => line.startsWith('begin'))).toHaveLength(6);
  });

  test('irc - ids that a network gives outlive the host: what is repeated after the end is answered once', async () => {
    await using irc = await IrcServer.start();
    await using served = new ServedDir(ircHost(irc.port));
    await served.start();
    const connected = (): Promise<boolean> =>
      eventually('the bot is there', async () => (await served.channel('irc')).connected);
    await connected();
    const say = (text: string, msgid: string): void => irc.say('alice', 'orrery', text, { msgid });
    say('answered', 'm1');
    await irc.heard.next();
    say('hold a under way', 'm2');
    await eventually('both are in the journal, one as answered', () => {
      const [first, ...others] = unfinished(served).map(({ text }) => text);
      return first === 'hold a under way' && others.length === 0;
    });
    await served.kill();
    await served.start();
    await connected();
    say('answered', 'm1');
    say('hold a under way', 'm2');
    say('new', 'm3');
    served.openGate('gate-a');
    await eventually('the last one is answered', () => irc.heard.all.some(({ params }) => params.at(-1) === 'new'));
    await served.stop();
    expect(irc.heard.all.map(({ params }) => params.at(-1))).toEqual(['answered', 'hold a under way', 'new']);
    expect(unfinished(served)).toEqual([]);
  });
});
