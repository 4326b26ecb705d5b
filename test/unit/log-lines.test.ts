import { describe, expect, test } from 'vitest';
import { logLines } from '../../src/lib/log-lines.ts';

/** Stands for a file descriptor: takes what it is told to, or fails with a code. */
class Target {
  text = '';
  calls = 0;
  behaviour: (bytes: Uint8Array) => number = (bytes) => bytes.length;

  readonly write = (_fd: number, bytes: Uint8Array): number => {
    this.calls++;
    const taken = this.behaviour(bytes);
    this.text += Buffer.from(bytes.subarray(0, taken)).toString();
    return taken;
  };

  fail(code: string): void {
    this.behaviour = () => {
      throw Object.assign(new Error(code), { code });
    };
  }

  work(): void {
    this.behaviour = (bytes) => bytes.length;
  }
}

function over(target: Target): ReturnType<typeof logLines> {
  return logLines(1, { write: target.write, told: (count, code) => `${count} lost: ${code}\n` });
}

describe('log lines', () => {
  test.each(['EIO', 'ENOSPC', 'EPIPE'])('lines - are dropped and counted when the descriptor fails with %s', (code) => {
    const target = new Target();
    const lines = over(target);
    lines.write('one\n');
    target.fail(code);
    lines.write('two\n');
    lines.write('three\n');
    target.work();
    lines.write('four\n');
    lines.write('five\n');
    expect(target.text).toBe(`one\n2 lost: ${code}\nfour\nfive\n`);
  });

  test('lines - come whole when the descriptor takes a few bytes at a time', () => {
    const target = new Target();
    target.behaviour = () => 1;
    over(target).write('three\n');
    expect([target.text, target.calls]).toEqual(['three\n', 6]);
  });

  test('lines - begin on a line of their own when the one before was cut off', () => {
    const target = new Target();
    const lines = over(target);
    let taken = 0;
    target.behaviour = () => {
      if (taken++ > 0) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
      return 2;
    };
    lines.write('one\n');
    target.work();
    lines.write('two\n');
    expect(target.text).toBe('on\n1 lost: ENOSPC\ntwo\n');
  });

  test('lines - wait for a reader that is slow, and no longer for one that stopped, until it reads again', () => {
    const target = new Target();
    const lines = over(target);
    let refusals = 3;
    target.behaviour = (bytes) => {
      if (refusals-- > 0) throw Object.assign(new Error('again'), { code: 'EAGAIN' });
      return bytes.length;
    };
    lines.write('slow\n');
    expect(target.text).toBe('slow\n');

    target.fail('EAGAIN');
    lines.write('waited for\n');
    const { calls } = target;
    expect(calls).toBeGreaterThan(10);
    for (let i = 0; i < 5; i++) lines.write('not waited for\n');
    expect(target.calls).toBe(calls + 5);
    target.work();
    lines.write('read\n');
    expect(target.text).toBe('slow\n6 lost: EAGAIN\nread\n');
  });
});
