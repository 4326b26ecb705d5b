/**
 * Owns a conversation by rules, after J. Weizenbaum, "ELIZA - A Computer Program For the Study of Natural Language
 * Communication Between Man And Machine", CACM 9(1), 1966: keywords by rank, decomposition, reassembly, memory. The
 * wording is the script's.
 */
import { decompose } from './pattern.ts';
import type { Key, Rule, Script } from './script.ts';
import { type Word, readClauses, reflect } from './words.ts';

/** What a conversation so far leaves behind. */
export interface Conversation {
  /** How often each list of reassemblies was used. */
  readonly uses: Map<readonly string[], number>;
  /** Things said earlier that can be come back to, oldest first. */
  readonly memory: Memory[];
  turn: number;
  last: string;
}

interface Memory {
  readonly text: string;
  readonly turn: number;
}

const MAX_MEMORIES = 8;
/** Turns before something said is old enough to be come back to. */
const MEMORY_AGE = 2;
/** Words of a fragment that are said back at most; a longer one becomes `all that`. */
const MAX_ECHO_WORDS = 16;
/** Links followed at most, so that a script with a circle ends. */
const MAX_LINKS = 8;

export function newConversation(): Conversation {
  return { uses: new Map(), memory: [], turn: 0, last: '' };
}

/** Answers a text and takes it into the conversation. Always returns some text. */
export function answer(script: Script, conversation: Conversation, text: string, hasParts = false): string {
  conversation.turn++;
  const clauses = readClauses(text);
  const said = clauses.map((clause) => clause.map((word) => word.low).join(' ')).join('. ');
  const again = said.includes(' ') && said === conversation.last;
  conversation.last = said;
  if (clauses.length === 0) return next(conversation, wordless(script, text, hasParts));
  const found = rankClauses(script, clauses);
  if (again && (found[0]?.rank ?? 0) < MUST_ANSWER) return next(conversation, script.repeated);
  for (const { keys, clause } of found) {
    const reply = answerClause(script, conversation, keys, clause);
    if (reply !== undefined) return reply;
  }
  return recall(conversation) ?? next(conversation, script.none);
}

/** Keywords of this rank are answered however often they are said. */
const MUST_ANSWER = 50;

function wordless(script: Script, text: string, hasParts: boolean): readonly string[] {
  if (hasParts) return script.picture;
  return text.trim() === '' ? script.silence : script.wordless;
}

interface Found {
  readonly clause: readonly Word[];
  /** The rank of the first key. */
  readonly rank: number;
  /** Highest rank first; of equal ones, the one said first. */
  readonly keys: readonly Key[];
}

/** Weizenbaum takes the first clause with a keyword; this takes the one that matters most, the first among equals. */
function rankClauses(script: Script, clauses: readonly (readonly Word[])[]): readonly Found[] {
  const found: Found[] = [];
  for (const clause of clauses) {
    const keys: Key[] = [];
    for (const word of clause) {
      const key = script.keys.get(word.low);
      if (key !== undefined && !keys.includes(key)) keys.push(key);
    }
    const [top] = keys.sort((a, b) => b.rank - a.rank);
    if (top !== undefined) found.push({ clause, keys, rank: top.rank });
  }
  return found.sort((a, b) => b.rank - a.rank);
}

/** Tries the keywords of a clause in turn; undefined when each of them passes it on. */
function answerClause(
  script: Script,
  conversation: Conversation,
  keys: readonly Key[],
  clause: readonly Word[],
): string | undefined {
  const memory = keys.find((key) => key.memory !== undefined)?.memory;
  if (memory !== undefined) memorize(conversation, memory, clause);
  for (const key of keys) {
    const reply = apply(script, conversation, key, clause, 0);
    if (reply !== undefined) return reply;
  }
  return undefined;
}

function apply(
  script: Script,
  conversation: Conversation,
  key: Key,
  clause: readonly Word[],
  links: number,
): string | undefined {
  for (const rule of key.rules) {
    const holes = decompose(rule.pattern, clause);
    if (holes === undefined) continue;
    const reassembly = next(conversation, rule.reassemblies);
    if (reassembly === 'newkey') return undefined;
    if (!reassembly.startsWith('=')) return reassemble(reassembly, holes);
    const other = script.keys.get(reassembly.slice(1));
    return other === undefined || links >= MAX_LINKS
      ? undefined
      : apply(script, conversation, other, clause, links + 1);
  }
  return undefined;
}

function memorize(conversation: Conversation, rule: Rule, clause: readonly Word[]): void {
  const holes = decompose(rule.pattern, clause);
  if (holes === undefined) return;
  const text = reassemble(next(conversation, rule.reassemblies), holes);
  conversation.memory.push({ text, turn: conversation.turn });
  if (conversation.memory.length > MAX_MEMORIES) conversation.memory.shift();
}

function recall(conversation: Conversation): string | undefined {
  const [oldest] = conversation.memory;
  if (oldest === undefined || conversation.turn - oldest.turn < MEMORY_AGE) return undefined;
  conversation.memory.shift();
  return oldest.text;
}

function next(conversation: Conversation, texts: readonly string[]): string {
  const used = conversation.uses.get(texts) ?? 0;
  conversation.uses.set(texts, used + 1);
  return texts[used % texts.length] ?? '';
}

function reassemble(text: string, holes: readonly (readonly Word[])[]): string {
  const said = text.replace(/\((\d)\)/g, (_, hole: string) => {
    const words = holes[Number(hole) - 1] ?? [];
    return words.length > MAX_ECHO_WORDS ? 'all that' : reflect(words);
  });
  return said.charAt(0).toUpperCase() + said.slice(1);
}
