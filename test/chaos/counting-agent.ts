/**
 * The agent that keeps count: it answers with the number of its session's messages, so that its replies tell whether a turn was
 * committed twice, or out of order. Its module also ends its thread when it is told to, wherever that is.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { BroadcastChannel, threadId } from 'node:worker_threads';
import type { AgentDefinition } from '../../src/worker/agent.ts';
import { SqliteSessionStore } from '../../src/worker/sessions/sqlite.ts';
import { around } from './around.ts';
import { type ThreadEnd, type ThreadPoint, countedReply, readText } from './plan.ts';
import { type Arming, type FromThreads, THREADS, type ToThreads } from './protocol.ts';

const channel = new BroadcastChannel(THREADS);
/** Resolves when turns that are held may begin their work. */
const released = Promise.withResolvers<void>();
let armed: { readonly arming: Arming; left: number } | undefined;

channel.onmessage = (event: unknown) => {
  const message = (event as { readonly data: ToThreads }).data;
  switch (message.type) {
    case 'end':
      if (message.thread === threadId) endThread(message.end);
      return;
    case 'arm':
      armed = { arming: message, left: message.nth };
      return;
    case 'disarm':
      armed = undefined;
      return;
    case 'release':
      released.resolve();
  }
};

function endThread(end: ThreadEnd): void {
  switch (end) {
    case 'terminate':
      return; // main does that
    case 'exit':
      process.exit(9);
      return;
    case 'throw':
      setImmediate(() => {
        throw new Error('thrown by the chaos run');
      });
      return;
    case 'spin':
      for (;;);
    case 'heap': {
      // A chain: one array of all of them would grow by one huge allocation in the end, and that aborts the process.
      let last: object = {};
      for (;;) last = { last, room: [1, 2, 3, 4, 5, 6, 7, 8] };
    }
  }
}

function pass(point: ThreadPoint): void {
  if (armed?.arming.point !== point) return;
  armed.left -= 1;
  if (armed.left > 0) return;
  const { ending, delayMs } = armed.arming;
  armed = undefined;
  tell({ type: 'hit', thread: threadId, point, ending });
  if (ending !== 'process') endThread(ending);
  else if (delayMs === 0) process.kill(process.pid, 'SIGKILL');
  else setTimeout(() => process.kill(process.pid, 'SIGKILL'), delayMs);
}

function tell(message: FromThreads): void {
  channel.postMessage(message);
}

for (const method of ['commit', 'commitSoon'] as const) {
  around(SqliteSessionStore.prototype, method, (call) => {
    pass('before-commit');
    const committed = call();
    if (!(committed instanceof Promise)) {
      pass('after-commit');
      return committed;
    }
    return committed.then((reply: unknown) => {
      pass('after-commit');
      return reply;
    });
  });
}

const agent: AgentDefinition = {
  start({ runtime }) {
    tell({ type: 'here', thread: threadId, runtime });
  },
  async *respond(turn) {
    pass('turn');
    const asked = readText(turn.message.content);
    if (!asked) throw new Error(`not a message of this run: ${turn.message.content}`);
    const count = turn.history.filter(({ role }) => role === 'user').length + 1;
    if (asked.act === 'held') await released.promise;
    if (asked.workMs > 0) await delay(asked.workMs);
    if (asked.act === 'fail') throw new Error('fails as it was asked to');
    if (asked.act === 'flaky' && turn.attempt === 1) {
      throw Object.assign(new Error('not at once'), { code: 'ORRERY_MODEL_UNAVAILABLE' });
    }
    const reply = countedReply(count, asked.id);
    yield reply.slice(0, 2);
    if (asked.workMs % 2 === 1) await delay(1);
    yield reply.slice(2);
  },
};

export default agent;
