/** Owns `builtin:eliza`: a conversation by rules that needs no model. It keeps nothing itself: a session's history is its state. */
import { type AgentDefinition, type ChatMessage, defineAgent } from '../../agent.ts';
import { type Conversation, answer, newConversation } from './engine.ts';
import { type Script, compileScript } from './script.ts';
import { SCRIPT } from './script/script.ts';

/**
 * Past turns are answered again, silently, to find out which reassemblies come next and what is remembered. So there is no
 * map of sessions that grows or goes stale: a cleared session is forgotten, and a retried turn gets the same answer. The
 * turns are taken in blocks of this many, the present block and the one before: a window that slid by one turn would
 * forget a use for every new one, and so repeat itself.
 */
const BLOCK_TURNS = 16;
const WORDS_PER_DELTA = 4;

let compiled: Script | undefined;

export const eliza: AgentDefinition = defineAgent({
  async *respond(turn) {
    compiled ??= compileScript(SCRIPT);
    const conversation = replay(compiled, turn.history);
    yield* pieces(answer(compiled, conversation, turn.message.content, (turn.message.parts?.length ?? 0) > 0));
  },
});

function replay(script: Script, history: readonly ChatMessage[]): Conversation {
  const said = history.filter((message) => message.role === 'user');
  const start = Math.max(0, Math.floor(said.length / BLOCK_TURNS) - 1) * BLOCK_TURNS;
  const conversation = newConversation();
  for (const { content, parts } of said.slice(start)) {
    answer(script, conversation, content, (parts?.length ?? 0) > 0);
  }
  return conversation;
}

function* pieces(text: string): Generator<string, void> {
  for (const [piece] of text.matchAll(PIECE)) yield piece;
}

const PIECE = new RegExp(`(?:\\S+\\s*){1,${WORDS_PER_DELTA}}`, 'g');
