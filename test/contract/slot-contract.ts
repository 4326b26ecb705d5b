/** What a slot promises whatever carries it. The runner gives a pool and makes the slot in it. */
import { expect, test } from 'vitest';
import type { Pool, Slot } from '../../src/main/pool/index.ts';
import {
  type AgentSpec,
  OrreryError,
  type SlotState,
  type TurnKey,
  type TurnOutcome,
  type TurnRequest,
} from '../../src/protocol/index.ts';
import type { SlotEnd } from '../../src/main/pool/slot.ts';
import { eventually, fixture } from '../support/host.ts';

export interface SlotUnderTest extends AsyncDisposable {
  readonly pool: Pool;
  readonly slot: Slot;
  readonly ready: number[];
  readonly ends: SlotEnd[];
  readonly outcomes: Map<TurnKey, TurnOutcome>;
  /** The text of each turn so far. */
  readonly texts: Map<TurnKey, string>;
  readonly states: SlotState['status'][];
  /** How many messages of text came. */
  deltas: number;
  /** A file that does not exist yet. */
  readonly gate: string;
  open(): void;
}

export const ACTOR: AgentSpec = {
  runtime: 'actor',
  agent: 'actor',
  source: { kind: 'module', url: new URL(`file://${fixture('actor')}`).href },
  env: { LISTED: 'for the agent' },
  number: 7,
};

export function slotContract(name: string, make: () => SlotUnderTest): void {
  let turns = 0;

  function turn(content: string, under: SlotUnderTest, over: Partial<TurnRequest> = {}): TurnRequest {
    turns += 1;
    return {
      turn: turns,
      id: `d${turns}`,
      runtime: 'actor',
      session: `test:s${turns}`,
      attempt: 1,
      timeoutMs: 30_000,
      stream: false,
      message: { role: 'user', content },
      metadata: { gate: under.gate },
      ...over,
    };
  }

  async function started(under: SlotUnderTest): Promise<void> {
    const { slot, ready } = under;
    const before = ready.length;
    slot.start();
    await eventually('it is ready', () => ready.length > before);
    expect(await slot.remote.host.startAgents([ACTOR])).toEqual([{ runtime: 'actor', ok: true }]);
  }

  async function outcome(under: SlotUnderTest, request: TurnRequest): Promise<TurnOutcome> {
    for (const now of await under.slot.dispatch([request])) under.outcomes.set(now.turn, now);
    return eventually('the turn has an outcome', () => under.outcomes.get(request.turn));
  }

  const failed = (code: string): object => ({ error: { code } });
  const replied = (content: string): object => ({ reply: { message: { role: 'assistant', content } } });

  test(`${name} - turns are answered, those that wait and those that do not`, async () => {
    await using under = make();
    await started(under);
    const held = turn('hold held', under);
    expect(await under.slot.dispatch([held])).toEqual([]);
    expect(await outcome(under, turn('say hello', under))).toMatchObject(replied('hello 1'));
    expect(under.slot.pulse.running).toBe(1);
    under.open();
    await eventually('it is answered', () => under.outcomes.get(held.turn));
    expect(under.outcomes.get(held.turn)).toMatchObject(replied('held 1'));
    await eventually('nothing runs', () => under.slot.pulse.running === 0);
    expect(under.slot.state.status).toBe('ready');
  });

  test(`${name} - the variables that an agent lists reach it and its process.env, and no other does`, async () => {
    await using under = make();
    await started(under);
    const env = (variable: string): Promise<TurnOutcome> => outcome(under, turn(`env ${variable}`, under));
    expect(await env('LISTED')).toMatchObject(replied('{"ctx":"for the agent","process":"for the agent"}'));
    for (const other of ['PATH', 'HOME', 'SECRET']) {
      expect(await env(other)).toMatchObject(replied('{"ctx":null,"process":null}'));
    }
  });

  test(`${name} - all text comes, in order, however many messages it takes beyond the credits`, async () => {
    await using under = make();
    await started(under);
    const count = 20_000;
    const request = turn(`pieces ${count}`, under, { stream: true });
    const all = Array.from({ length: count }, (_, i) => `${i},`).join('');
    expect(await outcome(under, request)).toMatchObject(replied(all));
    // What was not sent when the turn ended is in its outcome.
    const text = under.texts.get(request.turn) ?? '';
    expect(all.startsWith(text)).toBe(true);
    expect(text.length).toBeGreaterThan(0);
    expect(under.deltas).toBeGreaterThan(64);
  });

  test(`${name} - messages of megabytes come whole, both ways`, async () => {
    await using under = make();
    await started(under);
    const long = 'ä€😀'.repeat(500_000);
    expect(await outcome(under, turn(`say ${long}`, under))).toMatchObject(replied(`${long} 1`));
  });

  test(`${name} - a turn ends at its deadline, and when it is cancelled`, async () => {
    await using under = make();
    await started(under);
    expect(await outcome(under, turn('listen', under, { timeoutMs: 50 }))).toMatchObject(
      failed('ORRERY_TURN_DEADLINE'),
    );
    const listening = turn('listen', under);
    await under.slot.dispatch([listening]);
    await under.slot.remote.host.cancel([listening.turn, 4_711], 'cancelled');
    const cancelled = await eventually('it is cancelled', () => under.outcomes.get(listening.turn));
    expect(cancelled).toMatchObject(failed('ORRERY_CANCELLED'));
  });

  test(`${name} - what is offered to a turn that takes nothing in is given back`, async () => {
    await using under = make();
    await started(under);
    const held = turn('hold held', under);
    await under.slot.dispatch([held]);
    const { host } = under.slot.remote;
    await host.steer(held.turn, [{ id: 'more', message: { role: 'user', content: 'more' } }]);
    expect(await host.unsteer(held.turn, ['more', 'other'])).toEqual(['more']);
    under.open();
    await eventually('it is answered', () => under.outcomes.get(held.turn));
  });

  test(`${name} - what cannot be cloned fails its own call, and later ones go on`, async () => {
    await using under = make();
    await started(under);
    const { host } = under.slot.remote;
    const smuggled: string = Object.assign([], { key: () => 'a function' }) as never;
    const bad = host.history(smuggled, 's').catch((e: unknown) => e);
    expect(await bad).toMatchObject({ code: 'ORRERY_UNCLONEABLE', message: expect.stringContaining('history()') });
    expect(await outcome(under, turn('uncloneable', under))).toMatchObject(failed('ORRERY_AGENT_BAD_REPLY'));
    expect(await outcome(under, turn('say next', under))).toMatchObject(replied('next 1'));
    expect(under.ends).toEqual([]);
  });

  test(`${name} - errors come with code, message and cause`, async () => {
    await using under = make();
    await started(under);
    expect(await outcome(under, turn('fail on purpose', under))).toMatchObject({
      error: { code: 'ORRERY_AGENT_FAILED', cause: { message: 'on purpose' } },
    });
    const broken = { ...ACTOR, runtime: 'broken', source: { kind: 'module', url: 'file:///nowhere.ts' } } as const;
    expect(await under.slot.remote.host.startAgents([broken])).toMatchObject([
      { runtime: 'broken', ok: false, error: { code: 'ORRERY_AGENT_LOAD' } },
    ]);
  });

  test.each([
    // The exit is at once, and never comes to the second turn.
    ['throw', 'thrown in a timer', { begun: 3 }],
    ['reject', 'rejected and forgotten', { begun: 3 }],
    ['exit 3', 'exited with code: 3', { begun: 2, exitCode: 3 }],
  ])(`${name} - an agent that does %s is named, with the turns that were begun`, async (act, text, end) => {
    await using under = make();
    await started(under);
    await outcome(under, turn('say first', under));
    const { remote } = under.slot;
    void under.slot.dispatch([turn(act, under), turn('hold held', under)]).catch(() => undefined);
    await under.slot.ended;
    const error = { code: 'ORRERY_WORKER_EXITED', message: expect.stringContaining(text) };
    expect(under.ends).toMatchObject([{ exit: 'crashed', blamed: ACTOR.number, error, ...end }]);
    await expect(remote.host.history('actor', 's')).rejects.toMatchObject(error);
    expect(under.slot.state).toMatchObject({ status: 'exited', exit: 'crashed' });
  });

  test(`${name} - outcomes that were sent before the end are heard before it`, async () => {
    await using under = make();
    await started(under);
    const sayings = Array.from({ length: 50 }, (_, i) => turn(`say ${i}`, under));
    const receipt = under.slot.dispatch(sayings);
    const last = turn('exit 3', under);
    void under.slot.dispatch([last]).catch(() => undefined);
    for (const now of await receipt) under.outcomes.set(now.turn, now);
    await under.slot.ended;
    expect(sayings.filter(({ turn: key }) => !under.outcomes.has(key))).toEqual([]);
    expect(under.ends).toMatchObject([{ begun: 51 }]);
  });

  test(`${name} - a loop without end is killed, with what was under way, and the slot starts again`, async () => {
    await using under = make();
    await started(under);
    const spinning = under.slot.dispatch([turn('spin', under)]).catch((e: unknown) => e);
    await eventually('it was begun', () => beatStands(under.slot));
    const cause = new OrreryError('ORRERY_WORKER_UNRESPONSIVE', 'killed by a test');
    under.slot.kill(cause);
    under.slot.kill(new OrreryError('ORRERY_CLOSED', 'too late'));
    await under.slot.ended;
    expect(await spinning).toMatchObject({ code: 'ORRERY_WORKER_UNRESPONSIVE' });
    expect(under.ends).toMatchObject([{ exit: 'killed', error: { message: 'killed by a test' }, begun: 1 }]);
    expect(under.slot.pid).toBeUndefined();
    await started(under);
    expect(await outcome(under, turn('say again', under))).toMatchObject(replied('again 1'));
    expect(under.ready).toEqual([1, 2]);
    expect(under.slot.generation).toBe(2);
  });

  test(`${name} - a stop waits for running turns and ends by itself`, async () => {
    await using under = make();
    await started(under);
    const held = turn('hold held', under);
    await under.slot.dispatch([held]);
    const stopping = under.slot.stop(20_000);
    await eventually('it drains', () => under.slot.state.status === 'draining');
    under.open();
    expect(await stopping).toBe(true);
    expect(under.ends).toMatchObject([{ exit: 'clean', exitCode: undefined }]);
    expect(under.outcomes.get(held.turn)).toMatchObject(replied('held 1'));
    expect(under.states).toEqual(['starting', 'ready', 'draining', 'exited']);
  });

  test(`${name} - what does not stop within its time is killed`, async () => {
    await using under = make();
    await started(under);
    void under.slot.dispatch([turn('spin', under)]).catch(() => undefined);
    await eventually('it was begun', () => beatStands(under.slot));
    expect(await under.slot.stop(400)).toBe(false);
    expect(under.ends).toMatchObject([{ exit: 'killed', error: { code: 'ORRERY_SHUTDOWN_DEADLINE' } }]);
  });

  test(`${name} - nothing starts in a closed pool`, async () => {
    await using under = make();
    await started(under);
    await under.pool.close();
    expect(under.ends).toMatchObject([{ exit: 'killed', error: { code: 'ORRERY_CLOSED' } }]);
    expect(() => under.slot.start()).toThrow(expect.objectContaining({ code: 'ORRERY_CLOSED' }));
  });
}

const beats = new WeakMap<Slot, { beat: number; since: number }>();

/** Tells whether the slot has not come back to its loop for ten heartbeats. */
function beatStands(slot: Slot): boolean {
  const { beat } = slot.pulse;
  const known = beats.get(slot);
  const now = performance.now();
  if (known?.beat !== beat) beats.set(slot, { beat, since: now });
  return known?.beat === beat && now - known.since > 250;
}
