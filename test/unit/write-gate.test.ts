import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { WriteGate, writeGateWord } from '../../src/lib/write-gate.ts';
import { SqliteSessionStore } from '../../src/worker/sessions/sqlite.ts';
import { KEY, contents, fill, ownerOf } from '../support/sessions.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const GATE = new URL('../../src/lib/write-gate.ts', import.meta.url).href;

/** Goes through the gate so often, and adds one to a count meanwhile that no thread adds to as a whole. */
const WALKER = `
  import { parentPort, workerData } from 'node:worker_threads';
  const { WriteGate } = await import(workerData.gate);
  const gate = new WriteGate(workerData.word);
  const count = new Int32Array(workerData.count);
  for (let i = 0; i < workerData.times; i++) {
    gate.enter();
    const before = count[0];
    for (let n = 0; n < 100; n++) Math.sqrt(n);
    count[0] = before + 1;
    gate.leave();
  }
  parentPort.postMessage('done');
`;

test('write gate - of several threads one is inside at a time, and none is left waiting', async () => {
  const word = writeGateWord();
  const count = new SharedArrayBuffer(4);
  const times = 20_000;
  const walkers = Array.from({ length: 3 }, () => {
    const workerData = { gate: GATE, word, count, times };
    return new Worker(new URL(`data:text/javascript,${encodeURIComponent(WALKER)}`), { workerData });
  });
  await Promise.all(walkers.map((walker) => once(walker, 'message')));
  expect(new Int32Array(count)[0]).toBe(3 * times);
  expect(new Int32Array(word)[0]).toBe(0);
});

test('write gate - one that a killed thread left shut keeps nobody from writing, and is open again afterwards', () => {
  using directory = temporaryDirectory();
  const gate = writeGateWord();
  const store = new SqliteSessionStore({ file: join(directory.path, 'sessions.db'), gate });
  const epoch = ownerOf(store);
  new WriteGate(gate).enter();
  fill(store, epoch, ['one']);
  expect(contents(store, KEY)).toEqual(['ask one', 'one']);
  expect(new Int32Array(gate)[0]).toBe(0);
  store.close();
});
