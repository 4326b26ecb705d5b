/**
 * Owns a call of a model that may call tools: one step of the AI SDK's `streamText`, which converts the messages, checks the
 * arguments, runs the tools and puts their results into messages. It is loaded where an agent has tools; others save its 20 MB.
 *
 * The SDK runs tools only when the model's own answer has ended well, so that a call that was cut off ran none of them and may
 * be made again. Here the provider's stream is listened to for what the SDK does not tell: whether it had an end, and in which
 * order tools were called. The SDK's own retries, its downloads of what users link to and its warnings on the console are off.
 */
import type { LanguageModelV4, LanguageModelV4StreamPart } from '@ai-sdk/provider';
import type { ModelMessage, TextStreamPart, ToolSet } from 'ai';
import { isBlank } from './mention.ts';
import { type FinishPart, type StepCall, type StepEnd, checkedEnd, usageOf } from './step.ts';

/** A tool's call, as the loop hears of it. */
export interface ToolCalled {
  /** The model's id of the call: new at every attempt. */
  readonly id: string;
  /** Counts the step's calls from 0, in the model's order. */
  readonly index: number;
  readonly toolName: string;
  readonly input: unknown;
}

export interface ToolAnswered extends ToolCalled {
  readonly output?: unknown;
  /** What the tool threw, or what was wrong with the call; the model is told. */
  readonly error?: unknown;
}

export interface ToolStepOptions {
  readonly name: string;
  readonly model: LanguageModelV4;
  readonly messages: ModelMessage[];
  /** Every one with an `execute`. */
  readonly tools: ToolSet;
  /** `none`: the model is to answer with what it has. */
  readonly toolChoice: 'auto' | 'none';
  readonly signal: AbortSignal;
  readonly temperature?: number | undefined;
  readonly maxOutputTokens?: number | undefined;
  /** False: the text is given as one, when the step has ended. */
  readonly streamed: boolean;
  /** Gives a tool's call what is its own; called before `execute`, whose options it gets. */
  readonly onExecute: (options: object, call: ToolCalled) => void;
  readonly onCall: (call: ToolCalled) => void;
  readonly onResult: (result: ToolAnswered) => void;
}

/** Begins a step with tools. */
export async function toolStep(options: ToolStepOptions): Promise<StepCall> {
  const { streamText, stepCountIs } = await import('ai');
  const watch = new Watch(options.name, options.model, options.toolChoice === 'none');
  const closing = new AbortController();
  const result = streamText({
    model: watch.model,
    messages: options.messages,
    allowSystemInMessages: true,
    tools: withCalls(options, watch),
    toolChoice: options.toolChoice,
    stopWhen: stepCountIs(1),
    maxRetries: 0,
    abortSignal: AbortSignal.any([options.signal, closing.signal]),
    // Null hands an address on to the provider, whether it takes such or not: a worker opens none that users wrote.
    experimental_download: (wanted) => Promise.resolve(wanted.map(() => null)),
    // The default writes to the console; the error comes by the stream, too.
    onError: () => undefined,
    ...(options.temperature === undefined ? {} : { temperature: options.temperature }),
    ...(options.maxOutputTokens === undefined ? {} : { maxOutputTokens: options.maxOutputTokens }),
  });
  // Asked for when it is there: the SDK makes the promise when it is read, and nobody would hear of its failure before.
  const messages = (): PromiseLike<readonly ModelMessage[]> => result.responseMessages;
  return new ToolStep(options, watch, result.stream.getReader(), messages, closing);
}

/** Tells how long the definitions of tools are, as JSON. */
export async function toolsText(tools: ToolSet): Promise<string> {
  const { asSchema } = await import('ai');
  const definitions = Object.entries(tools).map(async ([name, tool]) => ({
    name,
    description: typeof tool.description === 'string' ? tool.description : '',
    parameters: await asSchema(tool.inputSchema).jsonSchema,
  }));
  return JSON.stringify(await Promise.all(definitions));
}

class ToolStep implements StepCall {
  readonly #options: ToolStepOptions;
  readonly #watch: Watch;
  readonly #reader: ReadableStreamDefaultReader<TextStreamPart<ToolSet>>;
  readonly #messages: () => PromiseLike<readonly ModelMessage[]>;
  readonly #closing: AbortController;
  #said = '';
  #answered = 0;
  #isOver = false;

  constructor(
    options: ToolStepOptions,
    watch: Watch,
    reader: ReadableStreamDefaultReader<TextStreamPart<ToolSet>>,
    messages: () => PromiseLike<readonly ModelMessage[]>,
    closing: AbortController,
  ) {
    this.#options = options;
    this.#watch = watch;
    this.#reader = reader;
    this.#messages = messages;
    this.#closing = closing;
  }

  async next(): Promise<string | undefined> {
    while (!this.#isOver) {
      const { done, value } = await this.#reader.read();
      if (done) {
        this.#isOver = true;
        if (this.#options.streamed || this.#said === '') break;
        // Text that nobody reads along is given once the step is known to have ended well: until then it can be made again.
        checkedEnd(this.#options.name, this.#watch.finish, true);
        return this.#said;
      }
      const text = this.#take(value);
      if (text !== '') return text;
    }
    return undefined;
  }

  async end(): Promise<StepEnd> {
    const { name, tools } = this.#options;
    const finish = checkedEnd(name, this.#watch.finish, !isBlank(this.#said) || this.#answered > 0);
    return {
      messages: (await this.#messages()).map((message) => withToolNames(message, tools)),
      usage: usageOf(finish),
      finishReason: finish.finishReason.unified,
      goesOn: this.#answered > 0 || this.#watch.disobeyed,
    };
  }

  close(): void {
    if (this.#isOver) return;
    this.#closing.abort();
    void this.#reader.cancel().catch(() => undefined);
  }

  #take(part: TextStreamPart<ToolSet>): string {
    const { onCall, onResult, signal, streamed } = this.#options;
    if (part.type === 'text-delta') {
      this.#said += part.text;
      return streamed ? part.text : '';
    }
    if (part.type === 'tool-call') {
      onCall({ ...this.#watch.callOf(part.toolCallId), toolName: part.toolName, input: part.input });
    } else if (part.type === 'tool-error' || (part.type === 'tool-result' && part.preliminary !== true)) {
      if (part.providerExecuted !== true) this.#answered += 1;
      const call = { ...this.#watch.callOf(part.toolCallId), toolName: part.toolName, input: part.input };
      onResult(part.type === 'tool-result' ? { ...call, output: part.output } : { ...call, error: part.error });
    } else if (part.type === 'error') {
      throw part.error;
    } else if (part.type === 'abort') {
      signal.throwIfAborted();
      throw new Error('The step was closed');
    }
    return '';
  }
}

/** A call of a tool that there is not goes back to the provider as a call, too, and providers take names of one kind only. */
export function withToolNames(message: ModelMessage, tools: ToolSet): ModelMessage {
  const rename = <T extends { readonly type: string }>(part: T): T =>
    'toolName' in part && typeof part.toolName === 'string' && !Object.hasOwn(tools, part.toolName)
      ? { ...part, toolName: part.toolName.replaceAll(/[^\w-]/g, '_').slice(0, MAX_TOOL_NAME) || 'unknown' }
      : part;
  if (message.role === 'assistant' && typeof message.content !== 'string') {
    return { ...message, content: message.content.map(rename) };
  }
  return message.role === 'tool' ? { ...message, content: message.content.map(rename) } : message;
}

const MAX_TOOL_NAME = 64;

const CALL_PARTS: ReadonlySet<string> = new Set([
  'tool-call',
  'tool-input-start',
  'tool-input-delta',
  'tool-input-end',
]);

/** Listens to what a provider streams. */
class Watch {
  readonly model: LanguageModelV4;
  readonly #name: string;
  readonly #mayNotCall: boolean;
  readonly #calls = new Map<string, number>();
  finish: FinishPart | undefined;
  /** Whether the model called tools where it was told not to. */
  disobeyed = false;

  constructor(name: string, model: LanguageModelV4, mayNotCall: boolean) {
    this.#name = name;
    this.#mayNotCall = mayNotCall;
    this.model = {
      specificationVersion: model.specificationVersion,
      provider: model.provider,
      modelId: model.modelId,
      supportedUrls: model.supportedUrls,
      doGenerate: (options) => model.doGenerate(options),
      doStream: async (options) => {
        const result = await model.doStream(options);
        return { ...result, stream: result.stream.pipeThrough(this.#listener()) };
      },
    };
  }

  callOf(id: string): { readonly id: string; readonly index: number } {
    return { id, index: this.#calls.get(id) ?? this.#calls.size };
  }

  #listener(): TransformStream<LanguageModelV4StreamPart, LanguageModelV4StreamPart> {
    return new TransformStream({
      transform: (part, controller) => {
        if (this.#mayNotCall && CALL_PARTS.has(part.type)) {
          // The SDK would end the step with an error, also one that says something beside the call.
          this.disobeyed = true;
          return;
        }
        if (part.type === 'tool-call') this.#calls.set(part.toolCallId, this.#calls.size);
        if (part.type === 'finish') this.finish = part;
        controller.enqueue(part.type === 'stream-start' ? { ...part, warnings: [] } : part);
      },
      // Without its end the SDK would take a stream for a short answer, and run the tools that it had called so far.
      flush: () => {
        checkedEnd(this.#name, this.finish, true);
      },
    });
  }
}

/** The tools, each call of which is told apart from all others before it runs. */
function withCalls({ tools, onExecute }: ToolStepOptions, watch: Watch): ToolSet {
  const wrapped = Object.entries(tools).map(([toolName, tool]) => {
    const { execute } = tool;
    if (execute === undefined) return [toolName, tool] as const;
    const own: typeof execute = (input, options) => {
      const mine = { ...options };
      onExecute(mine, { ...watch.callOf(options.toolCallId), toolName, input });
      return execute(input, mine);
    };
    return [toolName, { ...tool, execute: own }] as const;
  });
  return Object.fromEntries(wrapped);
}
