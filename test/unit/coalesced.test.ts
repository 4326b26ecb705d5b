/** Runs work of which one at a time is enough. */
import { expect, test } from 'vitest';
import { Coalesced } from '../../src/main/wiring/coalesced.ts';

test('coalesced - who comes while one runs shares the next, with the latest of what was asked for', async () => {
  const coalesced = new Coalesced<string>();
  const ran: string[] = [];
  const gate = Promise.withResolvers<void>();
  const work = (name: string) => async () => {
    ran.push(name);
    if (name === 'first') await gate.promise;
    return name;
  };
  const all = ['first', 'second', 'third'].map((name) => coalesced.run(work(name)));
  gate.resolve();
  expect(await Promise.all(all)).toEqual(['first', 'third', 'third']);
  expect(ran).toEqual(['first', 'third']);
  expect(await coalesced.run(work('fourth'))).toBe('fourth');
});

test('coalesced - work that fails is told to those who asked for it, and the next is run all the same', async () => {
  const coalesced = new Coalesced<string>();
  const first = coalesced.run(() => Promise.reject(new Error('failed')));
  const second = coalesced.run(() => Promise.resolve('well'));
  await expect(first).rejects.toThrow('failed');
  expect(await second).toBe('well');
  await expect(coalesced.run(() => Promise.reject(new Error('again')))).rejects.toThrow('again');
  expect(await coalesced.run(() => Promise.resolve('at last'))).toBe('at last');
});
