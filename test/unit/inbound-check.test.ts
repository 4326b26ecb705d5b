/** What counts toward the size of a message: everything that is said, in parts and in the context too. */
import { describe, expect, test } from 'vitest';
import { checkInbound } from '../../src/main/delivery/inbound-check.ts';
import type { InboundMessage } from '../../src/protocol/index.ts';
import { inbound } from '../support/channels.ts';

const TOO_LARGE = expect.objectContaining({ code: 'ORRERY_TOO_LARGE' });
const BOUND = 100;

/** Messages that are exactly as long as given, each in another place. */
const PLACES: readonly (readonly [string, (text: string) => Partial<InboundMessage>])[] = [
  ['the content', (content) => ({ message: { role: 'user', content } })],
  ['a text part', (text) => ({ message: { role: 'user', content: '', parts: [{ type: 'text', text }] } })],
  ['an address', (url) => ({ message: { role: 'user', content: '', parts: [{ type: 'image', url }] } })],
  [
    'a part of the context',
    (text) => ({
      message: { role: 'user', content: '' },
      context: { mode: 'append', messages: [{ role: 'user', content: '', parts: [{ type: 'text', text }] }] },
    }),
  ],
];

function check(over: Partial<InboundMessage>): void {
  checkInbound(inbound(over), BOUND);
}

describe('the size of a message', () => {
  test.each(PLACES)('inbound - %s counts in bytes, up to the bound and not beyond', (_, make) => {
    check(make('x'.repeat(BOUND)));
    check(make('€'.repeat(33)));
    expect(() => check(make('x'.repeat(BOUND + 1)))).toThrow(TOO_LARGE);
    expect(() => check(make('€'.repeat(34)))).toThrow(TOO_LARGE);
  });

  test('inbound - content and all parts count together', () => {
    const half = 'x'.repeat(BOUND / 2);
    const parts = [{ type: 'image', url: half } as const];
    check({ message: { role: 'user', content: half, parts } });
    expect(() => check({ message: { role: 'user', content: `${half}x`, parts } })).toThrow(TOO_LARGE);
    expect(() => check({ message: { role: 'user', content: 'x', parts: [...parts, ...parts] } })).toThrow(TOO_LARGE);
  });
});
