/** Owns what one call of a model is to the loop, and what every call checks of its end. */
import type { LanguageModelV4StreamPart } from '@ai-sdk/provider';
import type { ModelMessage } from 'ai';
import { OrreryError } from '../../protocol/errors.ts';
import type { Usage } from '../../protocol/messages.ts';

/** A call of a model that is under way. */
export interface StepCall {
  /** Resolves to the next piece of text, or to undefined at the end. Rejects with whatever the provider threw. */
  next(): Promise<string | undefined>;
  /** What came of it; called once `next` gave undefined. */
  end(): Promise<StepEnd>;
  /** Closes the request where it is still open. */
  close(): void;
}

export interface StepEnd {
  /** What the call adds to the conversation: the model's message, and the results of the tools that it called. */
  readonly messages: readonly ModelMessage[];
  readonly usage: Usage;
  readonly finishReason: string;
  /** Whether tools were called and have answered, so that the model must be asked again. */
  readonly goesOn: boolean;
}

export type FinishPart = Extract<LanguageModelV4StreamPart, { type: 'finish' }>;

/** A stream that ends cleanly without the provider's own end was cut on its way, by a proxy or a dying server. */
export function checkedEnd(model: string, end: FinishPart | undefined, said: boolean): FinishPart {
  const reason = end?.finishReason.unified;
  if (end === undefined || reason === 'interrupted' || reason === 'error') {
    throw new OrreryError('ORRERY_MODEL_UNAVAILABLE', `${model}: the answer was cut off`);
  }
  if (reason === 'content-filter' && !said) {
    throw new OrreryError('ORRERY_MODEL_FAILED', `${model}: the provider's content filter held the answer back`);
  }
  if (reason === 'length' && !said) {
    const message = `${model}: the answer reached its limit of tokens before it said anything; allow it more by \`maxOutputTokens\``;
    throw new OrreryError('ORRERY_MODEL_FAILED', message, { details: { model } });
  }
  return end;
}

export function usageOf({ usage }: FinishPart): Usage {
  return { inputTokens: usage.inputTokens.total ?? 0, outputTokens: usage.outputTokens.total ?? 0 };
}
