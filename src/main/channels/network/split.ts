/**
 * Owns how a long text becomes messages of a bounded length: cut between paragraphs, else lines, sentences or words, with code
 * blocks kept whole where they fit and closed and opened again where they do not. A pure function of the text.
 */

export interface SplitOptions {
  /** Length of one message at most, in the unit of `measure`. At least 16. */
  readonly max: number;
  /** Length of a text, at least its UTF-16 units. Default: those. */
  readonly measure?: (text: string) => number;
  /** Whether ``` and ~~~ mean code blocks. Default: true. */
  readonly fences?: boolean;
}

interface Fence {
  /** The line that opens it, such as "```ts". */
  readonly line: string;
  readonly mark: string;
  /** Where its line begins. */
  readonly at: number;
}

const FENCE = /^ {0,3}(`{3,}|~{3,})([^\n]*)$/;
/** A cut that leaves less than this share of a message is not worth its better place. */
const WORTH = 0.4;
/** Rather than leave that much of a message empty, a word is cut. */
const WORTH_A_WORD = 0.1;
const SENTENCE_END = /[.!?…。！？]["')\]]*\s/g;

/** Splits a text into messages, in order; what is blank gives none. Blank lines around a cut are dropped, nothing else is. */
export function splitText(text: string, options: SplitOptions): readonly string[] {
  const { max, measure = lengthOf, fences = true } = options;
  const parts: string[] = [];
  let rest = trimEdges(text);
  let head = '';
  while (rest.trim() !== '') {
    // No measure gives less than one for a unit: what is longer than that needs no counting.
    if (head.length + rest.length <= max && measure(head + rest) <= max) {
      parts.push(head + rest);
      break;
    }
    const inside = head === '' ? undefined : openFence(head);
    const room = max - measure(head);
    // What stays open at the cut is closed in this message: its place is kept from the start.
    const closing = fences ? measure('\n```') + longestMark(rest.slice(0, max)) - 3 : 0;
    const end = fitting(rest, Math.max(1, room - closing), measure);
    const cut = chooseCut(rest, end, fences, inside);
    const piece = rest.slice(0, cut);
    const open = fences ? stateAfter(piece, inside) : undefined;
    const body = open === undefined ? piece.trimEnd() : piece.replace(/\n$/, '');
    if (body.trim() !== '' || open === undefined)
      parts.push(head + body + (open === undefined ? '' : `\n${open.mark}`));
    rest = open === undefined ? trimEdges(rest.slice(cut)) : rest.slice(cut).replace(/^\n/, '');
    head = open === undefined ? '' : `${open.line}\n`;
    // A language line that fills a message would leave no room for code: the block goes on without it.
    if (measure(head) > max / 2) head = '';
  }
  return parts.filter((part) => part.trim() !== '');
}

function lengthOf(text: string): number {
  return text.length;
}

function trimEdges(text: string): string {
  return text.replace(/^(?:[ \t]*\n)+/, '').trimEnd();
}

/** The longest prefix that fits, in UTF-16 units; it never ends within a character. */
function fitting(text: string, room: number, measure: (text: string) => number): number {
  let low = 1;
  let high = Math.min(text.length, Math.max(1, room));
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (measure(text.slice(0, middle)) <= room) low = middle;
    else high = middle - 1;
  }
  return wholeCharacters(text, low);
}

/** Moves a cut back to where a character begins; a character longer than that is kept whole. */
function wholeCharacters(text: string, at: number): number {
  if (at >= text.length) return text.length;
  const near = text.slice(Math.max(0, at - 32), at + 32);
  const base = Math.max(0, at - 32);
  let best = 0;
  for (const { index } of new Intl.Segmenter(undefined, { granularity: 'grapheme' }).segment(near)) {
    if (base + index <= at) best = base + index;
  }
  if (best > base) return best;
  const code = text.charCodeAt(at);
  const isLow = code >= 0xdc00 && code <= 0xdfff;
  if (!isLow) return at;
  return at > 1 ? at - 1 : at + 1;
}

function chooseCut(text: string, end: number, fences: boolean, inside: Fence | undefined): number {
  const window = text.slice(0, end);
  const least = Math.floor(end * WORTH);
  const open = fences ? stateAfter(window, inside) : undefined;
  if (open !== undefined) {
    // The block that does not fit begins a message of its own, unless it fills more than one anyway and would waste this one.
    if (open !== inside && open.at > 0 && (open.at >= least || closesWithin(text, open, end))) return open.at;
    const line = window.lastIndexOf('\n');
    const first = open === inside ? 0 : open.at + open.line.length;
    if (line > first) return line + 1;
    if (open !== inside && open.at > 0) return open.at;
    return end;
  }
  const paragraph = lastOutside(window, /\n[ \t]*\n/g, fences, inside);
  if (paragraph > least) return paragraph;
  const line = lastOutside(window, /\n/g, fences, inside);
  if (line > least) return line;
  const sentence = lastOutside(window, SENTENCE_END, fences, inside);
  if (sentence > least) return sentence;
  const word = lastOutside(window, /\s/g, fences, inside);
  return word > end * WORTH_A_WORD ? word : end;
}

/** Tells whether a block would fit into one message of about that length. */
function closesWithin(text: string, open: Fence, length: number): boolean {
  const lines = text.slice(open.at + open.line.length + 1).split('\n');
  let used = open.line.length + 1;
  for (const line of lines) {
    used += line.length + 1;
    if (used > length) return false;
    if (closes(line, open.mark)) return true;
  }
  return false;
}

/** Where the last match ends that lies in no code block; 0 for none. */
function lastOutside(text: string, pattern: RegExp, fences: boolean, inside: Fence | undefined): number {
  const ends = [...text.matchAll(pattern)].map((match) => match.index + match[0].length);
  for (const end of ends.toReversed()) {
    if (!fences || stateAfter(text.slice(0, end), inside) === undefined) return end;
  }
  return 0;
}

/** The block that is open at the end of a text. */
function stateAfter(text: string, inside: Fence | undefined): Fence | undefined {
  let open = inside;
  let at = 0;
  for (const line of text.split('\n')) {
    const match = FENCE.exec(line);
    const mark = match?.[1];
    if (open !== undefined) {
      if (closes(line, open.mark)) open = undefined;
    } else if (mark !== undefined && !(mark.startsWith('`') && (match?.[2] ?? '').includes('`'))) {
      open = { line, mark, at };
    }
    at += line.length + 1;
  }
  return open;
}

function closes(line: string, mark: string): boolean {
  const match = FENCE.exec(line);
  const other = match?.[1];
  return other !== undefined && (match?.[2] ?? '').trim() === '' && other[0] === mark[0] && other.length >= mark.length;
}

function openFence(head: string): Fence | undefined {
  return stateAfter(head, undefined);
}

function longestMark(text: string): number {
  return Math.max(3, ...[...text.matchAll(/^ {0,3}(`{3,}|~{3,})/gm)].map((match) => (match[1] ?? '').length));
}
