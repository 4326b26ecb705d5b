/** What the end of a child process means, which flags it is started with, and what of its words can be read when it is dead. */
import { describe, expect, test } from 'vitest';
import { PassThrough } from 'node:stream';
import { type ChildExit, childEnd } from '../../src/main/pool/child-end.ts';
import { ChildOutput } from '../../src/main/pool/child-output.ts';
import { ChildWords } from '../../src/main/pool/child-words.ts';
import { inheritedFlags } from '../../src/main/pool/child.ts';
import { SLOT_WORD, toWire } from '../../src/protocol/index.ts';
import { FileWords } from '../../src/worker/words.ts';

function end(exit: Partial<ChildExit>): ReturnType<typeof childEnd> {
  return childEnd({ code: null, signal: null, stopped: false, error: undefined, output: '', ...exit });
}

const HEAP = `<--- Last few GCs --->
[1:0x1] 100 ms: Mark-Compact 48 -> 48 MB
FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory
----- Native stack trace -----
`;

describe('the end of a child process', () => {
  test('child - it is clean only when it said that it was stopped, and exited with 0', () => {
    expect(end({ code: 0, stopped: true })).toEqual({ exit: 'clean' });
    expect(end({ code: 0 })).toMatchObject({ exit: 'crashed', exitCode: 0 });
    expect(end({ code: 4, stopped: true })).toMatchObject({ exit: 'crashed', exitCode: 4 });
    expect(end({ signal: 'SIGKILL', stopped: true })).toMatchObject({ exit: 'crashed' });
  });

  test.each([{ signal: 'SIGABRT' }, { code: 134 }, { signal: 'SIGTRAP' }] as const)(
    'child - an abort (%j) for want of heap is one, and its line is in the cause',
    (how) => {
      const { exit, cause, exitCode } = end({ ...how, output: HEAP });
      expect({ exit, exitCode }).toEqual({ exit: 'oom', exitCode: undefined });
      expect(cause).toMatchObject({ message: expect.stringContaining('(FATAL ERROR: Reached heap limit') });
    },
  );

  test('child - an abort for anything else is named by its signal', () => {
    expect(end({ signal: 'SIGABRT' })).toMatchObject({
      exit: 'crashed',
      cause: { message: 'SIGABRT ended its process' },
    });
    const output = '#\n# Fatal JavaScript invalid size error 169220804\n#\n';
    expect(end({ signal: 'SIGTRAP', output })).toMatchObject({
      exit: 'crashed',
      cause: { message: 'SIGTRAP ended its process (# Fatal JavaScript invalid size error 169220804)' },
    });
  });

  test('child - who only prints that the heap is full has not run out of it', () => {
    expect(end({ code: 1, output: HEAP })).toMatchObject({ exit: 'crashed', exitCode: 1 });
    expect(end({ signal: 'SIGKILL', output: HEAP })).toMatchObject({ exit: 'crashed' });
  });

  test('child - the error that it said it dies of is the cause', () => {
    const error = toWire(Object.assign(new TypeError('thrown'), { code: 'EX' }));
    expect(end({ code: 1, error })).toMatchObject({
      exit: 'crashed',
      cause: { name: 'TypeError', message: 'thrown', code: 'EX' },
    });
  });
});

describe('the flags of a child process', () => {
  test('child - what is main’s own, with its values, is not handed on; the rest is', () => {
    const kept = ['--import', './hook.js', '--conditions=dev', '--permission', '--allow-fs-read=*', '--no-warnings'];
    const own = ['--inspect=0', '--inspect-brk', '--watch-path', 'src', '--test', '--max-old-space-size=99'];
    const code = ['--input-type=module', '-e', 'await 1'];
    expect(inheritedFlags([...own, ...kept, ...code])).toEqual(kept);
    expect(inheritedFlags([])).toEqual([]);
  });
});

describe('the words of a child process', () => {
  test('child - what was written is read, and stays readable after the end', () => {
    const words = new ChildWords();
    const theirs = new FileWords(words.fd);
    expect(words.read(SLOT_WORD.begun)).toBe(0);
    theirs.add(SLOT_WORD.begun, 1);
    theirs.add(SLOT_WORD.begun, 2);
    theirs.store(SLOT_WORD.blamed, 7);
    expect([words.read(SLOT_WORD.begun), words.read(SLOT_WORD.blamed)]).toEqual([3, 7]);
    expect(words.lastError()).toBeUndefined();
    words.close();
    words.close();
    expect([words.read(SLOT_WORD.begun), words.read(SLOT_WORD.beat)]).toEqual([3, 0]);
    expect(words.lastError()).toBeUndefined();
  });

  test.each([10, 5_000, 20_000, 3_000_000])('child - a last error of %i characters is read, if shortened', (length) => {
    const words = new ChildWords();
    const error = new RangeError('\u{1}'.repeat(length));
    error.name = 'N'.repeat(length);
    new FileWords(words.fd).dieOf(toWire(error));
    const read = words.lastError();
    expect(read?.message.length).toBeGreaterThan(0);
    expect(error.message.startsWith(read?.message ?? 'nothing')).toBe(true);
    expect(words.read(SLOT_WORD.blamed)).toBe(0);
    words.close();
  });
});

describe('what a child process prints', () => {
  test('child - lines that come together are told together, the rest at the end, and the tail is kept', async () => {
    const stream = new PassThrough();
    const told: string[] = [];
    const output = new ChildOutput(stream, (text) => told.push(text));
    stream.write('one\ntwo\nthr');
    stream.write('ee\n  \n');
    stream.end('four');
    await output.closed;
    expect(told).toEqual(['one\ntwo\nthree\n  \nfour']);
    expect(output.tail).toBe('one\ntwo\nthree\n  \nfour');
  });

  test('child - a flood is cut, and the log says so', async () => {
    const stream = new PassThrough();
    const told: string[] = [];
    const output = new ChildOutput(stream, (text) => told.push(text));
    for (let i = 0; i < 400; i++) stream.write(`${'x'.repeat(1_000)}\n`);
    stream.end('the last words');
    await output.closed;
    expect(told.join('').length).toBeLessThan(70_000);
    expect(told.at(-1)).toMatch(/characters were left out/);
    expect(output.tail.endsWith('the last words')).toBe(true);
    expect(output.tail.length).toBeLessThanOrEqual(16_384);
  });
});
