/**
 * Does to its thread what no agent should: `spin`, `exit`, `throw` or `heap`, as the message says. A message's first attempt
 * does the harm; where the host gives it another one, the agent answers, so that one sees the message outlive its thread.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type AgentDefinition, defineAgent } from '../../../src/worker/agent.ts';

const FAULTS: Readonly<Record<string, () => void>> = {
  spin: () => {
    for (;;);
  },
  exit: () => process.exit(3),
  throw: () => {
    setTimeout(() => {
      throw new Error('thrown in a timer, where nothing catches it');
    });
  },
  heap: () => {
    const hoard: number[][] = [];
    for (;;) hoard.push(Array.from({ length: 128 }, Math.random));
  },
};

const saboteur: AgentDefinition = defineAgent({
  async *respond(turn) {
    const fault = FAULTS[turn.message.content];
    if (fault === undefined) {
      yield `I know how to ${Object.keys(FAULTS).join(', ')}.`;
      return;
    }
    if (turn.attempt > 1) {
      yield `Attempt ${turn.attempt}, on a new thread: here I am again.`;
      return;
    }
    fault();
    // A timer's throw is yet to come.
    await sleep(60_000, undefined, { signal: turn.signal });
  },
});

export default saboteur;
