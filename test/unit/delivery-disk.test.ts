/** What delivery makes of turns that cannot commit because the disk takes no writes. */
import { expect, test, vi } from 'vitest';
import { MemoryJournal } from '../../src/main/delivery/index.ts';
import type { JournalHealth } from '../../src/main/delivery/journal.ts';
import { OrreryError } from '../../src/protocol/index.ts';
import { DeliveryUnderTest, tick } from '../support/delivery.ts';

const FULL = new OrreryError('ORRERY_DATABASE_FAILED', 'The disk is full');

class Journal extends MemoryJournal {
  override health: JournalHealth = { status: 'ok' };
  checks = 0;

  check(): void {
    this.checks += 1;
  }
}

function journalOf(): Journal {
  return new Journal({ dedupeRetentionMs: 1_000, replyRetentionMs: 1_000, idPrefix: 't', maxDeadLetters: 10 });
}

const FAILED: JournalHealth = {
  status: 'failed',
  error: new OrreryError('ORRERY_JOURNAL_FAILED', 'full'),
  since: 0,
};

test('retry - a turn that cannot commit is run again once the journal takes writes too, uncounted; after that it counts', async () => {
  const journal = journalOf();
  const d = new DeliveryUnderTest({ journal, maxAttempts: 1, retry: { minMs: 0, maxMs: 1, jitter: 0 } });
  const { id } = await d.send('one');
  await vi.waitFor(() => expect(d.slot.begun).toHaveLength(1));
  for (let tries = 2; tries < 5; tries++) {
    journal.health = FAILED;
    await d.fail('one', FULL);
    // Many delays pass, and nobody is asked.
    for (let i = 0; i < 10; i++) await tick();
    expect(d.slot.begun).toHaveLength(tries - 1);
    journal.health = { status: 'ok' };
    await vi.waitFor(() => expect(d.slot.begun).toHaveLength(tries));
  }
  expect(d.slot.begun.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1]);
  expect(d.origin.heard).toEqual([]);
  await d.fail('one', FULL);
  // It was asked to look whether the disk is at fault, and knew of nothing.
  expect(journal.checks).toBe(1);
  expect(d.letters.get(id)).toMatchObject({ reason: 'exhausted', attempts: 1 });
  expect(d.origin.heard).toEqual(['ORRERY_DATABASE_FAILED']);
});

test('quarantine - a suspect whose slot finds no disk is tried once the journal takes writes, and not given up before', async () => {
  const journal = journalOf();
  const d = new DeliveryUnderTest({ journal, maxAttempts: 1, retry: { minMs: 0, maxMs: 1, jitter: 0 } });
  for (const text of ['one', 'two']) await d.send(text, text, { id: text });
  await vi.waitFor(() => expect(d.slot.begun).toHaveLength(2));
  journal.health = FAILED;
  d.quarantine.closed = new OrreryError('ORRERY_WORKER_EXITED', 'no file');
  await d.crash(d.slot, { code: 'ORRERY_WORKER_UNRESPONSIVE' });
  // Many delays pass, and nobody is tried again.
  for (let i = 0; i < 20; i++) await tick();
  expect(d.quarantine.opened).toHaveLength(2);
  d.quarantine.closed = undefined;
  journal.health = { status: 'ok' };
  // One at a time, in the order in which their delays end.
  for (let i = 0; i < 2; i++) {
    await vi.waitFor(() => expect(d.quarantine.slot.running.size).toBe(1));
    const [turn] = d.quarantine.slot.running.values();
    await d.reply(turn?.message.content ?? '');
  }
  expect(d.origin.heard.toSorted()).toEqual(['one', 'two']);
  expect(d.letters.list()).toEqual([]);
});

test('quarantine - a suspect that finds no slot has the journal look whether the disk is at fault, each time', async () => {
  const journal = journalOf();
  const d = new DeliveryUnderTest({ journal, maxAttempts: 2 });
  for (const text of ['one', 'two']) await d.send(text, text, { id: text });
  await tick();
  d.quarantine.closed = new OrreryError('ORRERY_WORKER_EXITED', 'no file');
  await d.crash(d.slot, { code: 'ORRERY_WORKER_UNRESPONSIVE' });
  await vi.waitFor(() => expect(d.letters.list()).toHaveLength(2));
  expect(journal.checks).toBe(4);
});
