/** Owns how a reply becomes lines of IRC: Markdown as plain text or with the old colour codes, cut to what fits into a line. Pure functions. */
import { splitText } from '../network/split.ts';

export type Formatting = 'plain' | 'codes';

/** Bytes of one line with everything around it, its end included. */
const LINE = 512;
const BOLD = '\x02';
const ITALIC = '\x1d';
const MONOSPACE = '\x11';
const FENCE = /^ {0,3}(?:`{3,}|~{3,})/;

/** Bytes of text that fit into a message, as the server passes it on with the sender's whole name before it. */
export function roomFor(sender: string, target: string): number {
  return LINE - Buffer.byteLength(`:${sender} PRIVMSG ${target} :\r\n`);
}

/** Writes a text as lines of at most `max` bytes; a character is never cut. `prefix` begins the first one. */
export function toLines(
  text: string,
  o: { readonly max: number; readonly formatting: Formatting; readonly prefix?: string },
): readonly string[] {
  const lines = toPlain(text, o.formatting).filter((line) => line.trim() !== '');
  const [first, ...rest] = lines;
  if (first === undefined) return [];
  const whole = [`${o.prefix ?? ''}${first}`, ...rest];
  const options = { max: o.max, measure: (t: string) => Buffer.byteLength(t), fences: false };
  return whole.flatMap((line) => splitText(line, options));
}

/** Strips control characters first: one that an agent writes could end the line and begin a command of its own. */
function toPlain(text: string, formatting: Formatting): readonly string[] {
  const clean = text
    .replaceAll(/\r\n?/g, '\n')
    .replaceAll('\t', '    ')
    .replaceAll(/[^\P{Cc}\n]/gu, '');
  let isCode = false;
  return clean.split('\n').flatMap((line): string[] => {
    if (FENCE.test(line)) {
      isCode = !isCode;
      return [];
    }
    return [isCode ? line : inline(line, formatting)];
  });
}

function inline(line: string, formatting: Formatting): string {
  const around = (code: string): string => (formatting === 'codes' ? `${code}$1${code}` : '$1');
  return line
    .replace(/^#{1,6} +(.+?) *#*$/, around(BOLD))
    .replace(/^( *)[*+] +/, '$1- ')
    .replaceAll(/!?\[([^\]]+)\]\((https?:\/\/[^\s)]+)[^)]*\)/g, '$1 ($2)')
    .replaceAll(/\*\*(?=\S)(.+?\S|\S)\*\*/g, around(BOLD))
    .replaceAll(/(?<![\w*])\*(?=\S)([^*]*[^*\s])\*(?![\w*])/g, around(ITALIC))
    .replaceAll(/(?<!\w)_(?=\S)([^_]*[^_\s])_(?!\w)/g, around(ITALIC))
    .replaceAll(/`([^`]+)`/g, around(MONOSPACE));
}
