/** Owns what those who listen to a delivery hear while it runs: its text, that the text is taken back, that somebody works on it. */
import type { Logger } from 'pino';
import type { Delivery } from './delivery.ts';
import { nobody } from './origin.ts';

/** Hands text of the present attempt to the listener. */
export function tell(delivery: Delivery, text: string, log: Logger): void {
  if (!delivery.listener?.delta || text === '') return;
  delivery.sentChars += text.length;
  if (delivery.beforeAck) delivery.beforeAck.text += text;
  else guard(delivery, log, () => delivery.listener?.delta?.(text));
}

/** Takes back what the listener heard of an attempt that failed. */
export function forget(delivery: Delivery, log: Logger): void {
  if (delivery.sentChars === 0) return;
  delivery.sentChars = 0;
  if (delivery.beforeAck) delivery.beforeAck.text = '';
  else guard(delivery, log, () => delivery.listener?.reset?.());
}

/** Shows that somebody works on it. */
export function showTyping(delivery: Delivery): void {
  if (!delivery.beforeAck) delivery.typing = delivery.origin.typing?.(delivery.target);
}

/** Its sender was told that it is not accepted: nobody hears of it. */
export function unheard(delivery: Delivery): void {
  delivery.origin = { ...nobody(), book: delivery.origin.book };
  delivery.listener = undefined;
}

/** Lets the sender hear what waited for the acceptance. */
export function acked(delivery: Delivery, log: Logger): void {
  const { beforeAck } = delivery;
  if (!beforeAck) return;
  delivery.beforeAck = undefined;
  if (beforeAck.text !== '') guard(delivery, log, () => delivery.listener?.delta?.(beforeAck.text));
  beforeAck.release();
  // Not of those that were joined to its turn: it is shown once, and taken back with the turn's lead.
  if (delivery.state.status === 'dispatched' && delivery.mailbox.active === delivery) showTyping(delivery);
}

/** Ends the typing indicator. */
export function quiet(delivery: Delivery): void {
  delivery.typing?.[Symbol.dispose]();
  delivery.typing = undefined;
}

/** A channel's fault must not stop the outcomes behind it. */
function guard(delivery: Delivery, log: Logger, work: () => void): void {
  try {
    work();
  } catch (error) {
    log.error({ delivery: delivery.id, err: error }, 'a listener of a channel threw');
  }
}
