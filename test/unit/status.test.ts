/** What `orrery status` tells people. */
import { expect, test } from 'vitest';
import { accountText } from '../../src/main/cli/status.ts';
import { Account } from '../../src/main/delivery/account.ts';

test('status - the account is told so that both sums can be checked, also after a replay', () => {
  const account = {
    ...new Account().snapshot(),
    received: 5,
    rejected: 2,
    inIntake: 1,
    accepted: 2,
    recovered: 1,
    replayed: 1,
    answered: 2,
    dead: 1,
    pending: 1,
    rejectedBy: { duplicate: 2 },
    deadBy: { poison: 1 },
  };
  expect(accountText(account)).toBe(
    '5 received, 2 rejected (duplicate 2), 1 in intake, 2 accepted; 1 recovered, 1 replayed, 2 answered, 1 dead (poison 1), 1 pending',
  );
  expect(accountText({ ...account, recovered: 0, replayed: 0 })).toContain('2 accepted; 2 answered');
});
