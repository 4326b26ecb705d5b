/**
 * Owns how a tool's result is cut: at a line's end, never inside a code point, with a note that says so. Of a structure its JSON
 * is kept as a text, since half of a structure is none.
 */
import type { ModelMessage, ToolResultPart } from 'ai';
import { type Counter, type Line, jsonOf } from './measure.ts';

type Output = ToolResultPart['output'];

/** Tries to come nearer to the limit; each counts as much text as is kept. */
const MAX_TRIES = 8;
/** Share of the limit that is near enough. */
const NEAR_ENOUGH = 0.9;

/** Cuts every result of a tool's message that has more than `maxTokens`; returns the line itself when none has. */
export async function cutToolResults(line: Line, maxTokens: number, counter: Counter): Promise<Line> {
  const { message } = line;
  if (message.role !== 'tool') return line;
  let changed = false;
  const content: (typeof message.content)[number][] = [];
  for (const part of message.content) {
    const cut = part.type === 'tool-result' ? await cutOutput(part.output, maxTokens, counter) : undefined;
    if (cut) changed = true;
    content.push(cut && part.type === 'tool-result' ? { ...part, output: cut } : part);
  }
  return changed ? { message: { ...message, content } satisfies ModelMessage } : line;
}

/** Returns what stands for an output that is too long, or undefined when it is not. */
async function cutOutput(output: Output, maxTokens: number, counter: Counter): Promise<Output | undefined> {
  switch (output.type) {
    case 'text':
    case 'error-text': {
      const value = await cutText(output.value, maxTokens, counter);
      return value === output.value ? undefined : { ...output, value };
    }
    case 'json':
    case 'error-json': {
      const json = jsonOf(output.value);
      const value = await cutText(json, maxTokens, counter);
      return value === json ? undefined : { type: output.type === 'json' ? 'text' : 'error-text', value };
    }
    case 'content':
      return cutContent(output, maxTokens, counter);
    case 'execution-denied':
      return undefined;
  }
}

/** Texts that are too long together become one that is cut; what is no text stays, behind it. */
async function cutContent(
  output: Extract<Output, { type: 'content' }>,
  maxTokens: number,
  counter: Counter,
): Promise<Output | undefined> {
  const whole = output.value.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
  const text = await cutText(whole, maxTokens, counter);
  if (text === whole) return undefined;
  return { ...output, value: [{ type: 'text', text }, ...output.value.filter(({ type }) => type !== 'text')] };
}

/** Returns a text of at most `maxTokens`: the whole one, or its beginning and a note; nothing where the note alone is too long. */
export async function cutText(text: string, maxTokens: number, counter: Counter): Promise<string> {
  const total = await counter.count(text);
  if (total <= maxTokens) return text;
  const note = `\n[cut: the rest of ${total} tokens is left out]`;
  let best = '';
  let fits = 0;
  let over = text.length;
  let units = Math.floor((text.length * Math.max(0, maxTokens - (await counter.count(note)))) / total);
  for (let tries = 0; tries < MAX_TRIES && units > fits; tries++) {
    const kept = text.slice(0, lineEnd(text, units)) + note;
    const count = await counter.count(kept);
    if (count > maxTokens) over = units;
    else {
      [best, fits] = [kept, units];
      if (count >= maxTokens * NEAR_ENOUGH) break;
    }
    units = Math.floor((fits + over) / 2);
  }
  if (best !== '') return best;
  const bare = note.trimStart();
  return (await counter.count(bare)) <= maxTokens ? bare : '';
}

/** The last end of a line in the second half of `[0, units]`; in a text of long lines a place between two code points. */
function lineEnd(text: string, units: number): number {
  const newline = text.lastIndexOf('\n', units);
  if (newline > units / 2) return newline > 0 && text[newline - 1] === '\r' ? newline - 1 : newline;
  const before = text.charCodeAt(units - 1);
  return before >= 0xd800 && before <= 0xdbff ? units - 1 : units;
}
