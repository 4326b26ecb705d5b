/** Owns one WebSocket: its frames in and out, its bounds, its pulse. It decides neither access nor routing. */
import type { Logger } from 'pino';
import type { WebSocket } from '@fastify/websocket';
import { OrreryError } from '../../../protocol/index.ts';
import { CHAT_FRAME_KEYS, type ChatAsk, type JsonObject, bad, isObject, kindOf, readChat, readId } from './ask.ts';
import { DeltaTrack } from './deltas.ts';
import { describeError } from './errors.ts';
import { type Intake, byOf } from './intake.ts';

/** Messages of one connection that may be under way at once. */
export const MAX_IN_FLIGHT = 32;
/**
 * Bytes that may wait for a connection that asks for more: beyond it the peer asks and does not read, and is cut off. Its
 * replies are kept under their ids. What waits is so bounded by this and the replies of what is under way.
 */
export const MAX_BUFFERED_BYTES: number = 8 * 1024 * 1024;
/** Messages of earlier connections that this one asked about and may cancel; the oldest is forgotten first. */
const MAX_FOREIGN = 32;

export interface SocketOptions {
  /** The channel's namespace in its written form. */
  readonly root: string;
  readonly intake: Intake;
  readonly log: Logger;
  /** Bytes of one frame; a larger one is answered with an error. */
  readonly maxFrameBytes: number;
  /** Aborts a delivery; false when it is not under way. */
  cancel(delivery: string): boolean;
  /** False once the login that opened the connection ended. */
  authorized(): boolean;
  /** Resolves when the caller may send one more message; rejects with `ORRERY_RATE_LIMITED`. */
  admit(): Promise<void>;
}

/** A message under way. The delivery is unknown until it was accepted. */
interface Turn {
  delivery?: string;
  cancelled: boolean;
}

/** RFC 6455: the server goes away; the caller broke a rule. */
const GOING_AWAY = 1001;
const POLICY_VIOLATION = 1008;

export class SocketConnection {
  readonly #ws: WebSocket;
  readonly #o: SocketOptions;
  readonly #turns = new Map<string, Turn>();
  readonly #foreign = new Map<string, string>();
  #alive = true;

  constructor(ws: WebSocket, options: SocketOptions) {
    this.#ws = ws;
    this.#o = options;
    ws.on('message', (data: Buffer, isBinary: boolean) => this.#receive(data, isBinary));
    ws.on('pong', () => {
      this.#alive = true;
    });
  }

  /** Pings the peer; one that did not answer the ping before is cut off. */
  beat(): void {
    if (!this.#o.authorized()) {
      this.#ws.close(POLICY_VIOLATION, 'the login ended');
      return;
    }
    if (!this.#alive) {
      this.#ws.terminate();
      return;
    }
    this.#alive = false;
    this.#ws.ping();
  }

  close(): void {
    this.#ws.close(GOING_AWAY, 'the gateway closes');
  }

  #receive(data: Buffer, isBinary: boolean): void {
    let id: string | undefined;
    try {
      if (!this.#o.authorized()) {
        this.#ws.close(POLICY_VIOLATION, 'the login ended');
        return;
      }
      if (this.#ws.bufferedAmount > MAX_BUFFERED_BYTES) {
        this.#o.log.warn(
          { bufferedBytes: this.#ws.bufferedAmount },
          'a connection that asks and does not read was cut off',
        );
        this.#ws.terminate();
        return;
      }
      const frame = this.#read(data, isBinary);
      id = typeof frame['id'] === 'string' ? frame['id'] : undefined;
      this.#handle(frame);
    } catch (error) {
      this.#fail(id, error);
    }
  }

  #read(data: Buffer, isBinary: boolean): JsonObject {
    if (data.byteLength > this.#o.maxFrameBytes) {
      throw new OrreryError(
        'ORRERY_TOO_LARGE',
        `A frame may have ${this.#o.maxFrameBytes} bytes, got ${data.byteLength}`,
      );
    }
    if (isBinary) throw bad('Expected a text frame, got a binary one');
    let frame: unknown;
    try {
      frame = JSON.parse(data.toString('utf8'));
    } catch (error) {
      throw new OrreryError('ORRERY_BAD_REQUEST', 'Expected a frame of JSON', { cause: error });
    }
    if (isObject(frame)) return frame;
    throw bad(`Expected a frame to be a JSON object, got ${kindOf(frame)}`);
  }

  #handle(frame: JsonObject): void {
    const { type, id } = frame;
    switch (type) {
      case 'chat':
        this.#chat(readChat(this.#o.root, frame, CHAT_FRAME_KEYS));
        return;
      case 'cancel':
        this.#cancel(readId(id, '`id`'));
        return;
      case 'ping':
        this.#send({ type: 'pong', ...(typeof id === 'string' || typeof id === 'number' ? { id } : {}) });
        return;
      default:
        throw bad(
          `Expected \`type\` to be chat, cancel or ping, got ${typeof type === 'string' ? JSON.stringify(type.slice(0, 40)) : kindOf(type)}`,
        );
    }
  }

  #chat(ask: ChatAsk): void {
    this.#o.intake.check();
    if (this.#turns.has(ask.id)) {
      throw new OrreryError(
        'ORRERY_DUPLICATE_IN_FLIGHT',
        `The message ${JSON.stringify(ask.id)} is still being answered`,
      );
    }
    if (this.#turns.size >= MAX_IN_FLIGHT) {
      throw new OrreryError('ORRERY_OVERLOADED', `This connection has ${MAX_IN_FLIGHT} messages under way`, {
        hint: 'Wait for an answer before sending more.',
      });
    }
    const turn: Turn = { cancelled: false };
    this.#turns.set(ask.id, turn);
    void this.#run(ask, turn);
  }

  /** Never rejects. */
  async #run(ask: ChatAsk, turn: Turn): Promise<void> {
    const { id, echo } = ask;
    const track = new DeltaTrack();
    try {
      await this.#o.admit();
      const reply = await this.#o.intake.ask(
        ask,
        {
          delta: (text) => {
            if (text !== '' && track.offer(text, this.#ws.bufferedAmount)) this.#send({ type: 'text_delta', id, text });
          },
          reset: () => {
            track.reset();
            this.#send({ type: 'reset', id });
          },
        },
        (accepted) => {
          if (accepted.status === 'duplicate') this.#remember(id, accepted.id);
          turn.delivery = accepted.id;
          // The cancel came before the acceptance, so the delivery's id was not known.
          if (turn.cancelled) this.#o.cancel(accepted.id);
        },
      );
      const message = reply.message.content;
      const rest = track.rest(message);
      if (rest === undefined) this.#send({ type: 'reset', id });
      const text = rest ?? message;
      if (text !== '') this.#send({ type: 'text_delta', id, text });
      this.#send({
        type: 'response',
        id,
        message,
        namespace: echo,
        agent: reply.agent,
        usage: reply.usage,
        ...byOf(reply),
      });
    } catch (error) {
      this.#fail(id, error);
    } finally {
      this.#turns.delete(id);
    }
  }

  #cancel(id: string): void {
    const turn = this.#turns.get(id);
    if (turn !== undefined) {
      turn.cancelled = true;
      if (turn.delivery !== undefined) this.#o.cancel(turn.delivery);
      return;
    }
    const foreign = this.#foreign.get(id);
    if (foreign !== undefined && this.#o.cancel(foreign)) return;
    throw new OrreryError('ORRERY_NOT_FOUND', `The message ${JSON.stringify(id)} is not under way on this connection`);
  }

  /** A page that was reloaded asks for its message again, learns that it is under way, and may then cancel it. */
  #remember(id: string, delivery: string): void {
    this.#foreign.delete(id);
    this.#foreign.set(id, delivery);
    const [oldest] = this.#foreign.keys();
    if (this.#foreign.size > MAX_FOREIGN && oldest !== undefined) this.#foreign.delete(oldest);
  }

  #fail(id: string | undefined, thrown: unknown): void {
    const { error } = describeError(thrown);
    if (error.code === 'ORRERY_INTERNAL') this.#o.log.error({ err: thrown }, 'a frame failed');
    this.#send({ type: 'error', ...(id === undefined ? {} : { id }), error });
  }

  #send(frame: object): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return; // its replies are kept under their ids
    this.#ws.send(JSON.stringify(frame));
  }
}
