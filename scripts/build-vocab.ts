/**
 * Builds the vocabulary images into `vocab/`: `npm run build:vocab`, and `prepare`. Images that are there and current stay;
 * `--force` builds them again. `--unicode` prints the runs for `src/worker/tokenizer/unicode.ts` instead, as the regular
 * expressions of the installed tiktoken see each character.
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Vocabulary, isCurrentImage } from '../src/protocol/encodings.ts';
import { writeImage } from '../src/worker/tokenizer/build.ts';

const VOCABULARIES: readonly Vocabulary[] = ['o200k_base', 'cl100k_base'];
const folder = join(import.meta.dirname, '../vocab');

const { values } = parseArgs({ options: { force: { type: 'boolean' }, unicode: { type: 'boolean' } } });
if (values.unicode === true) console.log(await unicodeRuns());
else for (const vocabulary of VOCABULARIES) build(vocabulary, values.force === true);

function build(vocabulary: Vocabulary, force: boolean): void {
  const path = join(folder, `${vocabulary}.img`);
  if (!force && isCurrent(path, vocabulary)) return;
  const started = performance.now();
  writeImage(vocabulary, folder);
  const { size } = statSync(path);
  console.log(`${path}: ${size} bytes in ${Math.round(performance.now() - started)} ms`);
}

function isCurrent(path: string, vocabulary: Vocabulary): boolean {
  try {
    const bytes = readFileSync(path);
    const buffer = new SharedArrayBuffer(bytes.length);
    new Uint8Array(buffer).set(bytes);
    return isCurrentImage(buffer, vocabulary);
  } catch {
    return false;
  }
}

async function unicodeRuns(): Promise<string> {
  const { Tiktoken } = await import('tiktoken/lite');
  // With one token a byte, what a pattern does not match is left out of the ids.
  const ranks = `! 0 ${Array.from({ length: 256 }, (_, byte) => Buffer.of(byte).toString('base64')).join(' ')}`;
  const patterns = {
    U: '[\\p{Lu}\\p{Lt}]',
    L: '\\p{Ll}',
    B: '[\\p{Lm}\\p{Lo}]',
    M: '\\p{M}',
    N: '\\p{N}',
    S: '\\s',
    R: '[\\r\\n]',
  };
  const classes = Array.from({ length: 0x11_0000 }, () => 'O');
  for (const [letter, pattern] of Object.entries(patterns)) {
    const tiktoken = new Tiktoken(ranks, {}, pattern);
    for (let first = 0; first < classes.length; first += 4096) {
      const codes = Array.from({ length: 4096 }, (_, i) => first + i).filter((code) => code < 0xd800 || code > 0xdfff);
      const ids = tiktoken.encode_ordinary(String.fromCodePoint(...codes));
      for (const match of Buffer.from(ids).toString()) classes[match.codePointAt(0)!] = letter;
    }
    tiktoken.free();
  }
  let runs = '';
  for (let start = 0; start < classes.length;) {
    let end = start;
    while (classes[end] === classes[start]) end++;
    runs += classes[start]! + (end - start === 1 ? '' : (end - start).toString(36));
    start = end;
  }
  return runs;
}
