/**
 * Owns the question whether deliveries had committed, which is put to the session store by way of any slot that is up before one of them is given up. What is asked at
 * the same moment goes together; while nobody can look, the question is put again, and not for ever. What follows of the answer is for those who ask.
 */
import type { Logger } from 'pino';
import type { DeliveryId, Reply } from '../../protocol/index.ts';

/** Finds the replies of those deliveries that have committed. Rejects when nobody can look now. */
export type Look = (deliveries: readonly DeliveryId[]) => Promise<ReadonlyMap<DeliveryId, Reply>>;

export interface RecallOptions {
  readonly look: Look;
  readonly log: Logger;
}

/** Between two looks, in milliseconds, and how long they go on while nobody can look. */
const LOOK_MS = 250;
export const MAX_LOOK_MS = 10_000;
/** Deliveries of one look: the end of an agent may ask for thousands, and each look holds the thread that does it. */
export const MAX_TOGETHER = 256;

export interface RecallBounds {
  /** Whoever asks has no use for the answer any more: no further look is for it. */
  readonly isOver: () => boolean;
  /** Until when a look that failed is followed by another one, on the clock of `performance.now()`. Default: {@link MAX_LOOK_MS} from now. */
  readonly until?: number;
}

interface Question extends Required<RecallBounds> {
  readonly id: DeliveryId;
  readonly answer: (reply: Reply | undefined) => void;
}

export class Recall {
  readonly #options: RecallOptions;
  /** Asked in this tick. */
  #fresh: Question[] = [];
  /** Those that nobody could look for. */
  #missed: Question[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: RecallOptions) {
    this.#options = options;
  }

  /** Nothing follows of an answer any more: the host has stopped, and what was asked for is the next process's. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Resolves to the reply of a delivery that had committed. Undefined where it had not, and also where nobody could look in time, where whoever asked was over before somebody could, and
   * where this was closed: whoever asks looks at these two first. A look that began in time is waited for. Never rejects.
   */
  find(id: DeliveryId, { isOver, until = performance.now() + MAX_LOOK_MS }: RecallBounds): Promise<Reply | undefined> {
    return new Promise((answer) => {
      this.#fresh.push({ id, isOver, until, answer });
      if (this.#fresh.length === 1) queueMicrotask(() => this.#askAll(this.#fresh.splice(0)));
    });
  }

  /** Looks for nothing any more. What is still asked for is answered with nothing. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const { answer } of this.#missed.splice(0)) answer(undefined);
  }

  #askAll(questions: readonly Question[]): void {
    const live = this.#dropOver(questions);
    for (let i = 0; i < live.length; i += MAX_TOGETHER) this.#ask(live.slice(i, i + MAX_TOGETHER));
  }

  #ask(questions: readonly Question[]): void {
    this.#options.look(questions.map(({ id }) => id)).then(
      (replies) => {
        for (const { id, answer } of questions) answer(replies.get(id));
      },
      (error: unknown) => this.#miss(questions, error),
    );
  }

  #miss(questions: readonly Question[], error: unknown): void {
    const now = performance.now();
    const live = this.#dropOver(questions);
    const late = live.filter(({ until }) => until <= now);
    if (late.length > 0) {
      this.#options.log.warn(
        { err: error, deliveries: late.length },
        'no thread could look whether they had committed',
      );
      for (const { answer } of late) answer(undefined);
    }
    if (late.length === live.length) return;
    this.#missed.push(...live.filter(({ until }) => until > now));
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#askAll(this.#missed.splice(0));
    }, LOOK_MS);
  }

  #dropOver(questions: readonly Question[]): readonly Question[] {
    return questions.filter(({ isOver, answer }) => {
      if (!this.#closed && !isOver()) return true;
      answer(undefined);
      return false;
    });
  }
}
