/**
 * Owns how a record of a suite becomes a case: Orrery's own form, and those of GSM8K, HumanEval and MMLU as they are published.
 * It reads no file.
 */
import type { ChatMessage } from '../../protocol/index.ts';
import { invalid, shown } from './errors.ts';

/** One case of a suite. */
export interface SuiteCase {
  readonly id: string;
  /** What the user says, one message after another in one session; the reply to the last one is scored. */
  readonly turns: readonly string[];
  /** Said before the first of them. */
  readonly context: readonly ChatMessage[];
  readonly expected?: unknown;
  readonly tags?: readonly string[];
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export type SuiteFormat = 'orrery' | 'gsm8k' | 'humaneval' | 'mmlu';

/** The scorer of a suite for which none is named. */
export const DEFAULT_SCORER: Readonly<Record<SuiteFormat, string>> = {
  orrery: 'exact',
  gsm8k: 'numeric',
  humaneval: 'code',
  mmlu: 'choice',
};

type Fields = Readonly<Record<string, unknown>>;

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
const OWN_KEYS = new Set(['id', 'input', 'messages', 'expected', 'tags', 'metadata']);
const NO_CONTEXT: SuiteCase['context'] = [];
const ROLES = new Set<unknown>(['system', 'user', 'assistant']);

/** Tells by its keys what a suite's first record is. Throws `ORRERY_BENCH_INVALID` when it is none of what is read. */
export function formatOf(record: unknown, where: string): SuiteFormat {
  const fields = fieldsOf(record, where);
  const has = (...keys: readonly string[]): boolean => keys.every((key) => fields[key] !== undefined);
  if (has('input') || has('messages')) return 'orrery';
  if (has('task_id', 'prompt', 'test', 'entry_point')) return 'humaneval';
  if (has('question', 'choices', 'answer') || has('question', 'A', 'B', 'answer')) return 'mmlu';
  if (has('question', 'answer')) return 'gsm8k';
  const keys = Object.keys(fields).join(', ');
  throw invalid(
    `${where}: expected \`input\` or \`messages\`, or the keys of GSM8K, HumanEval or MMLU; got ${keys === '' ? 'none' : keys}`,
  );
}

/** Reads one record. `where` names it in errors, `number` (from 1) names it where it has no id. */
export function caseOf(record: unknown, format: SuiteFormat, where: string, number: number): SuiteCase {
  const fields = fieldsOf(record, where);
  switch (format) {
    case 'orrery':
      return own(fields, where, number);
    case 'gsm8k':
      return gsm8k(fields, where, number);
    case 'humaneval':
      return humanEval(fields, where);
    case 'mmlu':
      return mmlu(fields, where, number);
  }
}

/** The last message of the user: what the results show of a case. */
export function inputOf({ turns }: SuiteCase): string {
  return turns.at(-1) ?? '';
}

function own(fields: Fields, where: string, number: number): SuiteCase {
  for (const key in fields) {
    if (OWN_KEYS.has(key)) continue;
    throw invalid(`${where}: expected only ${[...OWN_KEYS].join(', ')}; got \`${key}\``, {
      hint: 'Further facts of a case go under `metadata`.',
    });
  }
  const { input, messages, expected, tags, metadata } = fields;
  if ((input === undefined) === (messages === undefined)) {
    throw invalid(
      `${where}: expected either \`input\` or \`messages\`, got ${input === undefined ? 'neither' : 'both'}`,
    );
  }
  if (metadata !== undefined) fieldsOf(metadata, `${where}: metadata`);
  const id = idOf(fields['id'], where, number);
  // Not spread together: each case comes by here, and the keys that it has not are most of them.
  const one: { -readonly [K in keyof SuiteCase]: SuiteCase[K] } =
    input === undefined
      ? { id, ...conversation(messages, where) }
      : { id, turns: [text(input, where, 'input')], context: NO_CONTEXT };
  if (expected !== undefined) one.expected = expected;
  if (tags !== undefined) one.tags = textsOf(tags, where, 'tags');
  if (metadata !== undefined) one.metadata = metadata as Fields;
  return one;
}

/** What comes up to the last scripted reply is context; the user's messages after it are turns. */
function conversation(messages: unknown, where: string): Pick<SuiteCase, 'turns' | 'context'> {
  if (!Array.isArray(messages) || messages.length === 0)
    throw expected(where, 'messages', 'a list of messages', messages);
  const all = messages.map((message, i): ChatMessage => {
    const path = `messages[${i}]`;
    const fields = fieldsOf(message, `${where}: ${path}`);
    const role = fields['role'];
    if (!ROLES.has(role)) throw expected(where, `${path}.role`, '"system", "user" or "assistant"', role);
    return {
      role: role as 'system' | 'user' | 'assistant',
      content: text(fields['content'], where, `${path}.content`),
    };
  });
  const first = all.findLastIndex(({ role }) => role !== 'user') + 1;
  const turns = all.slice(first).map(({ content }) => content);
  if (turns.length === 0) throw expected(where, 'messages', 'a message of the user at the end', all.at(-1)?.role);
  return { turns, context: all.slice(0, first) };
}

/** GSM8K: `{ question, answer }`, the answer's number after `####`. */
function gsm8k(fields: Fields, where: string, number: number): SuiteCase {
  const answer = text(fields['answer'], where, 'answer');
  const at = answer.lastIndexOf('####');
  const expected = (at < 0 ? answer : answer.slice(at + 4)).trim();
  return {
    id: idOf(fields['id'], where, number),
    turns: [text(fields['question'], where, 'question')],
    context: [],
    expected,
    ...(at < 0 ? {} : { metadata: { solution: answer.slice(0, at).trim() } }),
  };
}

/** HumanEval: `{ task_id, prompt, test, entry_point, canonical_solution }`. */
function humanEval(fields: Fields, where: string): SuiteCase {
  return {
    id: text(fields['task_id'], where, 'task_id'),
    turns: [text(fields['prompt'], where, 'prompt')],
    context: [],
    metadata: {
      test: text(fields['test'], where, 'test'),
      entryPoint: text(fields['entry_point'], where, 'entry_point'),
    },
  };
}

/** MMLU: `{ question, choices, answer }` with an index or a letter, or the columns question, A, B, C, D, answer. */
function mmlu(fields: Fields, where: string, number: number): SuiteCase {
  const listed = fields['choices'];
  const columns = LETTERS.split('')
    .map((letter) => fields[letter])
    .filter((choice) => choice !== undefined && choice !== '');
  const choices = textsOf(listed ?? columns, where, 'choices');
  const answer = letterAt(fields['answer'], choices.length);
  if (answer === undefined) {
    throw expected(where, 'answer', `a letter or an index of ${choices.length} choices`, fields['answer']);
  }
  const subject = fields['subject'];
  const options = choices.map((choice, i) => `${LETTERS[i] ?? ''}. ${choice}`).join('\n');
  return {
    id: idOf(fields['id'], where, number),
    turns: [`${text(fields['question'], where, 'question')}\n\n${options}\n\nAnswer with the letter alone.`],
    context: [],
    expected: answer,
    ...(typeof subject === 'string' && subject !== '' ? { tags: [subject] } : {}),
  };
}

function letterAt(answer: unknown, choices: number): string | undefined {
  const isIndex = typeof answer === 'number' || (typeof answer === 'string' && /^\d+$/.test(answer.trim()));
  const index = isIndex
    ? Number(answer)
    : LETTERS.indexOf(typeof answer === 'string' ? answer.trim().toUpperCase() || '?' : '?');
  return Number.isInteger(index) && index >= 0 && index < choices ? LETTERS[index] : undefined;
}

function idOf(id: unknown, where: string, number: number): string {
  if (id === undefined || id === '') return String(number);
  if (typeof id === 'string' || (typeof id === 'number' && Number.isFinite(id))) return String(id);
  throw expected(where, 'id', 'a text or a number', id);
}

function fieldsOf(value: unknown, where: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw invalid(`${where}: expected an object, got ${shown(value)}`);
}

function text(value: unknown, where: string, key: string): string {
  if (typeof value === 'string') return value;
  throw expected(where, key, 'a text', value);
}

function textsOf(value: unknown, where: string, key: string): readonly string[] {
  if (Array.isArray(value) && value.length > 0) return value.map((item, i) => text(item, where, `${key}[${i}]`));
  if (Array.isArray(value) && key === 'tags') return [];
  throw expected(where, key, 'a list of texts', value);
}

function expected(where: string, key: string, what: string, got: unknown): Error {
  return invalid(`${where}: expected \`${key}\` to be ${what}, got ${shown(got)}`);
}
