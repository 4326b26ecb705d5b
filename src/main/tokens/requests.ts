/**
 * Owns what a request to the token pool is made of: its options, checked, and the jobs that it is split into. It sends
 * nothing.
 */
import {
  type CountedMessage,
  DEFAULT_ENCODING,
  ENCODINGS,
  type Encoding,
  type ResolvedModel,
  framingOf,
  isEncoding,
  resolveModel,
  safeCut,
} from '../../protocol/encodings.ts';
import { OrreryError } from '../../protocol/errors.ts';
import type { MessagesJob, TokenJob } from '../../worker/tokenizer/pool-entry.ts';

/** UTF-16 units that go to a worker at a time: a few milliseconds of work, so that nobody waits long behind a long text. */
export const JOB_UNITS: number = 128 * 1024;

export interface TokenOptions {
  /** Default: the model's, else `o200k_base`. Wins over `model`. Any string is taken and checked, as it may come from outside. */
  readonly encoding?: Encoding | (string & Record<never, never>);
  /** A model with no public tokenizer gives an estimate, `exact: false`. */
  readonly model?: string;
  /** Ends the request with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Special tokens that count as such; by default all of them are plain text. */
  readonly special?: 'all' | readonly string[];
}

/** Finds the encoding; throws `ORRERY_TOKENS_BAD_INPUT` for an unknown encoding or a model that is no name. */
export function resolve(options: TokenOptions): ResolvedModel {
  const { encoding, model } = options;
  if (encoding !== undefined) {
    if (!isEncoding(encoding)) {
      throw badInput(`Expected \`encoding\` to be one of ${Object.keys(ENCODINGS).join(', ')}, got ${show(encoding)}.`);
    }
    return { encoding, exact: true };
  }
  if (model === undefined) return { encoding: DEFAULT_ENCODING, exact: true };
  if (typeof model !== 'string' || model === '') throw badInput(`Expected \`model\` to be a name, got ${show(model)}.`);
  return resolveModel(model);
}

/** A stretch of a bulk request for one worker: which text each part belongs to, since a long text has several. */
export interface CountPart {
  readonly texts: string[];
  readonly owners: number[];
  units: number;
}

/** Splits texts into parts of about {@link JOB_UNITS}, a long text at safe places only. */
export function splitTexts(texts: readonly string[], special: TokenOptions['special']): CountPart[] {
  const parts: CountPart[] = [];
  let part: CountPart = { texts: [], owners: [], units: 0 };
  const add = (text: string, owner: number): void => {
    part.texts.push(text);
    part.owners.push(owner);
    part.units += text.length;
    if (part.units < JOB_UNITS) return;
    parts.push(part);
    part = { texts: [], owners: [], units: 0 };
  };
  for (let owner = 0; owner < texts.length; owner++) {
    const text = texts[owner];
    if (typeof text !== 'string') throw badInput(`Expected text ${owner} to be a string, got ${typeof text}.`);
    // A special token may have a space in it for all we know, so a text that is searched for them stays whole.
    if (text.length <= 2 * JOB_UNITS || special !== undefined) {
      add(text, owner);
      continue;
    }
    for (let at = 0; at < text.length;) {
      const end = safeCut(text, at, at + JOB_UNITS);
      add(text.slice(at, end), owner);
      at = end;
    }
  }
  if (part.texts.length > 0) parts.push(part);
  return parts;
}

/** Makes the job that counts a chat. */
export function messagesJob(
  messages: readonly CountedMessage[],
  encoding: Encoding,
  model: string | undefined,
): MessagesJob {
  const plain = messages.map((message, i): CountedMessage => {
    const { role, content, name } = message;
    const wellFormed =
      typeof role === 'string' &&
      (content === null || typeof content === 'string' || Array.isArray(content)) &&
      (name === undefined || typeof name === 'string');
    if (!wellFormed) throw badInput(`Expected message ${i} to have a role and a content.`);
    // Only what is counted goes over: an image part may hold megabytes, or things that cannot be cloned.
    const parts = Array.isArray(content) ? content.map(textOf) : content;
    return { role, content: parts, ...(name === undefined ? {} : { name }) };
  });
  return { kind: 'messages', encoding, messages: plain, framing: framingOf(encoding, model) };
}

function textOf(part: unknown): { type: string; text?: string } {
  const text = typeof part === 'object' && part !== null && 'text' in part ? part.text : undefined;
  return typeof text === 'string' ? { type: 'text', text } : { type: 'other' };
}

/** Gives the size that a job counts for in a batch. */
export function unitsOf(job: TokenJob): number {
  switch (job.kind) {
    case 'count':
      return job.texts.reduce((sum, text) => sum + text.length, 0);
    case 'encode':
    case 'truncate':
      return job.text.length;
    case 'messages':
      return job.messages.reduce((sum, { content }) => sum + (typeof content === 'string' ? content.length : 1024), 0);
    case 'file':
      return JOB_UNITS;
  }
}

export function badInput(message: string): OrreryError {
  return new OrreryError('ORRERY_TOKENS_BAD_INPUT', message);
}

function show(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}
