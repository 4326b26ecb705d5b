/** An agent that tells what its thread's heap holds after a garbage collection. */
import { threadId } from 'node:worker_threads';
import { type AgentDefinition, defineAgent } from '../../src/worker/agent.ts';
import { heapAfterCollection } from './heap.ts';

const agent: AgentDefinition = defineAgent({
  async *respond() {
    yield JSON.stringify({ threadId, ...heapAfterCollection() });
  },
});
export default agent;
