/** Restarts agents whose code was edited, on real threads and processes: the new code beside the old, which finishes its turns. */
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { AgentConfig } from '../../src/main/config/input.ts';
import { BALANCED, type HostUnderTest, actor, balance, eventually, settled, startHost } from '../support/host.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

let files: TemporaryDirectory;

beforeEach(() => {
  files = temporaryDirectory();
  writeHelper('one');
  files.write(
    'agents/edited.ts',
    `import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { VERSION } from './helper.ts';
export default {
  async *respond(turn) {
    const { content } = turn.message;
    if (content === 'exit' && turn.attempt < 2) process.exit(3);
    while (content.startsWith('hold') && !existsSync(turn.metadata.gate)) await delay(5);
    yield VERSION + ': ' + content;
  },
};
`,
  );
});

afterEach(() => files[Symbol.dispose]());

/** The module's file stays the same: what it imports is edited. */
function writeHelper(version: string): void {
  files.write('agents/helper.ts', `export const VERSION = ${JSON.stringify(version)};\n`);
}

function edited(rest: AgentConfig = {}): AgentConfig {
  return { use: `${files.path}/agents/edited.ts`, ...rest };
}

function slotsOf(host: HostUnderTest): readonly string[] {
  return host.status.slots.map(({ slot }) => slot);
}

describe.each(['shared', 'dedicated', 'process'] as const)('edited code of a %s agent', (isolation) => {
  test('swap - a restart answers with the new code while an old turn finishes on the old one', async () => {
    await using host = await startHost({ agents: { edited: edited({ isolation }), neighbour: actor() } });
    const held = host.outcome('edited', 'hold', 'long');
    await eventually('it is under way', () => host.status.slots.some(({ running }) => running === 1));
    writeHelper('two');
    await host.supervisor.agents.restart('edited');
    expect(await host.ask('edited', 'hello', 'other')).toBe('two: hello');
    // The same session: its next turn begins when the running one has ended.
    const next = host.outcome('edited', 'next', 'long');
    expect(await host.ask('edited', 'again', 'other')).toBe('two: again');
    expect(host.status.messages.pending).toBe(2);
    host.open();
    expect(await held).toEqual({ text: 'one: hold' });
    expect(await next).toEqual({ text: 'two: next' });
    const history = await host.supervisor.sessions.read('edited', 'test:long');
    expect(history.map(({ content }) => content)).toEqual(['hold', 'one: hold', 'next', 'two: next']);
    expect(host.status.messages).toMatchObject({ answered: 4, dead: 0, pending: 0 });
    const own = isolation === 'shared' ? 'shared-edited' : 'edited+1';
    await eventually('the old slot is gone', () => slotsOf(host).join() === `shared-0,shared-1,${own}`);
  });

  test('swap - new code that does not load is reported, and the old one goes on', async () => {
    await using host = await startHost({ agents: { edited: edited({ isolation }), neighbour: actor() } });
    const before = slotsOf(host);
    files.write('agents/helper.ts', 'export const VERSION = ;\n');
    await expect(host.supervisor.agents.restart('edited')).rejects.toMatchObject({ code: 'ORRERY_AGENT_LOAD' });
    expect(await host.ask('edited', 'hello')).toBe('one: hello');
    files.write('agents/helper.ts', 'export const VERSION = process.exit(3);\n');
    await expect(host.supervisor.agents.restart('edited')).rejects.toMatchObject({ code: 'ORRERY_WORKER_EXITED' });
    expect(await host.ask('edited', 'hello')).toBe('one: hello');
    await eventually('nothing is left of it', () => slotsOf(host).join() === before.join());
    writeHelper('three');
    await host.supervisor.agents.restart('edited');
    expect(await host.ask('edited', 'hello')).toBe('three: hello');
    expect(host.status.agents.find(({ name }) => name === 'edited')?.restarts).toBe(0);
  });
});

test('swap - under load nothing is lost, doubled or out of order', async () => {
  await using host = await startHost({ agents: { edited: edited({ replicas: 2 }), neighbour: actor() } });
  const heard = new Map<string, string[]>();
  const running = new AbortController();
  const talk = async (session: string): Promise<void> => {
    const replies: string[] = [];
    heard.set(session, replies);
    for (let i = 0; !running.signal.aborted; i++) {
      const pair = [`m${i}`, `n${i}`].map((text) => settled(host.ask('edited', text, session)));
      for (const outcome of await Promise.all(pair))
        replies.push('text' in outcome ? outcome.text : String(outcome.code));
    }
  };
  const talks = Array.from({ length: 12 }, (_, i) => talk(`s${i}`));
  for (const version of ['two', 'three', 'four']) {
    writeHelper(version);
    await host.supervisor.agents.restart('edited');
  }
  running.abort();
  await Promise.all(talks);
  for (const [session, replies] of heard) {
    const order = ['one', 'two', 'three', 'four'];
    const versions = replies.map((reply) => order.indexOf(reply.split(':')[0] ?? ''));
    expect(versions).toEqual(versions.toSorted((a, b) => a - b));
    const asked = Array.from({ length: replies.length / 2 }, (_, i) => [`m${i}`, `n${i}`]).flat();
    expect(replies.map((reply) => reply.split(': ')[1])).toEqual(asked);
    const history = await host.supervisor.sessions.read('edited', `test:${session}`, { maxMessages: 10_000 });
    expect(history.filter(({ role }) => role === 'assistant').map(({ content }) => content)).toEqual(replies);
  }
  expect(host.status.messages).toMatchObject({ dead: 0, pending: 0 });
  expect(balance(host.status)).toEqual(BALANCED);
  await eventually('two threads are left beside the first', () => slotsOf(host).length === 4);
});

test('swap - an agent without code of its own takes a thread that is there', async () => {
  await using host = await startHost({ agents: { echo: { use: 'builtin:echo' }, neighbour: actor() } });
  await eventually('both threads are up', () => host.status.slots.every(({ state }) => state.status === 'ready'));
  const slotOf = () => host.status.agents.find(({ name }) => name === 'echo')?.replicas[0]?.slot;
  expect(await host.ask('echo', 'before')).toBe('before');
  expect(slotOf()).toBe('shared-0');
  await host.supervisor.agents.restart('echo');
  expect(slotOf()).toBe('shared-1');
  expect(await host.ask('echo', 'after')).toBe('after');
  expect(slotsOf(host)).toEqual(['shared-0', 'shared-1']);
  expect(await host.supervisor.sessions.read('echo', 'test:alice')).toHaveLength(4);
});

test.each(['shared', 'dedicated'] as const)(
  'swap - a %s agent that takes its new thread down is started there again, and commits',
  async (isolation) => {
    await using host = await startHost({ agents: { agent: actor({ isolation }), neighbour: actor() } });
    expect(await host.ask('agent', 'say before')).toBe('before 1');
    for (let i = 0; i < 2; i++) {
      await host.supervisor.agents.restart('agent');
      expect(await host.ask('agent', 'crash 2')).toBe('attempt 2.');
      expect(await host.ask('agent', `say after ${i}`)).toBe(`after ${i} 1`);
    }
    expect(await host.supervisor.sessions.read('agent', 'test:alice')).toHaveLength(10);
    expect(host.status.messages).toMatchObject({ dead: 0, pending: 0 });
  },
);

test('swap - the slot where suspects are tried runs the new code too', async () => {
  await using host = await startHost({ agents: { edited: edited(), neighbour: actor() } });
  // Its first attempt exits, so that the second one is run apart.
  expect(await host.ask('edited', 'exit')).toBe('one: exit');
  expect(host.status.quarantine.runs).toBe(1);
  writeHelper('two');
  await host.supervisor.agents.restart('edited');
  expect(await host.ask('edited', 'exit')).toBe('two: exit');
  expect(host.status.quarantine.runs).toBe(2);
  expect(host.status.messages).toMatchObject({ answered: 2, dead: 0 });
});

test('swap - many restarts leave no slots, and no owners in the session store, behind', async () => {
  await using host = await startHost({ agents: { edited: edited(), neighbour: actor() } });
  for (let i = 0; i < 8; i++) {
    await host.supervisor.agents.restart('edited');
    expect(await host.ask('edited', `hello ${i}`)).toBe(`one: hello ${i}`);
    await eventually('the earlier one is gone', () => host.status.slots.length === 3);
  }
  expect(await host.supervisor.sessions.read('edited', 'test:alice')).toHaveLength(16);
  const metrics = await host.supervisor.metrics();
  expect(metrics.match(/^orrery_slot_ready\{/gm)).toHaveLength(3);
  await host.supervisor.drain();
  using store = new DatabaseSync(host.path('sessions.db'), { readOnly: true });
  const owners = store.prepare('SELECT runtime FROM owners ORDER BY runtime').all();
  // Names come again once they are free. The first form stops on a thread that stays, perhaps while the third one comes: three names for nine forms.
  const names = ['edited', 'edited~1', 'edited~2', 'neighbour'];
  expect(names).toEqual(expect.arrayContaining(owners.map(({ runtime }) => runtime)));
  expect(owners.length).toBeGreaterThan(2);
});

test('swap - what waits behind a turn of the old code in any queue mode is answered once, by the new code', async () => {
  await using host = await startHost({ agents: { edited: edited(), neighbour: actor() } });
  const held = host.outcome('edited', 'hold', 'long');
  await eventually('it is under way', () => host.status.slots.some(({ running }) => running === 1));
  writeHelper('two');
  await host.supervisor.agents.restart('edited');
  const waiting = (['followup', 'collect', 'collect', 'steer'] as const).map((queue, i) =>
    host.send('edited', `m${i}`, { namespace: 'test:long', queue }),
  );
  await eventually('all are accepted', () => host.status.messages.accepted === 5);
  // This one ends the running turn, which begins again with it: on the new code, which waits for the gate as well.
  const interrupting = host.send('edited', 'now', { namespace: 'test:long', queue: 'interrupt' });
  await eventually('it is accepted', () => host.status.messages.accepted === 6);
  host.open();
  const first = await held;
  const replies = await Promise.all([...waiting, interrupting]);
  expect('text' in first && first.text).toMatch(/^(?:one|two): hold/);
  for (const { message } of replies) expect(message.content).toMatch(/^two: /);
  expect(host.status.messages).toMatchObject({ answered: 6, dead: 0, pending: 0 });
  expect(balance(host.status)).toEqual(BALANCED);
});
