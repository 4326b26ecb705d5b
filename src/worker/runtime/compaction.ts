/**
 * Owns what becomes of messages that no longer fit: with a compaction they are summed up, once, and the summary is kept in the
 * session. Without one, which is the default, they are left out of the prompt and stay in the session.
 *
 * A summary is a system message of the session that says of itself how many messages before it it does not cover: a session
 * only grows, and the newest messages are still wanted word for word.
 */
import type { ModelMessage } from 'ai';
import type { Turn } from '../definition.ts';
import { type Counter, type Line, tokensOf } from './measure.ts';

export interface CompactionRequest {
  readonly turn: Turn;
  /** Tokens that the summary should have at most; a longer one is cut. */
  readonly maxTokens: number;
  /** Asks the turn's model, without tools, with as many of the messages as it takes. What it says is counted to the turn's usage. */
  readonly ask: (
    messages: readonly ModelMessage[],
    question: { readonly system: string; readonly user: string },
  ) => Promise<string>;
}

/** Sums up what no longer fits. */
export interface Compaction {
  /**
   * Returns what stands for the messages from then on; undefined leaves them out. They begin with the earlier summary, as a
   * system message, where there is one. An error leaves them out, too.
   */
  compact(messages: readonly ModelMessage[], request: CompactionRequest): Promise<string | undefined>;
}

/** Share of the room that is kept word for word when the rest is summed up: so soon it does not happen again. */
export const KEPT_SHARE = 0.5;
/** Share of the budget that a summary may have. */
export const SUMMARY_SHARE = 0.1;

/** The built-in compaction: the model itself sums up. */
export const SUMMARY: Compaction = {
  compact: (messages, { ask, maxTokens }) =>
    ask(messages, {
      system:
        'You keep the memory of a conversation between a user and an assistant. Its beginning no longer fits and is replaced by what you write.',
      user: `Sum up the conversation so far in at most ${Math.floor(maxTokens * WORDS_PER_TOKEN)} words: facts about the user, what was asked, decided and done, names, numbers and addresses word for word, and what is still open. Write only the summary.`,
    }),
};

const WORDS_PER_TOKEN = 0.6;
const HEADING = 'Summary of the earlier conversation:\n';

/** Makes the message of a summary that leaves the `keeps` messages before it as they are. */
export function summaryMessage(text: string, keeps: number): ModelMessage {
  return { role: 'system', content: `${HEADING}${text}`, providerOptions: { orrery: { keeps } } };
}

/** Tells how many messages before it a summary does not cover; undefined for a message that is no summary. */
function keepsOf({ role, providerOptions }: ModelMessage): number | undefined {
  const keeps = role === 'system' ? providerOptions?.['orrery']?.['keeps'] : undefined;
  return typeof keeps === 'number' ? keeps : undefined;
}

/** Tells whether a message is a summary. */
export function isSummary(message: ModelMessage): boolean {
  return keepsOf(message) !== undefined;
}

/** Splits what was read of a session at its newest summary. */
export function sinceSummary(lines: readonly Line[]): {
  readonly summary: Line | undefined;
  readonly lines: readonly Line[];
} {
  const at = lines.findLastIndex(({ message }) => keepsOf(message) !== undefined);
  const summary = lines[at];
  if (!summary) return { summary: undefined, lines };
  const from = Math.max(0, at - (keepsOf(summary.message) ?? 0));
  // An older summary among the kept ones is covered by the newer.
  const kept = [...lines.slice(from, at), ...lines.slice(at + 1)].filter(
    ({ message }) => keepsOf(message) === undefined,
  );
  return { summary, lines: kept };
}

/** Finds where the newest lines begin that have at most `maxTokens` together and start with the user. */
export async function keptFrom(lines: readonly Line[], maxTokens: number, counter: Counter): Promise<number> {
  let from = lines.length;
  let total = 0;
  for (let at = lines.length - 1; at >= 0; at--) {
    const line = lines[at]!;
    total += await tokensOf(line, counter);
    if (total > maxTokens) break;
    if (line.message.role === 'user') from = at;
  }
  return from;
}
