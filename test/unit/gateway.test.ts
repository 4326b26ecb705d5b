/** The gateway's parts without a server: logins, waiters, the deltas' account, which addresses are loopback. */
import { describe, expect, test } from 'vitest';
import { Access, isLoopback } from '../../src/main/channels/gateway/access.ts';
import { DELTA_HIGH_WATER_BYTES, DeltaTrack } from '../../src/main/channels/gateway/deltas.ts';
import { afterAcceptance, describeError } from '../../src/main/channels/gateway/errors.ts';
import { LOGIN_TTL_MS, Logins, MAX_LOGINS } from '../../src/main/channels/gateway/logins.ts';
import { ChunkWriter, agentOf } from '../../src/main/channels/gateway/openai.ts';
import { type Outcome, Waiters } from '../../src/main/channels/gateway/waiters.ts';
import { ERRORS, type ErrorCode, OrreryError } from '../../src/protocol/index.ts';

const FAILED: Outcome = { status: 'failed', error: { name: 'Error', message: 'x' } };

describe('logins', () => {
  test('end after their time', () => {
    let now = 0;
    const logins = new Logins(() => now);
    const id = logins.open('chat');
    now = LOGIN_TTL_MS - 1;
    expect(logins.find(id)?.role).toBe('chat');
    now = LOGIN_TTL_MS;
    expect(logins.find(id)).toBeUndefined();
    logins.open('chat');
    expect(logins.size).toBe(1);
  });

  test('are bounded, the oldest goes first', () => {
    const logins = new Logins(() => 0);
    const ids = Array.from({ length: MAX_LOGINS + 2 }, () => logins.open('chat'));
    expect(logins.size).toBe(MAX_LOGINS);
    expect(ids.slice(0, 2).map((id) => logins.find(id))).toEqual([undefined, undefined]);
    expect(logins.find(ids[2] ?? '')).toBeDefined();
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('a login cookie', () => {
  test('is told from others by its whole name', () => {
    const access = new Access({ host: '127.0.0.1', allowedHosts: [], allowedOrigins: [] });
    access.bound(8790);
    expect(access.cookie).toBe('orrery-8790');
    expect(access.loginId({ cookie: 'a=1; xorrery-8790=no; orrery-8790=yes; orrery-879=no' })).toBe('yes');
    expect(access.loginId({ cookie: 'a=orrery-8790=no' })).toBeUndefined();
  });
});

describe('waiters', () => {
  test('hear of their own message only, all of them, once', async () => {
    const waiters = new Waiters();
    const [one, two, other] = [waiters.wait('n', '1'), waiters.wait('n', '1'), waiters.wait('m', '1')];
    expect(waiters.settle('n', '1', FAILED)).toBe(true);
    expect(await Promise.all([one.outcome, two.outcome])).toEqual([FAILED, FAILED]);
    expect(waiters.settle('n', '1', FAILED)).toBe(false);
    expect(waiters.size).toBe(1);
    other.leave();
    expect(waiters.size).toBe(0);
    expect(waiters.settle('m', '1', FAILED)).toBe(false);
  });

  test('leave without taking others along', async () => {
    const waiters = new Waiters();
    const [one, two] = [waiters.wait('n', '1'), waiters.wait('n', '1')];
    one.leave();
    one.leave();
    expect(waiters.settle('n', '1', FAILED)).toBe(true);
    expect(await two.outcome).toBe(FAILED);
  });

  test('may leave late without touching a newer one of the same message', () => {
    const waiters = new Waiters();
    const old = waiters.wait('n', '1');
    waiters.settle('n', '1', FAILED);
    waiters.wait('n', '1');
    old.leave();
    expect(waiters.size).toBe(1);
  });
});

describe("the deltas' account", () => {
  test('gives the rest of the reply, and holds back everything after the first that did not fit', () => {
    const track = new DeltaTrack();
    expect(track.offer('ab', 0)).toBe(true);
    expect(track.offer('cd', DELTA_HIGH_WATER_BYTES + 1)).toBe(false);
    expect(track.offer('ef', 0)).toBe(false);
    expect(track.rest('abcdef')).toBe('cdef');
    track.reset();
    expect(track.rest('xyz')).toBe('xyz');
    expect(track.offer('x', 0)).toBe(true);
  });

  test('knows that more was sent than the reply has', () => {
    const track = new DeltaTrack();
    track.offer('abc', 0);
    expect(track.rest('ab')).toBeUndefined();
    expect(track.rest('abc')).toBe('');
  });
});

describe('errors', () => {
  test.each(Object.keys(ERRORS) as ErrorCode[])(
    '%s goes out with its status, and is not retried once accepted',
    (code) => {
      const refused = describeError(new OrreryError(code, 'why'));
      expect(refused.status).toBe(ERRORS[code].http);
      expect(refused.headers['x-should-retry']).toBe(ERRORS[code].retryable ? undefined : 'false');
      expect(refused.error).toEqual({ code, message: 'why', hint: ERRORS[code].hint });
      const failed = describeError(afterAcceptance('m1', { name: 'OrreryError', message: 'why', code }));
      expect(failed.headers['x-should-retry']).toBe('false');
      expect(failed.error.id).toBe('m1');
    },
  );

  test('that crossed a thread keep their code and hint', () => {
    const error = Object.assign(new Error('why'), { code: 'ORRERY_MAILBOX_FULL', hint: 'wait', retryAfterMs: 1500 });
    expect(describeError(error)).toMatchObject({
      status: 429,
      headers: { 'retry-after': '2' },
      error: { code: 'ORRERY_MAILBOX_FULL', hint: 'wait' },
    });
  });
});

test.each([
  ['localhost', true],
  ['127.0.0.1', true],
  ['127.8.0.1', true],
  ['::1', true],
  ['[::1]', true],
  ['0.0.0.0', false],
  ['127.evil.example', false],
  ['10.0.0.1', false],
])('loopback - %s is %s', (host, expected) => {
  expect(isLoopback(host)).toBe(expected);
});

test.each([
  ['orrery', undefined],
  ['orrery/a', 'a'],
  ['orrery/orrery', 'orrery'],
  ['a', 'a'],
  ['a/b', 'a/b'],
])('a model - %s names the agent %s', (model, agent) => {
  expect(agentOf(model)).toBe(agent);
});

test('a chunk - is one event whatever its text holds', () => {
  const event = new ChunkWriter('m"1', 'a', false).delta('line\n\ndata: [DONE]\n\n"\u2028');
  expect(event.split('\n\n')).toHaveLength(2);
  expect(JSON.parse(event.slice(6))).toMatchObject({
    id: 'chatcmpl-m"1',
    choices: [{ delta: { content: expect.any(String) as string } }],
  });
});
