/** Holds the driver of `orrery bench --load` to its schedule and to honest latencies, on a clock that only the test moves. */
import { describe, expect, it } from 'vitest';
import { schedule } from '../../src/main/bench/load/arrivals.ts';
import { type DriveOptions, type Pace, drive } from '../../src/main/bench/load/driver.ts';
import type { Failed, Outcome } from '../../src/main/bench/load/outcome.ts';
import { Tally, type TargetFigures } from '../../src/main/bench/load/tally.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

/** A server that answers each request after so many milliseconds of its own choice. */
class FakeServer {
  readonly clock: VirtualClock = new VirtualClock();
  readonly #serviceMs: (now: number, n: number) => number;
  readonly #outcome: (n: number) => Partial<Failed> | undefined;
  readonly #cut = new AbortController();
  underWay = 0;
  most = 0;
  /** When each request was sent. */
  readonly sentAt: number[] = [];

  constructor(
    serviceMs: (now: number, n: number) => number,
    outcome: (n: number) => Partial<Failed> | undefined = () => undefined,
  ) {
    this.#serviceMs = serviceMs;
    this.#outcome = outcome;
  }

  send = async (n: number): Promise<Outcome> => {
    const { clock } = this;
    this.sentAt.push(clock.now());
    this.underWay += 1;
    this.most = Math.max(this.most, this.underWay);
    await clock.until(clock.now() + this.#serviceMs(clock.now(), n), this.#cut.signal);
    this.underWay -= 1;
    const endedAt = clock.now();
    if (this.#cut.signal.aborted) return { ok: false, endedAt, kind: 'cut', message: 'cut' };
    const failure = this.#outcome(n);
    if (failure) return { ok: false, endedAt, kind: 'http', message: 'no', ...failure };
    return { ok: true, firstAt: null, endedAt, gaps: [], inputTokens: 1, outputTokens: 2, text: 'ab' };
  };

  cut = (): void => this.#cut.abort();

  async drive(pace: Pace, o: Partial<DriveOptions> & { readonly expectedIntervalMs?: number }): Promise<TargetFigures> {
    const { expectedIntervalMs, ...options } = o;
    const tally = new Tally({
      isOpen: pace.mode === 'open',
      ...(expectedIntervalMs === undefined ? {} : { expectedIntervalMs }),
    });
    await this.clock.run(
      drive({
        pace,
        tally,
        clock: this.clock,
        send: this.send,
        cut: this.cut,
        warmupMs: 0,
        stop: new AbortController().signal,
        graceMs: 1_000,
        ...options,
      }),
    );
    return tally.read();
  }
}

const open = (rate: number, o: { readonly maxInFlight?: number; readonly arrivals?: 'poisson' } = {}): Pace => ({
  mode: 'open',
  rate,
  arrivals: 'constant',
  seed: 0,
  maxInFlight: 1_000,
  ...o,
});
const closed = (concurrency: number, honourRetryAfter = false): Pace => ({
  mode: 'closed',
  concurrency,
  honourRetryAfter,
});

/** Answers in a millisecond, but for a second in which it answers nobody. */
const freezes = (now: number): number => (now >= 5_000 && now < 6_000 ? 6_001 - now : 1);

function take(count: number, arrivals: 'poisson' | 'constant', seed = 0): number[] {
  return schedule({ rate: 100, arrivals, seed }).take(count).toArray();
}

describe('arrivals', () => {
  it('constant - are evenly spread from the start', () => {
    expect(take(4, 'constant')).toEqual([0, 10, 20, 30]);
  });

  it('poisson - have the rate, and gaps that are spread as an exponential distribution is', () => {
    const times = take(100_000, 'poisson');
    const gaps = times.map((at, i) => at - (times[i - 1] ?? 0));
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length);
    expect(mean).toBeCloseTo(10, 0);
    expect(deviation / mean).toBeCloseTo(1, 1);
    // P(gap > 3 means) = e^-3
    expect(gaps.filter((gap) => gap > 30).length / gaps.length).toBeCloseTo(Math.exp(-3), 2);
    expect(gaps.every((gap) => gap >= 0)).toBe(true);
  });

  it('poisson - are the same for a seed, and others for another', () => {
    expect(take(50, 'poisson', 7)).toEqual(take(50, 'poisson', 7));
    expect(take(50, 'poisson', 7)).not.toEqual(take(50, 'poisson', 8));
  });
});

describe('coordinated omission', () => {
  it('open loop - a freeze of a second shows in corrected percentiles and not in uncorrected ones when requests wait at the driver', async () => {
    const server = new FakeServer(freezes);
    const { latencyMs, sent, held } = await server.drive(open(100, { maxInFlight: 1 }), { durationMs: 10_000 });
    expect(sent).toBe(1_000);
    // Who measures from when it got round to sending saw one slow request.
    expect(latencyMs.uncorrected.p99).toBeCloseTo(1, 1);
    expect(latencyMs.uncorrected.max).toBeCloseTo(1_001, 0);
    // A hundred callers waited, from a second down.
    expect(latencyMs.corrected?.p50).toBeCloseTo(1, 1);
    expect(latencyMs.corrected?.p95).toBeGreaterThan(500);
    expect(latencyMs.corrected?.p99).toBeGreaterThan(900);
    expect(latencyMs.corrected?.max).toBeCloseTo(1_001, 0);
    expect(held).toBeGreaterThan(90);
  });

  it('closed loop - the freeze is one request of many, and is corrected only when it is told how often callers ask', async () => {
    const uncorrected = await new FakeServer(freezes).drive(closed(1), { durationMs: 10_000 });
    expect(uncorrected.latencyMs.corrected).toBeNull();
    expect(uncorrected.latencyMs.uncorrected.p999).toBeCloseTo(1, 1);
    const server = new FakeServer(freezes);
    const { latencyMs } = await server.drive(closed(1), { durationMs: 10_000, expectedIntervalMs: 10 });
    expect(latencyMs.uncorrected.p999).toBeCloseTo(1, 1);
    // 991 ms, 981 ms and so on down to 11 ms.
    expect(latencyMs.corrected?.count).toBe(latencyMs.uncorrected.count + 99);
    expect(latencyMs.corrected?.p999).toBeGreaterThan(850);
  });
});

describe('open loop', () => {
  it('requests - are sent when they are due, whatever becomes of those before', async () => {
    const server = new FakeServer(() => 5_000);
    const { sent, answered, perSecond, latencyMs } = await server.drive(open(10), { durationMs: 1_000 });
    expect(server.sentAt).toEqual([0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    expect([sent, answered, server.most]).toEqual([10, 10, 10]);
    // They were answered when the time was over.
    expect(perSecond).toBe(0);
    expect(latencyMs.corrected?.p50).toBeCloseTo(5_000, 0);
  });

  it('max in flight - is never exceeded; who waits is counted, and so is who was never sent', async () => {
    const server = new FakeServer(() => 1_000);
    const figures = await server.drive(open(10, { maxInFlight: 2 }), { durationMs: 2_000 });
    expect(server.most).toBe(2);
    expect(figures).toMatchObject({ sent: 4, answered: 4, unsent: 16, held: 3 });
    // The third was meant for 200 ms, sent at 1,000 and answered at 2,000.
    expect(figures.latencyMs.corrected?.max).toBeCloseTo(1_800, 0);
    expect(figures.latencyMs.uncorrected.max).toBeCloseTo(1_000, 0);
    // Only the first two left when they were due; the others' lateness is not the driver's.
    expect(figures.latenessMs).toMatchObject({ count: 2, max: 0.001 });
    expect(figures.series.spans.reduce((sum, { arrived }) => sum + arrived, 0)).toBe(4);
  });

  it('lateness - is the driver’s own again once the schedule is reached', async () => {
    const server = new FakeServer((now) => (now < 100 ? 450 : 1));
    const figures = await server.drive(open(10, { maxInFlight: 1 }), { durationMs: 1_000 });
    // Those of 100 to 400 ms came behind the first, which took until 450 ms.
    expect(figures).toMatchObject({ sent: 10, latenessMs: { count: 6, max: 0.001 } });
    expect(figures.latencyMs.corrected?.max).toBeCloseTo(450, 0);
  });

  it('requests and time - whichever comes first ends it', async () => {
    const one = await new FakeServer(() => 1).drive(open(10), { durationMs: 1_000, requests: 3 });
    expect(one.sent).toBe(3);
    const other = await new FakeServer(() => 1).drive(open(10), { durationMs: 1_000, requests: 300 });
    expect(other.sent).toBe(10);
    const alone = await new FakeServer(() => 500).drive(open(10), { requests: 10 });
    expect(alone).toMatchObject({ sent: 10, answered: 10, unsent: 0, seconds: 1.4 });
  });

  it('warm-up - is sent and not measured', async () => {
    const server = new FakeServer((now) => (now < 1_000 ? 400 : 10));
    const figures = await server.drive(open(10), { warmupMs: 1_000, durationMs: 1_000 });
    expect(server.sentAt).toHaveLength(20);
    expect(figures).toMatchObject({ sent: 10, seconds: 1 });
    expect(figures.latencyMs.uncorrected.max).toBeCloseTo(10, 0);
    // Four of the warm-up were answered while it was measured: that is what the server did in that second.
    expect(figures.perSecond).toBe(14);
  });
});

describe('closed loop', () => {
  it('callers - each has one request under way', async () => {
    const server = new FakeServer(() => 100);
    const figures = await server.drive(closed(3), { durationMs: 1_000 });
    expect(server.most).toBe(3);
    expect(figures).toMatchObject({ sent: 30, answered: 30, perSecond: 30, held: 0, unsent: 0 });
    expect(figures.latenessMs.count).toBe(0);
  });

  it('requests - are as many as asked for', async () => {
    const figures = await new FakeServer(() => 100).drive(closed(8), { requests: 20 });
    expect(figures).toMatchObject({ sent: 20, answered: 20, seconds: 0.3 });
  });

  it('Retry-After - is counted, and waited for when asked to', async () => {
    const busy = (n: number): Partial<Failed> | undefined => (n === 0 ? { status: 429, retryAfterMs: 500 } : undefined);
    const counted = await new FakeServer(() => 100, busy).drive(closed(1), { durationMs: 1_000 });
    expect(counted).toMatchObject({ sent: 10, failed: 1, retryAfter: { count: 1, maxMs: 500, honoured: 0 } });
    const honoured = await new FakeServer(() => 100, busy).drive(closed(1, true), { durationMs: 1_000 });
    expect(honoured).toMatchObject({ sent: 5, failed: 1, retryAfter: { count: 1, maxMs: 500, honoured: 1 } });
    expect(honoured.failures).toEqual([{ kind: 'http', status: 429, message: 'no', count: 1 }]);
  });
});

describe('the end', () => {
  it.each([
    ['open', open(10)],
    ['closed', closed(2)],
  ])('stop - sends nothing new and awaits what is under way: %s loop', async (_, pace) => {
    const server = new FakeServer(() => 300);
    const stop = new AbortController();
    void server.clock.until(1_000).then(() => stop.abort());
    const figures = await server.drive(pace, { durationMs: 60_000, stop: stop.signal });
    expect(Math.max(...server.sentAt)).toBeLessThanOrEqual(1_000);
    expect(figures.failed).toBe(0);
    expect(figures.answered).toBe(figures.sent);
    expect(figures).toMatchObject({ seconds: 1, unsent: 0 });
  });

  it('stop - cuts off what takes longer than the grace', async () => {
    const server = new FakeServer(() => 100_000);
    const stop = new AbortController();
    void server.clock.until(450).then(() => stop.abort());
    const figures = await server.drive(open(10), { durationMs: 60_000, stop: stop.signal, graceMs: 2_000 });
    expect(server.clock.now()).toBe(2_450);
    expect(figures).toMatchObject({ sent: 5, failed: 5, failures: [{ kind: 'cut', count: 5 }] });
  });

  it.each([
    ['open', open(1_000)],
    ['closed', closed(4)],
  ])('a target that refuses everything - is given up: %s loop', async (_, pace) => {
    const server = new FakeServer(
      () => 1,
      () => ({ kind: 'connection', code: 'ECONNREFUSED' }),
    );
    const figures = await server.drive(pace, { durationMs: 600_000 });
    expect(figures.answered).toBe(0);
    expect(figures.sent).toBeLessThan(100);
    expect(figures.unsent).toBe(0);
    expect(server.clock.now()).toBeLessThan(5_000);
  });

  it('a target that is full - is asked to the end', async () => {
    const server = new FakeServer(
      () => 1,
      () => ({ status: 503 }),
    );
    expect(await server.drive(open(100), { durationMs: 2_000 })).toMatchObject({ sent: 200, failed: 200 });
  });
});
