/** Ends whole processes, in order and by SIGKILL, with accepted messages in them, and looks what the next one does. */
import { readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { AppendPacker, MarkPacker, joinAppends } from '../../src/main/delivery/sqlite-journal/packed-work.ts';
import { describe, expect, test } from 'vitest';
import type { OrreryConfig } from '../../src/main/config/input.ts';
import { actor, eventually, fixture } from '../support/host.ts';
import { type Answer, type Asked, ServedDir } from '../support/served.ts';

const CONFIG: OrreryConfig = {
  agents: { actor: actor(), other: actor() },
  defaultAgent: 'actor',
  workers: { threads: 1 },
  shutdown: { timeoutMs: 20_000 },
};

/** Requests whose process is killed under them end as failed fetches. */
async function gone(answers: readonly Promise<Answer>[]): Promise<void> {
  const results = await Promise.allSettled(answers);
  expect(results.map(({ status }) => status)).toEqual(results.map(() => 'rejected'));
}

async function begun(served: ServedDir, count: number): Promise<void> {
  await eventually('the turns are under way', () => served.lines().length >= count);
}

interface Messages {
  readonly accepted: number;
  readonly recovered: number;
  readonly replayed: number;
  readonly answered: number;
  readonly dead: number;
  readonly pending: number;
}

async function messages(served: ServedDir): Promise<Messages> {
  return ((await served.call('GET', '/api/status')).body as { messages: Messages }).messages;
}

function metric(text: unknown, name: string): number {
  const [, value] = new RegExp(`^${name} (\\d+)$`, 'm').exec(String(text)) ?? [];
  return Number(value);
}

const HOUR_MS = 3_600_000;

describe('SIGKILL', () => {
  test('delivery - what was accepted is answered by the next process, in order and once, with no attempt counted', async () => {
    await using served = new ServedDir(CONFIG);
    await served.start();
    const sessions = ['a', 'b', 'c', 'd'];
    const asked: Asked[] = sessions.flatMap((namespace) =>
      [1, 2, 3].map((n) => ({ id: `${namespace}${n}`, message: `hold ${namespace}${n}`, namespace })),
    );
    const answers: Promise<Answer>[] = [];
    // One after another: their order of acceptance is what the test is about.
    for (const [i, one] of asked.entries()) {
      const answer = served.ask(one);
      answer.catch(() => undefined);
      answers.push(answer);
      await eventually('it was accepted', async () => (await messages(served)).accepted > i);
    }
    await begun(served, sessions.length);
    await served.kill();
    await gone(answers);

    await served.start();
    // Callers come back with the same ids: in flight first, then answered.
    const early = await served.ask(asked[0] ?? { id: '', message: '' });
    expect(early).toMatchObject({ status: 409, body: { error: { code: 'ORRERY_DUPLICATE_IN_FLIGHT' } } });
    served.openGate();
    const again = await Promise.all(asked.map((one) => served.insist(one)));
    expect(again.map(({ status, body }) => [status, body.message])).toEqual(asked.map(({ id }) => [200, `${id} 1`]));
    const ends = served.lines().filter((line) => line.includes(' end '));
    for (const namespace of sessions) {
      const its = ends.filter((line) => line.includes(`:${namespace} `)).map((line) => line.split(' ').at(-1));
      expect(its).toEqual([1, 2, 3].map((n) => `${namespace}${n}`));
      const history = await served.call('GET', `/api/sessions/${namespace}`);
      expect((history.body as { messages: { content: string }[] }).messages.map(({ content }) => content)).toEqual(
        [1, 2, 3].flatMap((n) => [`hold ${namespace}${n}`, `${namespace}${n} 1`]),
      );
    }
    expect(await messages(served)).toMatchObject({ recovered: 12, answered: 12, dead: 0, pending: 0 });
    const metrics = (await served.call('GET', '/metrics')).body;
    expect(metric(metrics, 'orrery_journal_accepted_total')).toBe(12);
    expect(metric(metrics, 'orrery_journal_answered_total')).toBe(12);
    expect(metric(metrics, 'orrery_journal_pending')).toBe(0);
  });

  test.each([
    ['is not run again', 0],
    ['is answered however old it is', 2 * HOUR_MS],
  ])('delivery - a turn that had committed %s: its reply is there under its id', async (_, ageMs) => {
    await using served = new ServedDir(CONFIG);
    await served.start();
    expect((await served.ask({ id: 'one', message: 'say one' })).body.message).toBe('one 1');
    await served.kill();
    // The session has the turn, and the journal is made to have lost every later state.
    const journal = new DatabaseSync(join(served.path('data'), 'journal.db'));
    const accepted = new AppendPacker();
    const inbound = {
      id: 'one',
      channel: 'web',
      namespace: 'web:s',
      message: { role: 'user', content: 'say one' },
      metadata: { gate: served.path('gate'), log: served.path('log') },
      receivedAt: Date.now(),
    } as const;
    accepted.add(1, { inbound, agent: 'actor' });
    const { numbers, keys, texts } = joinAppends([accepted]);
    const marks = new MarkPacker();
    marks.add(1, { status: 'dispatched', slot: 0, generation: 1, attempt: 1 }, 1);
    const { numbers: steps, texts: states } = marks.packed();
    const [first, ...others] = journal.prepare('SELECT row, keys FROM log ORDER BY row').all();
    expect(first?.['keys']).toBe(keys);
    for (const { row } of others) journal.prepare('DELETE FROM log WHERE row = ?').run(row ?? null);
    const changed = 'at = at - ?, appends = ?, marks = ?, states = ?, texts = ?';
    journal.prepare(`UPDATE log SET ${changed}`).run(ageMs, numbers, steps, states, texts);
    journal.close();
    const before = served.lines();
    await served.start();
    expect(await served.insist({ id: 'one', message: 'say one' })).toMatchObject({
      status: 200,
      body: { message: 'one 1' },
    });
    expect(served.lines()).toEqual(before);
  });

  test('delivery - what is too old when the host comes back is a dead letter, which can be put back or dropped', async () => {
    await using served = new ServedDir({ ...CONFIG, delivery: { maxAgeMs: 1 } });
    await served.start();
    const answers = ['one', 'two'].map((id) => served.ask({ id, message: `hold ${id}`, namespace: id }));
    for (const answer of answers) answer.catch(() => undefined);
    await begun(served, 2);
    await served.kill();
    await gone(answers);
    await served.start();
    expect(await served.insist({ id: 'one', message: 'hold one', namespace: 'one' })).toMatchObject({
      status: 504,
      body: { error: { code: 'ORRERY_EXPIRED', id: 'one' } },
    });
    const listed = await served.call('GET', '/api/dead-letters');
    const { deadLetters } = listed.body as { deadLetters: { id: string; reason: string; inbound: { id: string } }[] };
    expect(new Set(deadLetters.map(({ reason, inbound }) => `${reason} ${inbound.id}`))).toEqual(
      new Set(['expired one', 'expired two']),
    );
    served.openGate();
    const idOf = (id: string): string => deadLetters.find(({ inbound }) => inbound.id === id)?.id ?? '';
    expect((await served.call('POST', `/api/dead-letters/${idOf('one')}/replay`)).status).toBe(202);
    expect((await served.call('DELETE', `/api/dead-letters/${idOf('two')}`)).status).toBe(200);
    expect((await served.call('POST', `/api/dead-letters/${idOf('two')}/replay`)).status).toBe(404);
    expect(await served.insist({ id: 'one', message: 'hold one', namespace: 'one' })).toMatchObject({
      status: 200,
      body: { message: 'one 1' },
    });
    const { accepted, recovered, replayed, answered, dead, pending } = await messages(served);
    expect([recovered, replayed, answered, dead]).toEqual([2, 1, 1, 2]);
    expect(accepted + recovered + replayed).toBe(answered + dead + pending);
    const metrics = (await served.call('GET', '/metrics')).body;
    expect(metric(metrics, 'orrery_journal_dead_total')).toBe(2);
    expect(metric(metrics, 'orrery_dead_letters')).toBe(0);
  });
});

describe('SIGTERM', () => {
  test('shutdown - turns beyond the deadline are left to the next start, which answers them, and the exit code is 1', async () => {
    await using served = new ServedDir({ ...CONFIG, shutdown: { timeoutMs: 2_000, drainMs: 300 } });
    await served.start();
    const asked: Asked[] = Array.from({ length: 20 }, (_, i) => ({
      id: `m${i}`,
      message: `hold m${i}`,
      namespace: `s${i % 5}`,
    }));
    const answers = asked.map((one) => served.ask(one));
    await begun(served, 5);
    await eventually('all are accepted', async () => (await messages(served)).accepted === asked.length);
    served.process.child.kill('SIGTERM');
    // Whoever waits is told that it will be answered, and under which id.
    const told = await Promise.all(answers);
    expect(told.map(({ status, body }) => [status, body.error?.code, body.error?.id])).toEqual(
      asked.map(({ id }) => [503, 'ORRERY_INTERRUPTED', id]),
    );
    expect(told.map(({ headers }) => headers.get('x-should-retry'))).toEqual(told.map(() => 'false'));
    expect(await served.process.finished).toMatchObject({ code: 1, signal: null });
    served.openGate();
    await served.start();
    const again = await Promise.all(asked.map((one) => served.insist(one)));
    expect(again.map(({ body }) => body.message)).toEqual(asked.map(({ id }) => `${id} 1`));
    expect(await messages(served)).toMatchObject({ recovered: 20, answered: 20, dead: 0, pending: 0 });
    expect((await served.call('GET', '/api/dead-letters')).body).toEqual({ deadLetters: [] });
  });
});

describe('SIGTERM while the host starts', () => {
  test.each([
    { looks: 'fail', what: 'no look for its commit succeeds', code: 0 },
    // The thread that does not come back is killed, which is a stop that cut something off.
    { looks: 'hang', what: 'no look for its commit ends', code: 1 },
  ])(
    'shutdown - leaves what it was about to bury to the next start while $what, and exits with $code',
    async ({ looks, code }) => {
      await using served = new ServedDir({
        agents: { late: { use: fixture('looks-late'), env: ['GATE', 'LOG'] } },
        defaultAgent: 'late',
        workers: { threads: 1 },
        shutdown: { timeoutMs: 20_000, hostMs: 500 },
      });
      await served.start();
      const lost = served.ask({ id: 'lost', message: 'wait', namespace: 'lost' });
      lost.catch(() => undefined);
      await eventually('one is under way', () => served.lines().includes('begun wait'));
      const had = served.ask({ id: 'had', message: 'commit', namespace: 'had' });
      had.catch(() => undefined);
      await eventually('the other has committed', () => served.lines().includes('committed'));
      await served.kill();
      await gone([lost, had]);
      const journal = new DatabaseSync(join(served.path('data'), 'journal.db'));
      journal.prepare('UPDATE log SET at = at - ?').run(2 * HOUR_MS);
      journal.close();

      served.dir.write('looks', looks);
      const stopped = served.launch();
      await eventually('the start looks for commits', () => served.lines().includes('looked'));
      stopped.child.kill('SIGTERM');
      const end = await stopped.finished;
      expect(end).toMatchObject({ code, signal: null });
      expect(end.stdout).toContain('"drained"');
      // It neither came to serve, nor had to be ended at the deadline, nor buried anything.
      for (const text of ['the supervisor runs', '"level":"fatal"', 'ORRERY_EXPIRED']) {
        expect(end.stdout + end.stderr).not.toContain(text);
      }

      rmSync(served.path('looks'));
      await served.start();
      expect(await served.insist({ id: 'had', message: 'commit', namespace: 'had' })).toMatchObject({
        status: 200,
        body: { message: 'had committed' },
      });
      expect(await served.insist({ id: 'lost', message: 'wait', namespace: 'lost' })).toMatchObject({
        status: 504,
        body: { error: { code: 'ORRERY_EXPIRED', id: 'lost' } },
      });
      expect(await messages(served)).toMatchObject({ recovered: 2, answered: 1, dead: 1, pending: 0 });
      const metrics = (await served.call('GET', '/metrics')).body;
      expect(metric(metrics, 'orrery_journal_accepted_total')).toBe(2);
      expect(metric(metrics, 'orrery_journal_dead_total')).toBe(1);
    },
  );
});

describe('a file that takes no writes', () => {
  test('journal - a full one stops intake with a 503, what was acked is answered, and then it takes messages again', async () => {
    await using served = new ServedDir({ ...CONFIG, delivery: { maxJournalBytes: 400_000, mailboxSize: 1_000 } });
    await served.start();
    expect((await served.ask({ id: 'before', message: 'say before' })).body.message).toBe('before 1');
    const answers: Promise<Answer>[] = [];
    let full: Answer | undefined;
    // What waits for its turn takes room, until there is none.
    for (let i = 0; !full; i++) {
      const answer = served.ask({ id: `m${i}`, message: `keep ${'x'.repeat(20_000)}`, namespace: `s${i}` });
      answers.push(answer);
      const isAccepted = eventually('it is decided', async () => {
        const { accepted } = await messages(served);
        return accepted > i + 1 ? 'accepted' : undefined;
      });
      const first = await Promise.race([answer, isAccepted]);
      if (first !== 'accepted') full = first;
    }
    expect(full).toMatchObject({ status: 503, body: { error: { code: 'ORRERY_JOURNAL_FAILED' } } });
    expect(full.headers.get('retry-after')).toBe('1');
    const ready = await served.call('GET', '/readyz');
    expect(ready).toMatchObject({ status: 503, body: { ready: false } });
    expect(JSON.stringify(ready.body)).toContain('The journal does not take writes');
    expect((await served.call('GET', '/api/status')).body).toMatchObject({
      journal: { kind: 'sqlite', status: 'failed' },
    });
    // What it has counted is told meanwhile, also to the first who asks.
    const { accepted } = await messages(served);
    const { body: metrics } = await served.call('GET', '/metrics');
    expect(metrics).toContain('orrery_journal_up 0');
    expect(metrics).toContain(`orrery_journal_accepted_total ${accepted}\n`);
    // Who comes again has what there is.
    const again = await served.ask({ id: 'before', message: 'say before' });
    expect(again).toMatchObject({ status: 200, body: { message: 'before 1' } });
    const early = await served.ask({ id: 'm0', message: `keep ${'x'.repeat(20_000)}`, namespace: 's0' });
    expect(early).toMatchObject({ status: 409, body: { error: { code: 'ORRERY_DUPLICATE_IN_FLIGHT' } } });

    served.openGate();
    const acked = await Promise.all(answers.slice(0, -1));
    expect(acked.map(({ status }) => status)).toEqual(acked.map(() => 200));
    await eventually('it takes messages again', async () => (await served.call('GET', '/readyz')).status === 200);
    expect((await served.ask({ id: 'after', message: 'say after' })).body.message).toBe('after 1');
  });

  test('journal - a damaged one is a clear error at the start, and nothing runs', async () => {
    await using served = new ServedDir(CONFIG);
    await served.start();
    await served.ask({ id: 'one', message: 'say one' });
    await served.kill();
    const data = served.path('data');
    for (const name of readdirSync(data)) if (name.startsWith('journal.db-')) writeFileSync(join(data, name), '');
    writeFileSync(join(data, 'journal.db'), Buffer.alloc(statSync(join(data, 'journal.db')).size, 0x5a));
    await expect(served.start()).rejects.toThrow('journal.db');
    expect(await served.process.finished).toMatchObject({ code: 2 });
  });
});
