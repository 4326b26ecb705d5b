/** Lives on the thread that a saboteur shares, so that one sees what sharing costs: it waits, and loses nothing. */
import { type AgentDefinition, defineAgent } from '../../../src/worker/agent.ts';

const neighbour: AgentDefinition = defineAgent({
  async respond(turn) {
    return `${turn.message.content}: still here`;
  },
});

export default neighbour;
