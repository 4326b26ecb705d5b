import { describe, expect, test, vi } from 'vitest';
import { compileAdmission } from '../../src/main/channels/network/admission.ts';
import { compileAllow } from '../../src/main/channels/network/allow.ts';
import { Draft } from '../../src/main/channels/network/draft.ts';
import { errorText } from '../../src/main/channels/network/error-text.ts';
import { namespaceOf, recipientOf, toInbound } from '../../src/main/channels/network/inbound.ts';
import { openMemory } from '../../src/main/channels/network/memory-file.ts';
import { ChannelMemory, MAX_PARKED, PARKED_MS } from '../../src/main/channels/network/memory.ts';
import type { NetworkMessage } from '../../src/main/channels/network/message.ts';
import { nonceOf } from '../../src/main/channels/network/network-channel.ts';
import { UserLimit } from '../../src/main/channels/network/rate-limit.ts';
import { Typing } from '../../src/main/channels/network/typing.ts';
import { ERRORS, type ErrorCode } from '../../src/protocol/index.ts';
import { pino } from 'pino';
import { turn } from '../support/channels.ts';
import { eventually } from '../support/host.ts';
import { temporaryDirectory } from '../support/temporary.ts';

type Over = Partial<Omit<NetworkMessage, 'place' | 'author'>> & {
  readonly place?: Partial<NetworkMessage['place']>;
  readonly author?: Partial<NetworkMessage['author']>;
};

function said({ place, author, ...over }: Over = {}): NetworkMessage {
  return {
    id: 'm1',
    at: 1000,
    place: { kind: 'room', target: '7', room: '7', guild: '1', ...place },
    author: { id: '42', name: 'Alice', isBot: false, isSelf: false, ...author },
    text: 'hello',
    isForMe: true,
    ...over,
  };
}

const IN_PRIVATE: Over = { place: { kind: 'dm', target: '9', room: '9' } };

describe('allow', () => {
  test.each([
    [['*'], true, true],
    [[], false, false],
    [['user:42'], true, true],
    [['user:4*'], true, true],
    [['user:4'], false, false],
    [['room:7'], true, false],
    [['guild:1'], true, false],
    [['guild:2', 'room:8'], false, false],
    [['USER:42'], true, true],
    [['user:4.'], false, false],
  ])('allow - %j lets a user in, in a room: %s, in private: %s', (allow, inRoom, inPrivate) => {
    const allows = compileAllow(allow);
    expect([allows(said()), allows(said(IN_PRIVATE))]).toEqual([inRoom, inPrivate]);
  });

  test('allow - means a user by aliases too, and a thread by its room', () => {
    const aliases = ['account:alice', 'mask:Al!~al@host.example'];
    expect(compileAllow(['account:Alice'])(said({ author: { aliases } }))).toBe(true);
    expect(compileAllow(['mask:*!*@host.example'])(said({ author: { aliases } }))).toBe(true);
    expect(compileAllow(['mask:*!*@other.example'])(said({ author: { aliases } }))).toBe(false);
    expect(compileAllow(['room:7'])(said({ place: { target: '8', thread: '8' } }))).toBe(true);
  });
});

describe('admission', () => {
  test.each<[string, Over, string | undefined]>([
    ['taken in', {}, undefined],
    ['own', { author: { isSelf: true, isBot: true } }, 'own'],
    ['of a bot', { author: { isBot: true } }, 'bot'],
    ['not addressed', { isForMe: false }, 'notAddressed'],
    ['in private without a mention', { ...IN_PRIVATE, isForMe: false }, undefined],
    ['of another user', { author: { id: '43' } }, 'notAllowed'],
    ['empty', { text: ' \n' }, 'empty'],
    ['of an attachment alone', { text: '', parts: [{ type: 'file', url: 'https://x.example/a' }] }, undefined],
  ])('admission - a message that is %s', (_, over, expected) => {
    expect(compileAdmission({ allow: ['user:42'], respondTo: 'mentions' })(said(over))).toBe(expected);
  });

  test('admission - answers all in rooms when it is told to', () => {
    expect(compileAdmission({ allow: ['*'], respondTo: 'all' })(said({ isForMe: false }))).toBeUndefined();
  });
});

describe('rate limit', () => {
  test('limit - lets a minute of messages through at once, then one at a time as time goes by', () => {
    const limit = new UserLimit(3);
    expect([0, 0, 0].map((at) => limit.take('a', at).ok)).toEqual([true, true, true]);
    expect(limit.take('a', 1000)).toEqual({ ok: false, isFirst: true, retryAfterMs: 19_000 });
    expect(limit.take('a', 2000)).toMatchObject({ ok: false, isFirst: false });
    expect(limit.take('b', 2000).ok).toBe(true);
    expect(limit.take('a', 20_001).ok).toBe(true);
    expect(limit.take('a', 20_001)).toMatchObject({ ok: false, isFirst: true });
  });

  test('limit - a message of the past gives nothing back', () => {
    const limit = new UserLimit(1);
    limit.take('a', 60_000);
    expect(limit.take('a', 0).ok).toBe(false);
    expect(limit.take('a', 60_001).ok).toBe(false);
  });
});

describe('error text', () => {
  test.each(Object.keys(ERRORS) as ErrorCode[])(
    'error text - %s is a short sentence without anything internal',
    (code) => {
      const text = errorText({ name: 'OrreryError', message: 'internal at /home/x', code });
      expect(text).toMatch(/^⚠ [A-Z][^\n]{5,100}\.$/);
      expect(text).not.toMatch(/ORRERY|internal|\//);
    },
  );

  test('error text - says when to come back where that is long', () => {
    const limited = { name: 'OrreryError', message: '', code: 'ORRERY_RATE_LIMITED', retryAfterMs: 600_000 };
    expect(errorText(limited)).toContain('10 min');
  });
});

describe('inbound', () => {
  test.each<[Over, string]>([
    [{}, 'net:1:7:42'],
    [IN_PRIVATE, 'net:dm:42'],
    [{ place: { target: '8', thread: '8' } }, 'net:1:7:8'],
  ])('inbound - %j has the session %s', (over, namespace) => {
    expect(namespaceOf('net', said(over))).toBe(namespace);
  });

  test('inbound - keeps the way back in its metadata', () => {
    const inbound = toInbound(said(), { channel: 'net', account: 'bot', metadata: { own: 'x' } });
    expect(inbound).toMatchObject({ account: 'bot', metadata: { own: 'x', peer: '42', room: '7', guild: '1' } });
    const { channel, namespace, metadata } = inbound;
    expect(recipientOf({ channel, namespace, metadata, inReplyTo: 'm1' })).toEqual({
      kind: 'room',
      target: '7',
      author: 'Alice',
      inReplyTo: 'm1',
    });
  });

  test('nonce - is the same for the same part, fits, and differs for another', () => {
    const nonces = [nonceOf('d-1', 0), nonceOf('d-1', 1), nonceOf('d-2', 0)];
    expect(new Set(nonces).size).toBe(3);
    expect(nonces.map((nonce) => nonce.length)).toEqual([24, 24, 24]);
    expect(nonceOf('d-1', 0)).toBe(nonces[0]);
  });
});

describe('memory', () => {
  test('memory - is read again from its file, for the same network only', async () => {
    using directory = temporaryDirectory();
    const path = `${directory.path}/channels/net.json`;
    const log = pino({ enabled: false });
    const memory = openMemory(path, 'discord', log);
    memory.setMark('7', { last: '100', isDm: false });
    memory.setMark('9', { last: '101', isDm: true });
    await memory.flush();
    expect(openMemory(path, 'discord', log).marks()).toEqual(memory.marks());
    expect(openMemory(path, 'irc', log).marks()).toEqual([]);
    directory.write('channels/net.json', '{"type":"discord","rooms":{"7":5}}');
    expect(openMemory(path, 'discord', log).marks()).toEqual([]);
  });

  test('memory - writes a room that is new at once, and how far it was read a while later', async () => {
    using directory = temporaryDirectory();
    const path = `${directory.path}/channels/net.json`;
    const log = pino({ enabled: false });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const memory = openMemory(path, 'discord', log);
      const kept = (): readonly unknown[] => openMemory(path, 'discord', log).marks();
      memory.setMark('7', { last: '100', isDm: true });
      vi.advanceTimersByTime(0);
      await eventually('it is written', () => kept().length === 1);
      memory.setMark('7', { last: '101', isDm: true });
      vi.advanceTimersByTime(0);
      expect(vi.getTimerCount()).toBe(1);
      memory.setMark('8', { last: '102', isDm: true });
      vi.advanceTimersByTime(0);
      await eventually('both are written', () => kept().length === 2);
      expect(kept()).toEqual(memory.marks());
    } finally {
      vi.useRealTimers();
    }
  });

  test('memory - keeps what came while nothing was taken in, for a while and up to a bound', () => {
    const memory = new ChannelMemory();
    memory.park(said({ id: 'old' }), 0);
    memory.park(said({ id: 'new' }), PARKED_MS);
    expect(memory.takeParked(PARKED_MS + 1).map((m) => m.id)).toEqual(['new']);
    expect(memory.takeParked(PARKED_MS + 1)).toEqual([]);
    for (let i = 0; i < MAX_PARKED; i++) memory.park(said(), 0);
    expect(memory.park(said(), 0)).toBe(false);
  });
});

describe('draft', () => {
  test('draft - shows nothing before it has a key, and nothing after its end', async () => {
    const shown: string[] = [];
    const show = (key: string, text: string): Promise<void> => {
      shown.push(`${key}: ${text}`);
      return Promise.resolve();
    };
    const draft = new Draft(0, show);
    draft.delta('a');
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
    expect(shown).toEqual([]);
    draft.begin('d-1');
    await expect.poll(() => shown).toEqual(['d-1: a …']);
    draft.delta('b');
    await draft.end();
    draft.delta('c');
    await turn();
    expect(shown).toEqual(['d-1: a …']);
  });
});

describe('typing', () => {
  test('typing - is shown once for a room however many answers are written, and ends with the last of them', () => {
    const shown: string[] = [];
    const typing = new Typing(10_000, (target) => {
      shown.push(target);
      return Promise.reject(new Error('not important'));
    });
    const first = typing.start('7');
    const second = typing.start('7');
    typing.start('8');
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    typing.start('7');
    expect(shown).toEqual(['7', '8']);
    second[Symbol.dispose]();
    typing.stop();
    typing.start('7');
    expect(shown).toEqual(['7', '8', '7']);
    typing.stop();
  });
});
