/** Owns `builtin:echo`, the agent that answers with what it was sent: the smallest one there is, for tries and measurements. */
import { type AgentDefinition, defineAgent } from '../agent.ts';

export const echo: AgentDefinition = defineAgent({
  async *respond(turn) {
    yield turn.message.content;
  },
});
