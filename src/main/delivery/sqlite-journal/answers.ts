/** Owns what intake is answered about a message that is in the journal already. */
import {
  type Accepted,
  type DeliveryId,
  type DeliveryState,
  type InboundMessage,
  OrreryError,
} from '../../../protocol/index.ts';
import { stateOf } from './packed-work.ts';
import type { KnownDelivery } from './packed.ts';

/** `known` is null where the key is taken by another body. `marked` tells a state that may not be in the file yet. */
export function answerOf(
  known: KnownDelivery | null,
  inbound: InboundMessage,
  marked: (id: DeliveryId) => DeliveryState | undefined,
): Accepted | Error {
  if (!known) {
    return new OrreryError(
      'ORRERY_ID_CONFLICT',
      `The id ${JSON.stringify(inbound.id)} was used before with another body`,
    );
  }
  const { id, agent } = known;
  const state = marked(id) ?? stateOf(known.status, known.state, known.reply);
  if (state.status === 'dead') {
    const error = state.error ?? { name: 'OrreryError', code: 'ORRERY_INTERRUPTED', message: state.reason };
    return { status: 'duplicate', id, agent, state: 'dead', error };
  }
  if (state.status !== 'committed' && state.status !== 'answered') {
    return { status: 'duplicate', id, agent, state: 'pending' };
  }
  const reply = { ...state.reply, id, agent, namespace: inbound.namespace };
  const by = state.status === 'answered' ? state.by : undefined;
  return { status: 'duplicate', id, agent, state: 'answered', reply: by === undefined ? reply : { ...reply, by } };
}
