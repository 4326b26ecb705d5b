import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SharedCases } from '../../src/main/bench/shared-cases.ts';
import type { CaseBatch } from '../../src/main/bench/suite.ts';

/** A suite of batches of so many cases each, one character a case, that says who reads it. */
class TestSuite {
  readonly #sizes: readonly number[];
  readonly #failsAt: number;
  /** Readers that were begun, and those of them that have not ended. */
  begun = 0;
  open = 0;
  /** Batches that were read in all. */
  batches = 0;

  constructor(sizes: readonly number[], failsAt = Infinity) {
    this.#sizes = sizes;
    this.#failsAt = failsAt;
  }

  get ids(): readonly string[] {
    return Array.from({ length: this.#sizes.reduce((sum, size) => sum + size, 0) }, (_, i) => String(i));
  }

  async *read(): AsyncGenerator<CaseBatch> {
    this.begun += 1;
    this.open += 1;
    try {
      let id = 0;
      for (const [i, size] of this.#sizes.entries()) {
        if (i === this.#failsAt) throw new Error('the disk is gone');
        this.batches += 1;
        const cases = Array.from({ length: size }, () => ({ id: String(id++), turns: ['a'], context: [] }));
        yield { cases, chars: size };
      }
    } finally {
      this.open -= 1;
    }
  }
}

/** One agent's way through the cases, as it goes. */
class Agent {
  readonly #batches: AsyncGenerator<CaseBatch>;
  readonly ids: string[] = [];
  isDone = false;

  constructor(shared: SharedCases) {
    this.#batches = shared.read();
  }

  /** Takes the next batch that has a case. */
  async step(): Promise<void> {
    for (;;) {
      const { done, value } = await this.#batches.next();
      if (done === true) {
        this.isDone = true;
        return;
      }
      for (const { id } of value.cases) this.ids.push(id);
      if (value.cases.length > 0) return;
    }
  }

  async finish(): Promise<void> {
    while (!this.isDone) await this.step();
  }

  async cancel(): Promise<void> {
    await this.#batches.return(undefined);
    this.isDone = true;
  }
}

const agentsOf = (shared: SharedCases, count: number): Agent[] =>
  Array.from({ length: count }, () => new Agent(shared));

describe('cases that agents share', () => {
  it('agents at one pace - have the suite read once', async () => {
    const suite = new TestSuite([3, 1, 4, 1, 5]);
    const agents = agentsOf(new SharedCases(() => suite.read(), 6), 3);
    while (!agents.every(({ isDone }) => isDone)) await Promise.all(agents.map((agent) => agent.step()));
    for (const { ids } of agents) expect(ids).toEqual(suite.ids);
    expect([suite.begun, suite.batches, suite.open]).toEqual([1, 5, 0]);
  });

  it('a slow agent - holds nobody up, is left behind by the window, and still gets each case once', async () => {
    const suite = new TestSuite(Array.from({ length: 50 }, () => 2));
    const shared = new SharedCases(() => suite.read(), 10);
    const [slow, fast] = agentsOf(shared, 2) as [Agent, Agent];
    await slow.step();
    await fast.step();
    while (!fast.isDone) {
      await fast.step();
      expect(shared.chars).toBeLessThanOrEqual(10);
    }
    expect([fast.ids, slow.ids]).toEqual([suite.ids, ['0', '1']]);
    await slow.finish();
    expect(slow.ids).toEqual(suite.ids);
    expect([suite.begun, suite.open, shared.chars]).toEqual([2, 0, 0]);
  });

  it('an agent that is left behind - may go before it has found its place again', async () => {
    const suite = new TestSuite(Array.from({ length: 50 }, () => 1));
    const shared = new SharedCases(() => suite.read(), 1);
    const slow = shared.read();
    const fast = new Agent(shared);
    for (let i = 0; i < 20; i++) await Promise.all([slow.next(), fast.step()]);
    await fast.finish();
    expect((await slow.next()).value).toMatchObject({ cases: [] });
    await slow.return(undefined);
    // One batch of the second reader, and not the twenty that were given before.
    expect([suite.batches, suite.open]).toEqual([51, 0]);
  });

  it('an agent that is gone - is waited for no longer', async () => {
    const suite = new TestSuite(Array.from({ length: 20 }, () => 1));
    const shared = new SharedCases(() => suite.read(), 100);
    const [gone, other] = agentsOf(shared, 2) as [Agent, Agent];
    await Promise.all([gone.step(), other.step()]);
    for (let i = 0; i < 5; i++) await other.step();
    expect(shared.chars).toBe(5);
    await gone.cancel();
    expect(shared.chars).toBe(0);
    await other.finish();
    expect(other.ids).toEqual(suite.ids);
    expect([suite.begun, suite.open]).toEqual([1, 0]);
  });

  it('a suite that cannot be read on - fails for everyone who comes so far, and for nobody before', async () => {
    const suite = new TestSuite([1, 1, 1, 1], 2);
    const [slow, fast] = agentsOf(new SharedCases(() => suite.read()), 2) as [Agent, Agent];
    await Promise.all([slow.step(), fast.step()]);
    await fast.step();
    await expect(fast.step()).rejects.toThrow('the disk is gone');
    await slow.step();
    expect(slow.ids).toEqual(['0', '1']);
    await expect(slow.step()).rejects.toThrow('the disk is gone');
    expect([suite.begun, suite.open]).toEqual([1, 0]);
  });

  it('an agent that begins late - reads for itself from the start', async () => {
    const suite = new TestSuite([1, 1, 1]);
    const shared = new SharedCases(() => suite.read());
    await new Agent(shared).finish();
    const late = new Agent(shared);
    await late.finish();
    expect([late.ids, suite.begun, suite.open]).toEqual([suite.ids, 2, 0]);
  });

  it('a batch larger than the window - is given all the same', async () => {
    const suite = new TestSuite([9, 9, 9]);
    const agents = agentsOf(new SharedCases(() => suite.read(), 4), 2);
    await Promise.all(agents.map((agent) => agent.finish()));
    for (const { ids } of agents) expect(ids).toEqual(suite.ids);
  });

  it('everyone - gets each case once and in order, whatever the paces, and the window keeps its bound', async () => {
    const moves = fc.array(fc.record({ agent: fc.nat(3), cancels: fc.nat(20).map((n) => n === 0) }), { maxLength: 80 });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(5)), fc.integer({ min: 1, max: 12 }), moves, async (sizes, bound, steps) => {
        const suite = new TestSuite(sizes);
        const shared = new SharedCases(() => suite.read(), bound);
        const agents = agentsOf(shared, 4);
        const cancelled = new Set<Agent>();
        for (const { agent, cancels } of steps) {
          const one = agents[agent]!;
          if (cancels) cancelled.add(one);
          await (cancels ? one.cancel() : one.step());
          expect(shared.chars).toBeLessThanOrEqual(Math.max(bound, ...sizes));
        }
        await Promise.all(agents.map((one) => one.finish()));
        for (const one of agents) {
          const most = cancelled.has(one) ? one.ids.length : Infinity;
          expect(one.ids).toEqual(suite.ids.slice(0, most));
        }
        expect([suite.open, shared.chars]).toEqual([0, 0]);
        // At the most all read for themselves, beside the shared reader.
        expect(suite.begun).toBeLessThanOrEqual(agents.length + 1);
      }),
    );
  });
});
