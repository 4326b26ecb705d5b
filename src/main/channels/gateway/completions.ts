/** Owns `/v1/chat/completions`: one answer as JSON, or a stream of events. What a completion looks like is openai.ts's. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type DeliveredReply, OrreryError } from '../../../protocol/index.ts';
import { DeltaTrack } from './deltas.ts';
import { AcceptedError, describeError, openAiBody } from './errors.ts';
import type { Intake } from './intake.ts';
import { ChunkWriter, type CompletionAsk, completionOf, readCompletion } from './openai.ts';

/** A client that takes nothing of a finished stream for this long in milliseconds is cut off. */
export const STALLED_MS = 30_000;

const STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no', // nginx would hold the events back
  'x-content-type-options': 'nosniff',
} as const;

/** Builds the route's handler. */
export function completionHandler(
  root: string,
  intake: Intake,
): (request: FastifyRequest, reply: FastifyReply) => Promise<unknown> {
  return async (request, reply) => {
    intake.check();
    const ask = readCompletion(root, request.body, request.headers);
    if (ask.stream) return await new CompletionStream(ask, reply).run(intake);
    const answer = await intake.ask(ask);
    reply.header('x-request-id', ask.id);
    return completionOf(ask.id, answer);
  };
}

/** One streamed answer. The status is held until the first delta: an error before it has its own status. */
class CompletionStream {
  readonly #ask: CompletionAsk;
  readonly #reply: FastifyReply;
  readonly #track = new DeltaTrack();
  #agent: string | undefined;
  #writer: ChunkWriter | undefined;
  /** Nothing more is written: the stream ended, with an error or by itself. */
  #over = false;

  constructor(ask: CompletionAsk, reply: FastifyReply) {
    this.#ask = ask;
    this.#reply = reply;
    this.#agent = ask.agent;
  }

  async run(intake: Intake): Promise<FastifyReply> {
    try {
      const answer = await intake.ask(
        this.#ask,
        { delta: (text) => this.#delta(text), reset: () => this.#reset() },
        (accepted) => {
          this.#agent = accepted.agent;
        },
      );
      this.#finish(answer);
    } catch (error) {
      if (this.#writer === undefined) throw error;
      this.#fail(error);
    }
    return this.#reply;
  }

  #delta(text: string): void {
    if (this.#over || text === '') return;
    const { raw } = this.#reply;
    if (raw.destroyed) return; // the client left; its turn goes on, and the reply is kept under its id
    const writer = this.#begin();
    if (this.#track.offer(text, raw.writableLength)) raw.write(writer.delta(text));
  }

  #begin(): ChunkWriter {
    if (this.#writer !== undefined) return this.#writer;
    const { id, model, includeUsage } = this.#ask;
    this.#writer = new ChunkWriter(id, this.#agent ?? model, includeUsage);
    this.#reply.hijack();
    this.#reply.raw.writeHead(200, { ...STREAM_HEADERS, 'x-request-id': id });
    this.#reply.raw.write(this.#writer.first());
    return this.#writer;
  }

  #finish(answer: DeliveredReply): void {
    if (this.#over) return;
    const rest = this.#track.rest(answer.message.content);
    if (rest === undefined) {
      this.#fail(interrupted(this.#ask.id));
      return;
    }
    const writer = this.#begin();
    const text = rest === '' ? '' : writer.delta(rest);
    const usage = this.#ask.includeUsage ? writer.usage(answer) : '';
    this.#end(`${text}${writer.last()}${usage}data: [DONE]\n\n`);
  }

  /** The attempt failed after a delta: SSE cannot take text back, so it ends; the retried reply is kept under the id. */
  #reset(): void {
    if (!this.#over && this.#writer !== undefined) this.#fail(interrupted(this.#ask.id));
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#end(`event: error\ndata: ${JSON.stringify(openAiBody(describeError(error)))}\n\n`);
  }

  #end(text: string): void {
    this.#over = true;
    const { raw } = this.#reply;
    if (raw.destroyed) return;
    raw.end(text);
    // Without this, a client that stays connected and reads nothing would hold its buffer for ever.
    if (!raw.writableFinished) raw.setTimeout(STALLED_MS, () => raw.destroy());
  }
}

function interrupted(id: string): AcceptedError {
  return new AcceptedError(
    id,
    new OrreryError('ORRERY_INTERRUPTED', 'The attempt failed after a part of its answer had been sent', {
      hint: 'It is tried again: ask with this id as `Idempotency-Key` for the whole answer.',
    }),
  );
}
