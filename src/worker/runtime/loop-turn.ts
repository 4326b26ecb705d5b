/** Owns what the model loop needs of its turn beyond what an agent's own code sees. */
import type { ModelMessage } from 'ai';
import type { Encoding } from '../../protocol/encodings.ts';
import type { UserMessage } from '../../protocol/index.ts';
import type { Turn } from '../definition.ts';
import type { NewMessage, ReadOptions, StoredModelMessage } from '../sessions/store.ts';

export interface LoopTurn extends Turn {
  /** Whether what the turn adds is kept: a request that brings its whole history keeps no session. */
  readonly hasSession: boolean;
  /** Milliseconds until the turn's deadline. */
  readonly remainingMs: number;
  /** Reads the session as it was when the turn began, oldest first. */
  readSession(options?: ReadOptions): readonly StoredModelMessage[];
  /** What the caller put before its message: a history of its own, or what was said since. */
  readonly context: readonly ModelMessage[];
  /** Sets what the turn adds to its session, in place of the context, the message and the reply's text. */
  record(messages: readonly NewMessage[], encoding?: Encoding): void;
  /** The messages that the turn answers from its start, one by one as they came: a session keeps each; {@link Turn.message} is all of them. */
  readonly messages: readonly UserMessage[];
  /** Takes what was steered into the turn since the last call, in order of arrival. The turn's reply answers it. */
  takeSteered(wanted?: readonly UserMessage[]): readonly UserMessage[];
  /** Messages that are offered to the turn and not taken yet; one that is not taken gets a turn of its own. */
  readonly steered: readonly UserMessage[];
}
