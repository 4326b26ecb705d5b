/**
 * Owns the four state machines of the host: connection, slot, agent, delivery. Each is a discriminated union on `status`,
 * its events, and a pure transition function. `undefined` means that the event does not apply in that state: late
 * events (an exit after a kill, an answer after a cancel) are dropped by the caller, never guessed at.
 */
import type { DeliveryId, Reply } from './messages.ts';
import type { WireError } from './errors.ts';

// Connection

export type ConnectionState =
  | { readonly status: 'idle' }
  | { readonly status: 'connecting'; readonly attempt: number }
  | { readonly status: 'open'; readonly since: number }
  | { readonly status: 'waiting'; readonly attempt: number; readonly retryAt: number; readonly cause: WireError }
  | { readonly status: 'draining'; readonly deadline: number }
  | { readonly status: 'closed'; readonly reason: ConnectionCloseReason; readonly cause?: WireError };

/** `stopped`: by its owner. `ended`: the input ended by itself. `failed`: an error that no retry mends. */
export type ConnectionCloseReason = 'stopped' | 'ended' | 'failed';

export type ConnectionEvent =
  | { readonly type: 'connect' }
  | { readonly type: 'opened'; readonly at: number }
  | { readonly type: 'lost'; readonly retryAt: number; readonly cause: WireError }
  | { readonly type: 'drain'; readonly deadline: number }
  | { readonly type: 'close'; readonly reason: ConnectionCloseReason; readonly cause?: WireError };

export function transitionConnection(state: ConnectionState, event: ConnectionEvent): ConnectionState | undefined {
  if (state.status === 'closed') return undefined;
  switch (event.type) {
    case 'connect':
      if (state.status === 'idle') return { status: 'connecting', attempt: 1 };
      return state.status === 'waiting' ? { status: 'connecting', attempt: state.attempt + 1 } : undefined;
    case 'opened':
      return state.status === 'connecting' ? { status: 'open', since: event.at } : undefined;
    case 'lost': {
      const { retryAt, cause } = event;
      if (state.status === 'connecting') return { status: 'waiting', attempt: state.attempt, retryAt, cause };
      return state.status === 'open' ? { status: 'waiting', attempt: 0, retryAt, cause } : undefined;
    }
    case 'drain':
      return state.status === 'draining' ? undefined : { status: 'draining', deadline: event.deadline };
    case 'close':
      return { status: 'closed', reason: event.reason, ...(event.cause === undefined ? {} : { cause: event.cause }) };
  }
}

// Slot

/** `clean`: ended as asked. `crashed`: an uncaught error or an exit. `killed`: by the supervisor. `oom`: heap limit. */
export type SlotExit = 'clean' | 'crashed' | 'killed' | 'oom';

export type SlotState =
  | { readonly status: 'starting'; readonly generation: number }
  | { readonly status: 'ready'; readonly generation: number; readonly since: number }
  | { readonly status: 'unresponsive'; readonly generation: number; readonly since: number }
  | { readonly status: 'draining'; readonly generation: number }
  | { readonly status: 'exited'; readonly generation: number; readonly exit: SlotExit };

export type SlotEvent =
  | { readonly type: 'ready'; readonly at: number }
  | { readonly type: 'silent'; readonly at: number }
  | { readonly type: 'beat'; readonly at: number }
  | { readonly type: 'drain' }
  | { readonly type: 'exit'; readonly exit: SlotExit }
  | { readonly type: 'restart' };

export function transitionSlot(state: SlotState, event: SlotEvent): SlotState | undefined {
  const { generation } = state;
  if (state.status === 'exited') {
    return event.type === 'restart' ? { status: 'starting', generation: generation + 1 } : undefined;
  }
  switch (event.type) {
    case 'ready':
      return state.status === 'starting' ? { status: 'ready', generation, since: event.at } : undefined;
    case 'silent':
      return state.status === 'ready' ? { status: 'unresponsive', generation, since: event.at } : undefined;
    case 'beat':
      return state.status === 'unresponsive' ? { status: 'ready', generation, since: event.at } : undefined;
    case 'drain':
      return state.status === 'draining' ? undefined : { status: 'draining', generation };
    case 'exit':
      return { status: 'exited', generation, exit: event.exit };
    case 'restart':
      return undefined;
  }
}

// Agent

export type AgentState =
  | { readonly status: 'starting' }
  | { readonly status: 'idle' }
  | { readonly status: 'busy' }
  | { readonly status: 'draining' }
  | { readonly status: 'stopped' }
  | { readonly status: 'failed'; readonly error: WireError }
  | { readonly status: 'backoff'; readonly error: WireError; readonly restartAt: number }
  | { readonly status: 'quarantined'; readonly error: WireError }
  | { readonly status: 'escalated'; readonly error: WireError };

export type AgentEvent =
  | { readonly type: 'started' }
  | { readonly type: 'turns'; readonly running: number }
  | { readonly type: 'failed'; readonly error: WireError }
  | { readonly type: 'backoff'; readonly restartAt: number }
  | { readonly type: 'quarantine' }
  | { readonly type: 'escalate' }
  | { readonly type: 'drain' }
  | { readonly type: 'stopped' }
  | { readonly type: 'restart' };

export function transitionAgent(state: AgentState, event: AgentEvent): AgentState | undefined {
  const { status } = state;
  switch (event.type) {
    case 'started':
      return status === 'starting' ? { status: 'idle' } : undefined;
    case 'turns': {
      if (status !== 'idle' && status !== 'busy') return undefined;
      const next = event.running > 0 ? 'busy' : 'idle';
      return next === status ? undefined : { status: next };
    }
    case 'failed':
      return status === 'stopped' || status === 'escalated' ? undefined : { status: 'failed', error: event.error };
    case 'backoff':
      return status === 'failed' ? { status: 'backoff', error: state.error, restartAt: event.restartAt } : undefined;
    case 'quarantine':
      return status === 'failed' ? { status: 'quarantined', error: state.error } : undefined;
    case 'escalate':
      return status === 'failed' || status === 'quarantined' ? { status: 'escalated', error: state.error } : undefined;
    case 'drain':
      return status === 'starting' || status === 'idle' || status === 'busy' ? { status: 'draining' } : undefined;
    case 'stopped':
      return status === 'stopped' || status === 'escalated' ? undefined : { status: 'stopped' };
    case 'restart':
      return status === 'starting' || status === 'draining' ? undefined : { status: 'starting' };
  }
}

// Delivery

/** Why a delivery was given up. `shutdown` occurs with the in-memory journal only. */
export type DeadReason =
  | 'expired'
  | 'exhausted'
  | 'poison'
  | 'agent-error'
  | 'agent-stopped'
  | 'undeliverable'
  | 'cancelled'
  | 'shutdown';

export type DeliveryState =
  | { readonly status: 'accepted' }
  | { readonly status: 'dispatched'; readonly slot: number; readonly generation: number; readonly attempt: number }
  | { readonly status: 'retrying'; readonly at: number; readonly attempt: number; readonly cause: WireError }
  | { readonly status: 'committed'; readonly reply: Reply }
  | { readonly status: 'answered'; readonly reply: Reply; readonly by?: DeliveryId }
  | { readonly status: 'dead'; readonly reason: DeadReason; readonly error?: WireError };

export type DeliveryEvent =
  | { readonly type: 'dispatch'; readonly slot: number; readonly generation: number; readonly attempt: number }
  | { readonly type: 'retry'; readonly at: number; readonly attempt: number; readonly cause: WireError }
  | { readonly type: 'commit'; readonly reply: Reply }
  /** An attempt had committed, and its outcome was lost with its slot or its process. */
  | { readonly type: 'find'; readonly reply: Reply }
  | { readonly type: 'answer'; readonly by?: DeliveryId }
  | { readonly type: 'die'; readonly reason: DeadReason; readonly error?: WireError };

export function transitionDelivery(state: DeliveryState, event: DeliveryEvent): DeliveryState | undefined {
  const { status } = state;
  if (status === 'answered' || status === 'dead') return undefined;
  switch (event.type) {
    case 'dispatch': {
      if (status !== 'accepted' && status !== 'retrying') return undefined;
      return { status: 'dispatched', slot: event.slot, generation: event.generation, attempt: event.attempt };
    }
    case 'retry': {
      if (status !== 'dispatched') return undefined;
      return { status: 'retrying', at: event.at, attempt: event.attempt, cause: event.cause };
    }
    case 'commit':
      return status === 'dispatched' ? { status: 'committed', reply: event.reply } : undefined;
    case 'find':
      return status === 'committed' ? undefined : { status: 'committed', reply: event.reply };
    case 'answer': {
      if (status !== 'committed') return undefined;
      // Every message comes by here: no spread of what is seldom there.
      const { reply } = state;
      return event.by === undefined ? { status: 'answered', reply } : { status: 'answered', reply, by: event.by };
    }
    case 'die':
      return { status: 'dead', reason: event.reason, ...(event.error === undefined ? {} : { error: event.error }) };
  }
}
