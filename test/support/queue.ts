/** Owns what tests of the queue modes share: sending in a mode, and seeing which messages shared a turn. */
import { type InboundMessage, OrreryError, type QueueMode } from '../../src/protocol/index.ts';
import { type DeliveryUnderTest, tick } from './delivery.ts';

export const AGAIN: OrreryError = new OrreryError('ORRERY_MODEL_UNAVAILABLE', 'not now');
export const FINAL: OrreryError = new OrreryError('ORRERY_AGENT_FAILED', 'broken');
export const SUPERSEDED: OrreryError = new OrreryError('ORRERY_SUPERSEDED', 'a newer message came');
export const CANCELLED: OrreryError = new OrreryError('ORRERY_CANCELLED', 'cancelled');

export const CONTEXT = { mode: 'append', messages: [] } as const;

export function balanced(d: DeliveryUnderTest): boolean {
  const m = d.account.snapshot();
  return (
    m.received === m.rejected + m.inIntake + m.accepted &&
    m.accepted === m.answered + m.dead + m.pending &&
    m.pending === d.engine.pending
  );
}

/** Sends texts one after another, each under itself as its id, and returns the deliveries' ids. */
export async function send(
  d: DeliveryUnderTest,
  queue: QueueMode,
  texts: readonly string[],
  over: Partial<InboundMessage> = {},
): Promise<readonly string[]> {
  const ids: string[] = [];
  for (const text of texts) ids.push((await d.send(text, 'alice', { id: text, queue, ...over })).id);
  await tick();
  return ids;
}

/** The texts of the turns that were begun, those that share one joined with `+`. */
export function begun(d: DeliveryUnderTest): readonly string[] {
  return d.begun.map(({ message, joined = [] }) =>
    [message.content, ...joined.map((other) => other.message.content)].join('+'),
  );
}

/** What is offered to the running turn of a text. */
export function offered(d: DeliveryUnderTest, lead: string): readonly string[] {
  return (d.slot.steered.get(d.slot.turn(lead).turn) ?? []).map(({ message }) => message.content);
}

/** What each sender heard, in order. */
export function heard(d: DeliveryUnderTest): readonly string[] {
  return d.origin.answers.map(({ to, text }) => `${to}:${text}`);
}
