/** An agent that takes its thread down, in the way that the message names. */
import { type AgentDefinition, defineAgent } from '../../src/worker/agent.ts';

const agent: AgentDefinition = defineAgent({
  async *respond(turn) {
    yield 'going';
    if (turn.message.content === 'exit') process.exit(3);
    setImmediate(() => {
      throw new Error('thrown where nobody catches it');
    });
    await new Promise(() => undefined);
  },
});
export default agent;
