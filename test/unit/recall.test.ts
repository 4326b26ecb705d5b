/** Asks whether deliveries had committed: together, again while nobody can look, and for nobody who has no use for it. */
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { MAX_LOOK_MS, MAX_TOGETHER, Recall } from '../../src/main/delivery/recall.ts';
import type { Pool } from '../../src/main/pool/index.ts';
import type { HostedAgents } from '../../src/main/wiring/agents.ts';
import { HostedSessions } from '../../src/main/wiring/sessions.ts';
import { CALL_TIMEOUT_MS, OrreryError, type Reply } from '../../src/protocol/index.ts';
import { replyOf } from '../support/delivery.ts';

const NO_THREAD = new OrreryError('ORRERY_SLOT_NOT_READY', 'No thread is up');
const LIVE = { isOver: (): boolean => false };

/** Looks that end when a test ends them. */
class Looks {
  readonly asked: (readonly string[])[] = [];
  readonly #under: PromiseWithResolvers<ReadonlyMap<string, Reply>>[] = [];
  readonly warnings: string[] = [];
  readonly recall: Recall = new Recall({
    look: (ids) => {
      this.asked.push(ids);
      const look = Promise.withResolvers<ReadonlyMap<string, Reply>>();
      this.#under.push(look);
      return look.promise;
    },
    log: pino({}, { write: (line) => this.warnings.push(line) }),
  });

  /** Ends all looks that are under way, with what has committed. */
  async find(...ids: readonly string[]): Promise<void> {
    for (const { resolve } of this.#under.splice(0)) resolve(new Map(ids.map((id) => [id, replyOf(`had ${id}`)])));
    await settle();
  }

  async fail(): Promise<void> {
    for (const { reject } of this.#under.splice(0)) reject(NO_THREAD);
    await settle();
  }
}

function settle(): Promise<unknown> {
  return vi.advanceTimersByTimeAsync(0);
}

/** The texts that were found, once all have their answers. */
async function texts(found: readonly Promise<Reply | undefined>[]): Promise<readonly (string | undefined)[]> {
  return (await Promise.all(found)).map((reply) => reply?.message.content);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});

afterEach(() => {
  vi.useRealTimers();
});

describe('a question for commits', () => {
  test('recall - goes together with all of the same tick, so many at a time, and each has its own answer', async () => {
    const looks = new Looks();
    const ids = Array.from({ length: MAX_TOGETHER + 2 }, (_, i) => `d${i}`);
    const found = ids.map((id) => looks.recall.find(id, LIVE));
    await settle();
    const later = looks.recall.find('later', LIVE);
    await settle();
    // A look under way holds up nobody.
    expect(looks.asked).toEqual([ids.slice(0, MAX_TOGETHER), ids.slice(MAX_TOGETHER), ['later']]);
    await looks.find('d1', 'later');
    expect(await texts([...found.slice(0, 3), later])).toEqual([undefined, 'had d1', undefined, 'had later']);
  });

  test('recall - is put again, together, while nobody can look, until each has waited long enough', async () => {
    const looks = new Looks();
    const early = looks.recall.find('early', { ...LIVE, until: performance.now() + 200 });
    const found = looks.recall.find('one', LIVE);
    await settle();
    await looks.fail();
    const two = looks.recall.find('two', LIVE);
    await settle();
    await looks.fail();
    expect(vi.getTimerCount()).toBe(1);
    await vi.advanceTimersByTimeAsync(250);
    expect(looks.asked).toEqual([['early', 'one'], ['two'], ['early', 'one', 'two']]);
    await looks.fail();
    expect(await texts([early])).toEqual([undefined]);
    expect(looks.warnings).toHaveLength(1);
    expect(looks.warnings[0]).toContain('"deliveries":1');
    await vi.advanceTimersByTimeAsync(250);
    expect(looks.asked.at(-1)).toEqual(['one', 'two']);
    await looks.find('one');
    expect(await texts([found, two])).toEqual(['had one', undefined]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('recall - a look that began in time is waited for, and is the last one', async () => {
    const looks = new Looks();
    const found = ['one', 'two'].map((id) => looks.recall.find(id, LIVE));
    await settle();
    await vi.advanceTimersByTimeAsync(MAX_LOOK_MS + 5_000);
    await looks.find('one');
    expect(await texts(found)).toEqual(['had one', undefined]);
    const late = looks.recall.find('late', LIVE);
    await settle();
    await vi.advanceTimersByTimeAsync(MAX_LOOK_MS);
    await looks.fail();
    expect(await texts([late])).toEqual([undefined]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('recall - is not put again for who is over, and leaves no timer for it', async () => {
    const looks = new Looks();
    const over = new Set<string>();
    const [one, two] = ['one', 'two'].map((id) => looks.recall.find(id, { isOver: () => over.has(id) }));
    await settle();
    over.add('one');
    await looks.fail();
    expect(await one).toBeUndefined();
    over.add('two');
    await vi.advanceTimersByTimeAsync(250);
    expect(await two).toBeUndefined();
    expect(looks.asked).toEqual([['one', 'two']]);
    expect(vi.getTimerCount()).toBe(0);
    // That nobody wants to know is no reason to warn.
    expect(looks.warnings).toEqual([]);
  });

  test('recall - ends with a close, whether it waits, is under way, is to be put, or comes after it', async () => {
    const looks = new Looks();
    const waits = looks.recall.find('waits', LIVE);
    await settle();
    await looks.fail();
    const under = looks.recall.find('under way', LIVE);
    await settle();
    const fresh = looks.recall.find('fresh', LIVE);
    looks.recall.close();
    const after = looks.recall.find('after', LIVE);
    await settle();
    await looks.fail();
    expect(await texts([waits, under, fresh, after])).toEqual([undefined, undefined, undefined, undefined]);
    expect(looks.asked).toEqual([['waits'], ['under way']]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a question for commits that is put to a thread', () => {
  test('recall - is put to another one in time when the first hangs', async () => {
    const stuck = thread(() => afterDeadline('commitsOf'));
    const idle = thread((ids) => Promise.resolve(ids.map((id) => [id, replyOf(`had ${id}`)] as const)));
    const pool = { slots: [stuck, idle] } as unknown as Pool;
    const sessions = new HostedSessions({} as HostedAgents, pool, 'sqlite');
    const recall = new Recall({ look: (ids) => sessions.committed(ids), log: pino({ enabled: false }) });
    const found = recall.find('one', LIVE);
    // As the heartbeat has it after a second or two.
    await vi.advanceTimersByTimeAsync(2_000);
    stuck.state.status = 'unresponsive';
    await vi.advanceTimersByTimeAsync(MAX_LOOK_MS);
    expect(await texts([found])).toEqual(['had one']);
  });
});

type CommitsOf = (ids: readonly string[]) => Promise<readonly (readonly [string, Reply])[]>;

/** As much of a slot as is asked of one. */
function thread(commitsOf: CommitsOf): { readonly state: { status: string } } {
  const slot = { state: { status: 'ready' }, quarantine: false, pulse: { running: 0 }, utilization: 0 };
  return { ...slot, remote: { host: { commitsOf } } } as { readonly state: { status: string } };
}

/** As a call to a thread that does not come back. */
function afterDeadline(method: 'commitsOf'): Promise<never> {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new OrreryError('ORRERY_CALL_DEADLINE', 'No answer in time')), CALL_TIMEOUT_MS[method]);
  });
}
