import { expect, test } from 'vitest';
import { pairWithOracle } from '../support/oracle.ts';

const LAST = 0x10_ffff;

/** Framed scalars that go to the oracle in one text: each call to it costs more than a word. */
const FRAMES = 128;

function* scalars(): Generator<string> {
  for (let code = 0; code <= LAST; code++) {
    if (code < 0xd800 || code > 0xdfff) yield String.fromCodePoint(code);
  }
}

test.for(['o200k_base', 'cl100k_base'] as const)(
  'tokens - %s equals tiktoken for every Unicode scalar value, alone and between letters',
  { timeout: 600_000 },
  async (vocabulary) => {
    const { difference, differentIds } = await pairWithOracle(vocabulary);
    const wrong: string[] = [];
    const note = (found: string | undefined): void => {
      if (found !== undefined) wrong.push(found);
    };
    let checked = 0;
    let framed: string[] = [];
    for (const scalar of scalars()) {
      note(differentIds(scalar));
      framed.push(`a${scalar}b`);
      if (framed.length === FRAMES) {
        note(difference(framed.join(' ')));
        framed = [];
      }
      checked++;
    }
    note(difference(framed.join(' ')));
    expect(wrong.slice(0, 10)).toEqual([]);
    expect(checked).toBe(LAST + 1 - 0x800);
  },
);
