/**
 * Remembers without a memory of its own: `turn.history` is the session, kept by the host, so the notes live as long as the
 * session does, and a restart of the agent loses none.
 */
import { type AgentDefinition, type ChatMessage, defineAgent } from '../../src/worker/agent.ts';

const NOTE = /^note:\s*(.+)$/i;

const notebook: AgentDefinition = defineAgent({
  // Nothing to stream, so a promise of the whole text is simpler than a generator.
  async respond(turn) {
    const notes = notesIn(turn.history);
    const added = NOTE.exec(turn.message.content)?.[1];
    if (added !== undefined) return `Noted, that makes ${notes.length + 1}: ${added}`;
    if (notes.length === 0) return 'There are no notes yet. Write "note: buy bread" to make one.';
    return notes.map((note, index) => `${index + 1}. ${note}`).join('\n');
  },
});

export default notebook;

function notesIn(history: readonly ChatMessage[]): string[] {
  return history.flatMap(({ role, content }) => {
    const note = role === 'user' ? NOTE.exec(content)?.[1] : undefined;
    return note === undefined ? [] : [note];
  });
}
