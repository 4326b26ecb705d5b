/** Streams: whatever is yielded goes out at once. Waits on `turn.signal`, so that a cancelled turn ends without delay. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type AgentDefinition, defineAgent } from '../../src/worker/agent.ts';

const MAX = 10;
const STEP_MS = 200;

const countdown: AgentDefinition = defineAgent({
  async *respond(turn) {
    const asked = Number.parseInt(turn.message.content, 10);
    if (!(asked > 0)) {
      yield `Give me a number from 1 to ${MAX} and I count down from it.`;
      return;
    }
    for (let n = Math.min(asked, MAX); n > 0; n--) {
      yield `${n}... `;
      await sleep(STEP_MS, undefined, { signal: turn.signal });
    }
    yield 'lift-off!';
  },
});

export default countdown;
