/** Owns the comparison of a reply with what was expected, word by word. */

/** Words up to which it is done: the table of a longest common subsequence grows with their product. */
const MAX_WORDS = 400;

/**
 * Splits both texts into pieces `{ text, kind }`, `kind` being `same`, `extra` (in the reply alone), `missing` (in the expectation alone) or
 * `plain` (not judged). Undefined where it is not simple: too long, or nothing to compare with.
 */
export function diffWords(expected, output) {
  const wanted = pieces(expected);
  const given = pieces(output);
  if (wanted.words === 0 || given.words === 0 || wanted.words > MAX_WORDS || given.words > MAX_WORDS) return undefined;
  const keys = [wanted, given].map(({ list }) => list.map((piece) => (piece.isWord ? normal(piece.text) : '')));
  const table = subsequences(keys[0], keys[1]);
  const kinds = [wanted.list.map(() => 'missing'), given.list.map(() => 'extra')];
  let same = 0;
  for (let i = 0, j = 0; i < keys[0].length && j < keys[1].length;) {
    if (keys[0][i] === keys[1][j] && keys[0][i] !== '') {
      kinds[0][i++] = 'same';
      kinds[1][j++] = 'same';
      same += 1;
    } else if (keys[0][i] === '' || (keys[1][j] !== '' && table[i + 1][j] >= table[i][j + 1])) i += 1;
    else j += 1;
  }
  // A long reply to a short expectation is prose around it: all of it marked would say nothing.
  const isProse = given.words > 3 * wanted.words;
  return {
    same,
    expected: wanted.list.map(({ text, isWord }, i) => ({ text, kind: isWord ? kinds[0][i] : 'plain' })),
    output: given.list.map(({ text, isWord }, i) => ({
      text,
      kind: !isWord || (isProse && kinds[1][i] === 'extra') ? 'plain' : kinds[1][i],
    })),
  };
}

/** Of several expected texts, the one that the reply has most of. */
export function bestDiff(alternatives, output) {
  const found = alternatives.map((expected) => diffWords(expected, output)).filter((diff) => diff !== undefined);
  return found.toSorted((a, b) => b.same - a.same)[0];
}

function pieces(text) {
  const list = [...text.matchAll(/[\p{L}\p{N}]+|[^\p{L}\p{N}\s]|\s+/gu)].map(([piece]) => ({
    text: piece,
    isWord: piece.trim() !== '',
  }));
  return { list, words: list.filter(({ isWord }) => isWord).length };
}

function normal(word) {
  return word.toLowerCase();
}

/** `table[i][j]`: the longest common subsequence of what follows from `i` and `j` on. */
function subsequences(a, b) {
  const table = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const isSame = a[i] === b[j] && a[i] !== '';
      table[i][j] = isSame ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
    }
  }
  return table;
}
