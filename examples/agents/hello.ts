/** The smallest agent there is: an object whose `respond` yields text. */
import { type AgentDefinition, defineAgent } from '../../src/worker/agent.ts';

const hello: AgentDefinition = defineAgent({
  async *respond(turn) {
    yield `Hello! You said: ${turn.message.content}`;
  },
});

export default hello;
