/** Is a suite as a module: its cases are made, and one of its scorers is a function. `orrery bench examples/bench/words.ts --agent echo` */

interface Case {
  readonly id: string;
  readonly input: string;
  readonly expected: string;
  readonly tags: readonly string[];
}

const WORDS = ['harbour', 'lantern', 'meadow', 'thunder'];

export function* cases(): Generator<Case> {
  for (const word of WORDS) {
    yield {
      id: word,
      input: `Spell "${word}" backwards.`,
      expected: word.split('').toReversed().join(''),
      tags: ['spelling'],
    };
  }
}

interface Scored {
  readonly output: string;
  readonly expected?: unknown;
}

export const scorers: Readonly<Record<string, string | ((scored: Scored) => { score: number; detail: string })>> = {
  includes: 'includes',
  /** Partial credit: the share of letters that stand where they should. */
  letters({ output, expected }) {
    const wanted = String(expected);
    const said = output.trim().slice(0, wanted.length);
    const right = wanted.split('').filter((letter, i) => said[i] === letter).length;
    return { score: right / wanted.length, detail: `${right} of ${wanted.length} letters` };
  },
};
