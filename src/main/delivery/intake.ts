/**
 * Owns the way in: it checks a message, keeps a place for it, has it journalled, and hands it on. What fails here is
 * rejected, counted by its code and never silent; what passed is accepted, and from then on never lost.
 *
 * Messages of one moment go to the journal together. Where a journal says that a message is written before it is durable, its turn begins then, and all
 * that its sender would hear of it waits for the acceptance: see `before-ack.ts`.
 */
import {
  type Accepted,
  type DeliveryListener,
  type InboundMessage,
  Namespace,
  OrreryError,
  asOrreryError,
} from '../../protocol/index.ts';
import type { Logger } from 'pino';
import type { Account } from './account.ts';
import { type AdmissionControl, MIN_SHED_MS } from './admission.ts';
import { BeforeAck } from './before-ack.ts';
import type { Delivery } from './delivery.ts';
import type { DeliveryEngine } from './engine.ts';
import type { Admission, Journal } from './journal.ts';
import { checkInbound } from './inbound-check.ts';
import { acked, unheard } from './listening.ts';
import type { Mailbox } from './mailbox.ts';
import type { Origin } from './origin.ts';

export interface IntakeOptions {
  readonly engine: DeliveryEngine;
  readonly journal: Journal;
  readonly account: Account;
  readonly admission: AdmissionControl;
  readonly log: Logger;
  /** Messages waiting in one session. */
  readonly mailboxSize: number;
  /** Bytes of one message's text. */
  readonly maxMessageBytes: number;
}

/** Finds the agent of a message; throws when there is none. */
export type Route = (inbound: InboundMessage) => string;

interface Waiting {
  readonly admission: Admission;
  readonly mailbox: Mailbox<Delivery>;
  readonly origin: Origin;
  readonly listener: DeliveryListener | undefined;
  readonly resolve: (accepted: Accepted) => void;
  readonly reject: (error: Error) => void;
  /** Its turn may run already. */
  begun: Delivery | undefined;
}

export class Intake {
  readonly #options: IntakeOptions;
  #refusal: OrreryError | undefined = new OrreryError('ORRERY_STARTING', 'The supervisor is still starting', {
    retryAfterMs: MIN_SHED_MS,
  });
  #batch: Waiting[] = [];
  /** Batches that are accepted and whose senders hear in a moment what became of them. */
  #acking = 0;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** Undefined while messages are taken in. */
  get refusal(): OrreryError | undefined {
    return this.#refusal;
  }

  open(): void {
    this.#refusal = undefined;
  }

  /** Refuses everything from now on with `error`. What passed before is not touched. */
  close(error: OrreryError): void {
    this.#refusal = error;
  }

  /** Throws what a message of a session would be refused with now, for one that comes back by another way than intake. */
  checkRoom(agent: string, namespace: string): void {
    if (this.#refusal) throw this.#refusal;
    const { engine } = this.#options;
    const mailbox = engine.mailbox(agent, namespace);
    try {
      this.#checkRoom(mailbox, namespace, 1);
    } finally {
      engine.release(mailbox);
    }
  }

  /** Takes a message in; rejects with a typed error when it is refused. */
  async accept(inbound: InboundMessage, route: Route, origin: Origin, listener?: DeliveryListener): Promise<Accepted> {
    return this.take(inbound, route, origin, listener);
  }

  /** As {@link accept}, but answers at once, or throws, where the journal does: a promise is a detour on the hot path. */
  take(
    inbound: InboundMessage,
    route: Route,
    origin: Origin,
    listener?: DeliveryListener,
  ): Accepted | Promise<Accepted> {
    const { account, engine, journal } = this.#options;
    account.received += 1;
    account.inIntake += 1;
    let mailbox: Mailbox<Delivery> | undefined;
    try {
      const agent = this.#admit(inbound, route);
      mailbox = engine.mailbox(agent, inbound.namespace);
      this.#checkRoom(mailbox, inbound.namespace, 0);
      const admission = { inbound, agent };
      if (journal.appendNow) return this.#taken(journal.appendNow(admission), inbound, mailbox, origin, listener);
      return this.#takeLater(admission, mailbox, origin, listener);
    } catch (error) {
      throw this.#rejection(error, mailbox);
    }
  }

  #takeLater(
    admission: Admission,
    mailbox: Mailbox<Delivery>,
    origin: Origin,
    listener: DeliveryListener | undefined,
  ): Promise<Accepted> {
    mailbox.reserved += 1;
    return new Promise((resolve, reject) => {
      this.#batch.push({ admission, mailbox, origin, listener, resolve, reject, begun: undefined });
      // What comes in one tick goes in one call; how much of it is one transaction is the journal's affair.
      if (this.#batch.length === 1) queueMicrotask(() => this.#append());
    });
  }

  #taken(
    answer: Accepted | Error,
    inbound: InboundMessage,
    mailbox: Mailbox<Delivery>,
    origin: Origin,
    listener: DeliveryListener | undefined,
  ): Accepted {
    const { account, engine } = this.#options;
    if (answer instanceof Error) throw answer;
    account.inIntake -= 1;
    if (answer.status === 'duplicate') {
      account.reject('duplicate');
      engine.release(mailbox);
    } else {
      account.accepted += 1;
      engine.enqueue(answer, inbound, mailbox, origin, listener);
    }
    return answer;
  }

  #rejection(error: unknown, mailbox: Mailbox<Delivery> | undefined): OrreryError {
    const { account, engine } = this.#options;
    if (mailbox) engine.release(mailbox);
    account.inIntake -= 1;
    const refused = asOrreryError(error, 'ORRERY_INTERNAL');
    account.reject(refused.code);
    return refused;
  }

  #admit(inbound: InboundMessage, route: Route): string {
    if (this.#refusal) throw this.#refusal;
    checkInbound(inbound, this.#options.maxMessageBytes);
    // Only a key that cannot be read is read, for its error.
    if (!Namespace.isKey(inbound.namespace)) Namespace.parse(inbound.namespace);
    return route(inbound);
  }

  #checkRoom(mailbox: Mailbox<Delivery>, namespace: string, more: number): void {
    const { engine, mailboxSize, admission, account } = this.#options;
    // Those in intake have no delivery yet, but will.
    const pending = engine.pending + account.inIntake + more;
    if (mailbox.size >= mailboxSize) {
      throw new OrreryError(
        'ORRERY_MAILBOX_FULL',
        `Session ${namespace} has ${mailbox.size} messages waiting, its bound is ${mailboxSize}`,
        { retryAfterMs: admission.turnMs(pending) },
      );
    }
    admission.check(pending);
  }

  #append(): void {
    const batch = this.#batch;
    this.#batch = [];
    const { journal } = this.#options;
    const admissions = batch.map((waiting) => waiting.admission);
    const written = (accepted: readonly Accepted[]): void => {
      for (const [i, answer] of accepted.entries()) if (batch[i]) this.#begin(batch[i], answer);
    };
    journal.append(admissions, written).then(
      // Made when it is needed: an error has its stack to find, for each batch.
      (answers) =>
        this.#settle(batch, (i) => answers[i] ?? new OrreryError('ORRERY_INTERNAL', 'The journal gave no answer')),
      (error: unknown) => {
        const refused = asOrreryError(error, 'ORRERY_INTERNAL', 'The journal did not take the message');
        this.#settle(batch, () => refused);
      },
    );
  }

  /** It is written and not durable yet: its turn begins, and its sender does not know. */
  #begin(waiting: Waiting, accepted: Accepted): void {
    const { account, engine } = this.#options;
    const { admission, mailbox, origin, listener } = waiting;
    mailbox.reserved -= 1;
    account.inIntake -= 1;
    account.accepted += 1;
    waiting.begun = engine.enqueue(accepted, admission.inbound, mailbox, origin, listener, new BeforeAck());
  }

  #settle(batch: readonly Waiting[], answerOf: (place: number) => Accepted | Error): void {
    for (const [i, waiting] of batch.entries()) {
      if (waiting.begun) this.#tell(waiting, waiting.begun, answerOf(i));
      else this.#take(waiting, answerOf(i));
    }
    if (!batch.some(({ begun }) => begun)) return;
    this.#acking += 1;
    // Not within the call that brings the good news: a channel must have heard of the acceptance first.
    setImmediate(() => {
      this.#acking -= 1;
      for (const { begun } of batch) if (begun) acked(begun, this.#options.log);
    });
  }

  #tell({ resolve, reject }: Waiting, begun: Delivery, answer: Accepted | Error): void {
    if (!(answer instanceof Error)) return resolve(answer);
    // Run all the same, for whoever asks again with its id.
    unheard(begun);
    acked(begun, this.#options.log);
    reject(answer);
  }

  #take(waiting: Waiting, answer: Accepted | Error): void {
    const { admission, mailbox, origin, listener, resolve, reject } = waiting;
    if (this.#acking > 0 && !(answer instanceof Error) && answer.status === 'accepted') {
      // Race: replies of its session may still be held, and its own must not leave before them.
      this.#begin(waiting, answer);
      return resolve(answer);
    }
    mailbox.reserved -= 1;
    try {
      resolve(this.#taken(answer, admission.inbound, mailbox, origin, listener));
    } catch (error) {
      reject(this.#rejection(error, mailbox));
    }
  }
}
