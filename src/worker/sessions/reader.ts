/** Owns how much of a session is read: from the newest message back, until the caller's bound is reached. It looks nothing up. */
import type { ModelMessage } from 'ai';
import type { Encoding } from '../../protocol/encodings.ts';
import type { Row } from './statements.ts';
import type { ReadOptions, StoredModelMessage } from './store.ts';

/** What a message that nobody counted is taken for. */
const CHARS_PER_TOKEN = 4;
/** Bytes of a message in memory beside its text, about. */
const MESSAGE_BYTES = 256;

/** Gathers messages from the newest on. */
export class Reader {
  readonly #maxTokens: number;
  readonly #maxMessages: number;
  /** Messages from before are past their age. */
  readonly #since: number;
  readonly #taken: StoredModelMessage[] = [];
  #tokens = 0;
  #ended = false;

  constructor({ maxTokens = Infinity, maxMessages = Infinity }: ReadOptions = {}, since: number) {
    this.#maxTokens = maxTokens;
    this.#maxMessages = maxMessages;
    this.#since = since;
  }

  get wants(): boolean {
    return !this.#ended && this.#tokens < this.#maxTokens && this.room > 0;
  }

  get room(): number {
    return this.#maxMessages - this.#taken.length;
  }

  take(message: StoredModelMessage): void {
    if (message.timestamp < this.#since) {
      this.#ended = true;
      return;
    }
    this.#taken.push(message);
    this.#tokens += message.tokens ?? Math.ceil(charsOf(message.message) / CHARS_PER_TOKEN);
  }

  messages(): readonly StoredModelMessage[] {
    return this.#taken.toReversed();
  }
}

/** Reads a message out of its row: place, body, tokens, encoding, time, delivery. */
export function messageOf([, body, tokens, encoding, at, delivery]: Row): StoredModelMessage {
  return {
    message: JSON.parse(body as string) as ModelMessage,
    timestamp: at as number,
    delivery: delivery as string,
    ...(tokens === null ? {} : { tokens: tokens as number }),
    ...(encoding === null ? {} : { encoding: encoding as Encoding }),
  };
}

/** Two bytes for each character, as V8 keeps a text that is not Latin. */
export function bytesOf(body: string): number {
  return body.length * 2 + MESSAGE_BYTES;
}

/** Characters of what a message says; near enough for a bound where that is more than a text. */
function charsOf({ content }: ModelMessage): number {
  return typeof content === 'string' ? content.length : JSON.stringify(content).length;
}
