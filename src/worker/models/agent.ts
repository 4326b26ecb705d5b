/**
 * Owns the agent behind a `model:` configuration: one call to a provider a turn, streamed where somebody reads along. It
 * keeps no conversation (the agent host does) and tries nothing twice (delivery does, for errors that are retryable).
 *
 * It calls the AI SDK's provider models directly instead of through `streamText`: a turn without tools has no use for its
 * step loop, its retries, its warnings on the console or its copies of the stream, and a thread saves loading it.
 */
import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4GenerateResult,
  LanguageModelV4StreamPart,
} from '@ai-sdk/provider';
import type { ModelSpec } from '../../protocol/contract.ts';
import { OrreryError } from '../../protocol/errors.ts';
import type { AgentDefinition, Turn, Usage } from '../agent.ts';
import { modelError } from './errors.ts';
import { promptOf } from './prompt.ts';
import { type ModelAddress, modelAddress, openModel } from './providers.ts';

/**
 * Makes an agent of a model. Throws `ORRERY_CONFIG_INVALID` for a model or a base URL that is none. The provider's package
 * is imported when the agent starts, and a key that is missing is `ORRERY_MODEL_KEY_MISSING` then.
 */
export function modelAgent(spec: ModelSpec): AgentDefinition {
  const address = modelAddress(spec);
  let opened: Promise<LanguageModelV4> | undefined;
  const open = async (env: Readonly<Record<string, string>>): Promise<LanguageModelV4> => {
    opened ??= openModel(address, spec, env);
    try {
      return await opened;
    } catch (error) {
      opened = undefined;
      throw error;
    }
  };
  return {
    async start(ctx) {
      await open(ctx.env);
    },
    respond(turn) {
      return answer(open, address, spec, turn);
    },
  };
}

async function* answer(
  open: (env: Readonly<Record<string, string>>) => Promise<LanguageModelV4>,
  address: ModelAddress,
  spec: ModelSpec,
  turn: Turn,
): AsyncGenerator<string, void> {
  const model = await open(turn.env);
  const options = callOptions(address, spec, turn);
  let said = false;
  let ended: FinishPart | undefined;
  try {
    // Taking a stream apart costs several times its text: where nobody reads the pieces, none are asked for.
    const parts = turn.streamed ? (await model.doStream(options)).stream : partsOf(await model.doGenerate(options));
    for await (const part of parts) {
      if (part.type === 'text-delta' && part.delta !== '') {
        said = true;
        yield part.delta;
      } else if (part.type === 'finish') {
        ended = part;
      } else if (part.type === 'error') {
        throw part.error;
      }
    }
  } catch (error) {
    // An abort is the host's own doing: it knows the cause, and the provider's account of it says nothing.
    turn.signal.throwIfAborted();
    throw modelError(address.model, error);
  }
  turn.signal.throwIfAborted();
  turn.report(usageOf(checkedEnd(address, ended, said)), 1);
}

type Part = LanguageModelV4StreamPart;
type FinishPart = Extract<Part, { type: 'finish' }>;

/** A whole answer in the form of a stream's parts. */
function* partsOf({ content, finishReason, usage }: LanguageModelV4GenerateResult): Generator<Part> {
  for (const [i, part] of content.entries()) {
    if (part.type === 'text') yield { type: 'text-delta', id: String(i), delta: part.text };
  }
  yield { type: 'finish', finishReason, usage };
}

/** A stream that ends cleanly without the provider's own end was cut on its way, by a proxy or a dying server. */
function checkedEnd(address: ModelAddress, end: FinishPart | undefined, said: boolean): FinishPart {
  const reason = end?.finishReason.unified;
  if (end === undefined || reason === 'interrupted' || reason === 'error') {
    throw new OrreryError('ORRERY_MODEL_UNAVAILABLE', `${address.model}: the answer was cut off`);
  }
  if (reason === 'content-filter' && !said) {
    throw new OrreryError(
      'ORRERY_MODEL_FAILED',
      `${address.model}: the provider's content filter held the answer back`,
    );
  }
  return end;
}

function callOptions(address: ModelAddress, spec: ModelSpec, turn: Turn): LanguageModelV4CallOptions {
  return {
    prompt: promptOf(address.provider, spec.system, turn.history, turn.message),
    abortSignal: turn.signal,
    ...(spec.temperature === undefined ? {} : { temperature: spec.temperature }),
    ...(spec.maxOutputTokens === undefined ? {} : { maxOutputTokens: spec.maxOutputTokens }),
  };
}

function usageOf({ usage }: FinishPart): Usage {
  return { inputTokens: usage.inputTokens.total ?? 0, outputTokens: usage.outputTokens.total ?? 0 };
}
