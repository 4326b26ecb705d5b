import { expect, test } from 'vitest';
import { Mailboxes } from '../../src/main/delivery/mailbox.ts';

test('mailboxes - one that still sends is kept, and those that hold nothing are let go when they are many', () => {
  const mailboxes = new Mailboxes<string>();
  const sending = mailboxes.open('a', 'sends');
  sending.sending = Promise.resolve();
  mailboxes.release(sending);
  const waiting = mailboxes.open('a', 'waits');
  waiting.push('one');
  mailboxes.release(waiting);
  expect(mailboxes.size).toBe(2);
  const idle = mailboxes.open('a', 'idle');
  mailboxes.release(idle);
  expect(mailboxes.open('a', 'idle')).toBe(idle);
  mailboxes.release(idle);
  for (let i = 0; i < 2_000; i++) mailboxes.release(mailboxes.open('a', `s${i}`));
  expect(mailboxes.size).toBe(2);
  expect(mailboxes.open('a', 'idle')).not.toBe(idle);
  expect(mailboxes.open('a', 'sends')).toBe(sending);
  expect(mailboxes.open('a', 'waits')).toBe(waiting);
  expect(mailboxes.size).toBe(3);
});
