/** An agent whose every turn is CPU-bound: the message says how many units of work. */
import { type AgentDefinition, defineAgent } from '../../src/worker/agent.ts';
import { burn } from './burn.ts';

const agent: AgentDefinition = defineAgent({
  async *respond(turn) {
    yield String(burn(Number(turn.message.content)));
  },
});
export default agent;
