import { describe, expect, test } from 'vitest';
import { Writer } from '../../src/main/channels/irc/writer.ts';
import { OrreryError } from '../../src/protocol/index.ts';

const SIGNAL = new AbortController().signal;

function writer(intervalMs = 0, burst = 3) {
  const lines: string[] = [];
  const clock = { ms: 0 };
  const w = new Writer({ burst, intervalMs, write: (line) => lines.push(line.join(' ')), now: () => clock.ms });
  return { w, lines, clock };
}

describe('irc writer', () => {
  test('writer - sends so many lines at once and then waits', async () => {
    const { w, lines } = writer(60_000);
    const sent = [1, 2, 3, 4].map((n) => w.send(['PRIVMSG', 'a', String(n)], SIGNAL).catch((error: unknown) => error));
    await Promise.all(sent.slice(0, 3));
    expect(lines).toHaveLength(3);
    const ended = new OrreryError('ORRERY_CHANNEL_CLOSED', 'over');
    w.end(ended);
    expect(await sent[3]).toBe(ended);
    await expect(w.send(['X'], SIGNAL)).rejects.toBe(ended);
  });

  test('writer - one PING confirms all that was written before it, and what came later has the next', async () => {
    const { w, lines } = writer();
    await w.send(['a'], SIGNAL);
    const [first, same] = [w.confirmed(), w.confirmed()];
    expect(lines).toEqual(['a', 'PING orrery-1']);
    w.pong('orrery-0');
    expect(w.unconfirmed).toBe(1);
    await w.send(['b'], SIGNAL);
    const later = w.confirmed();
    w.pong('orrery-1');
    await first;
    expect(lines).toEqual(['a', 'PING orrery-1', 'b', 'PING orrery-2']);
    expect(w.unconfirmed).toBe(1);
    w.pong('orrery-2');
    await Promise.all([same, later]);
    expect(w.unconfirmed).toBe(0);
    await w.confirmed();
    expect(lines).toHaveLength(4);
  });

  test('writer - what the connection ended before its PONG is known to be unconfirmed', async () => {
    const { w } = writer();
    await w.send(['a'], SIGNAL);
    const confirmed = w.confirmed();
    w.end(new OrreryError('ORRERY_CHANNEL_FAILED', 'cut'));
    await expect(confirmed).rejects.toThrow('cut');
    expect(w.unconfirmed).toBe(1);
  });

  test('writer - passes over a line whose sender gave up while it waited', async () => {
    const lines: string[] = [];
    const write = (line: readonly string[]): void => void lines.push(line.join(' '));
    const w = new Writer({ burst: 1, intervalMs: 5, write, now: () => performance.now() });
    const abort = new AbortController();
    const first = w.send(['a'], SIGNAL);
    const gone = w.send(['b'], abort.signal).catch((error: unknown) => error);
    const last = w.send(['c'], SIGNAL);
    const reason = new Error('given up');
    abort.abort(reason);
    await Promise.all([first, last]);
    expect(await gone).toBe(reason);
    expect(lines).toEqual(['a', 'c']);
  });
});
