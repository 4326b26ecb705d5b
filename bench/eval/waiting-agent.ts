/** Is an agent that takes a fixed time and no work: it stands in for a provider. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AgentDefinition } from '../../src/worker/agent.ts';

const agent: AgentDefinition = {
  async *respond(turn) {
    await sleep(Number(turn.env['EVAL_LATENCY_MS']));
    yield 'waited';
  },
};

export default agent;
