/** Owns the record of one delivery while it is unfinished, and the error that follows from its end. */
import {
  type CancelCause,
  type DeadReason,
  type DeliveryEvent,
  type DeliveryId,
  type DeliveryListener,
  type DeliveryState,
  type InboundMessage,
  OrreryError,
  type OutboundTarget,
  type QueueMode,
  type RuntimeId,
  type TurnKey,
  type WireError,
  toWire,
  transitionDelivery,
} from '../../protocol/index.ts';
import type { BeforeAck } from './before-ack.ts';
import type { Mailbox } from './mailbox.ts';
import type { Origin } from './origin.ts';
import type { Suspicion } from './suspicion.ts';

/** Why a delivery is given up by its caller or its host. */
export type AbortCause = Exclude<CancelCause, 'superseded'>;

const ACCEPTED: DeliveryState = { status: 'accepted' };

export class Delivery {
  readonly id: DeliveryId;
  /** Counts the deliveries of this process in order of acceptance. */
  readonly number: number;
  readonly inbound: InboundMessage;
  readonly agent: string;
  origin: Origin;
  listener: DeliveryListener | undefined;
  readonly mailbox: Mailbox<Delivery>;
  readonly mode: QueueMode;
  /** Names it among the unfinished ones. */
  key = -1;
  state: DeliveryState = ACCEPTED;
  /** Attempts that count: a neighbour's crash does not. */
  attempts = 0;
  /** It was in the journal and in no process, and was taken over. */
  adopted = false;
  /** It was offered to a running turn, which may have answered it, though it was never dispatched. */
  offered = false;
  /** Ends of earlier processes, other than clean ones, that it was unfinished at. */
  crashes = 0;
  /** Place in the order in which its slot's generation was given turns; the worker counts what it began alike. */
  sequence = 0;
  /** Names its present turn on its slot. */
  turn: TurnKey = -1;
  runtime: RuntimeId | undefined;
  /** Set when it was cancelled in a running turn: whatever becomes of that attempt, there is no other one. */
  aborted: AbortCause | undefined;
  /** Its running turn was told to end, so that it begins again with a newer message. */
  superseded = false;
  /** Shares no turn any more: one that it shared was too large for the model's context, and alone it shows whether it is itself. */
  unshared = false;
  /** It may have ended a slot, or its agent runs nowhere else: it runs in quarantine, and shares no turn meanwhile. */
  suspicion: Suspicion | undefined;
  /** Times that it was to be run in quarantine and no slot could be had. */
  unopened = 0;
  /** The delivery whose turn answered this one as well. */
  by: DeliveryId | undefined;
  /** Characters of the present attempt's text that the listener has. */
  sentChars = 0;
  typing: Disposable | undefined;
  /** Set while its sender does not know yet that it is accepted. */
  beforeAck: BeforeAck | undefined;
  retryTimer: NodeJS.Timeout | undefined;

  constructor(
    id: DeliveryId,
    number: number,
    inbound: InboundMessage,
    agent: string,
    origin: Origin,
    mailbox: Mailbox<Delivery>,
    listener?: DeliveryListener,
  ) {
    this.id = id;
    this.number = number;
    this.inbound = inbound;
    this.agent = agent;
    this.origin = origin;
    this.mailbox = mailbox;
    this.listener = listener;
    this.mode = inbound.queue ?? origin.queue?.(inbound.namespace) ?? 'followup';
  }

  get target(): OutboundTarget {
    const { channel, account, namespace, id: inReplyTo, metadata } = this.inbound;
    const target = { channel, namespace, inReplyTo, metadata };
    return account === undefined ? target : { ...target, account };
  }

  /** All that is left is to tell its sender, and often not even that: a sender inside the process hears at once. */
  get over(): boolean {
    const { status } = this.state;
    return status === 'committed' || status === 'answered' || status === 'dead';
  }

  /** Moves on; false when the event does not apply any more (the delivery was cancelled meanwhile, say). */
  apply(event: DeliveryEvent): boolean {
    const next = transitionDelivery(this.state, event);
    if (!next) return false;
    this.state = next;
    return true;
  }
}

/** How a delivery is given up. */
export type Death = readonly [reason: DeadReason, error: WireError];

/** Why a delivery dies of an error that is not tried again. */
export function deadReason(code: string | undefined): DeadReason {
  switch (code) {
    case 'ORRERY_CANCELLED':
      return 'cancelled';
    case 'ORRERY_INTERRUPTED':
      return 'shutdown';
    case 'ORRERY_AGENT_STOPPED':
    case 'ORRERY_AGENT_ESCALATED':
      return 'agent-stopped';
    case undefined:
    default:
      return 'agent-error';
  }
}

/** The end of a delivery that is given up before its turn, or instead of another attempt. */
export function abortion(cause: AbortCause): Death {
  const error =
    cause === 'cancelled'
      ? new OrreryError('ORRERY_CANCELLED', 'The message was cancelled before its turn')
      : new OrreryError('ORRERY_INTERRUPTED', 'The host stopped');
  return [deadReason(error.code), toWire(error)];
}

/** The end of a delivery that has no attempt left, or may have none. */
export function exhaustion(delivery: Delivery, error: WireError, reason: DeadReason): Death {
  return [reason, withDetails(error, { attempts: delivery.attempts })];
}

/** Adds facts to an error without changing what it says. */
export function withDetails(error: WireError, details: Readonly<Record<string, string | number>>): WireError {
  return { ...error, details: { ...error.details, ...details } };
}
