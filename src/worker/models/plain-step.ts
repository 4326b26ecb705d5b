/**
 * Owns a call of a model without tools. It asks the AI SDK's provider models directly instead of through `streamText`: such a
 * call has no use for its step loop, its retries, its warnings or its copies of the stream, and a thread saves loading it.
 */
import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4Content,
  LanguageModelV4StreamPart,
} from '@ai-sdk/provider';
import { isBlank } from './mention.ts';
import { type FinishPart, type StepCall, type StepEnd, checkedEnd, usageOf } from './step.ts';

/**
 * Begins a call. Taking a stream apart costs several times its text: where nobody reads the pieces, none are asked for, and
 * the text comes as one.
 */
export async function plainStep(
  name: string,
  model: LanguageModelV4,
  options: LanguageModelV4CallOptions,
  streamed: boolean,
): Promise<StepCall> {
  if (streamed) return new StreamedStep(name, (await model.doStream(options)).stream);
  const { content, finishReason, usage } = await model.doGenerate(options);
  const text = textOf(content);
  // Looked at before the text is given, so that a call that failed can be made again.
  return new WholeStep(name, text, checkedEnd(name, { type: 'finish', finishReason, usage }, !isBlank(text)));
}

class StreamedStep implements StepCall {
  readonly #name: string;
  readonly #reader: ReadableStreamDefaultReader<LanguageModelV4StreamPart>;
  #text = '';
  #finish: FinishPart | undefined;
  #isOver = false;

  constructor(name: string, stream: ReadableStream<LanguageModelV4StreamPart>) {
    this.#name = name;
    this.#reader = stream.getReader();
  }

  async next(): Promise<string | undefined> {
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (done) {
        this.#isOver = true;
        return undefined;
      }
      if (value.type === 'text-delta' && value.delta !== '') {
        this.#text += value.delta;
        return value.delta;
      }
      if (value.type === 'finish') this.#finish = value;
      else if (value.type === 'error') throw value.error;
    }
  }

  end(): Promise<StepEnd> {
    return endOf(this.#name, this.#text, this.#finish);
  }

  close(): void {
    if (!this.#isOver) void this.#reader.cancel().catch(() => undefined);
  }
}

class WholeStep implements StepCall {
  readonly #name: string;
  readonly #text: string;
  readonly #finish: FinishPart;
  #isTaken = false;

  constructor(name: string, text: string, finish: FinishPart) {
    this.#name = name;
    this.#text = text;
    this.#finish = finish;
  }

  next(): Promise<string | undefined> {
    const isNew = !this.#isTaken && this.#text !== '';
    this.#isTaken = true;
    return Promise.resolve(isNew ? this.#text : undefined);
  }

  end(): Promise<StepEnd> {
    return endOf(this.#name, this.#text, this.#finish);
  }

  close(): void {}
}

async function endOf(name: string, text: string, finish: FinishPart | undefined): Promise<StepEnd> {
  const end = checkedEnd(name, finish, !isBlank(text));
  return {
    messages: isBlank(text) ? [] : [{ role: 'assistant', content: text }],
    usage: usageOf(end),
    finishReason: end.finishReason.unified,
    goesOn: false,
  };
}

function textOf(content: readonly LanguageModelV4Content[]): string {
  let text = '';
  for (const part of content) if (part.type === 'text') text += part.text;
  return text;
}
