/** Owns how a slot looks to delivery. One object for a slot, whatever its generation. */
import type { TurnHost } from '../delivery/index.ts';
import type { Slot } from '../pool/index.ts';

const HOSTS = new WeakMap<Slot, TurnHost>();

export function turnHostOf(slot: Slot): TurnHost {
  const known = HOSTS.get(slot);
  if (known) return known;
  const host: TurnHost = {
    number: slot.number,
    label: slot.label,
    get generation() {
      return slot.generation;
    },
    dispatch: (turns) => slot.dispatch(turns),
    cancel: (turns, cause) => slot.remote.host.cancel(turns, cause),
    steer: (turn, messages) => slot.remote.host.steer(turn, messages),
    unsteer: (turn, deliveries) => slot.remote.host.unsteer(turn, deliveries),
  };
  HOSTS.set(slot, host);
  return host;
}
