/** Owns what an agent's code may hear of a turn while it runs. Hooks watch: nothing waits for them, and an error in one is logged. */
import type { OrreryError } from '../../protocol/errors.ts';
import type { Usage } from '../../protocol/messages.ts';
import type { Turn } from '../definition.ts';

/** Where in its turn something happened. */
export interface Progress {
  readonly turn: Turn;
  /** Counts the turn's steps from 1; a step is one answer of the model with the tools that it calls. */
  readonly step: number;
  /** The model that is asked, as configured. */
  readonly model: string;
  /** Everything that the turn has said so far. */
  readonly textSoFar: string;
}

export interface StepStart extends Progress {
  /** Tokens of the prompt; absent when it fits so plainly that it was not counted. */
  readonly promptTokens?: number;
  /** Messages that the window left out. */
  readonly dropped: number;
}

export interface ToolCallProgress extends Progress {
  /** Names the call for the tool's own idempotence: the same at every attempt of the turn. */
  readonly key: string;
  readonly toolName: string;
  readonly input: unknown;
}

export interface ToolResultProgress extends ToolCallProgress {
  /** What the tool returned. */
  readonly output?: unknown;
  /** What it threw instead; the model is told. */
  readonly error?: unknown;
}

export interface StepEndProgress extends Progress {
  readonly usage: Usage;
  /** Why the model stopped: `stop`, `length`, `tool-calls`, `content-filter`, `other`. */
  readonly finishReason: string;
}

export interface RetryProgress extends Progress {
  readonly error: OrreryError;
  /** Calls of the model for this step so far. */
  readonly tries: number;
  /** The model that is asked next: the same one after a wait, or another at once. */
  readonly next: string;
  /** Milliseconds until then. */
  readonly delayMs: number;
}

/** Each is called when it happens; what it returns is not waited for. */
export interface LoopHooks {
  readonly onStepStart?: (progress: StepStart) => unknown;
  readonly onText?: (progress: Progress & { readonly text: string }) => unknown;
  readonly onToolCall?: (progress: ToolCallProgress) => unknown;
  readonly onToolResult?: (progress: ToolResultProgress) => unknown;
  readonly onRetry?: (progress: RetryProgress) => unknown;
  readonly onStepEnd?: (progress: StepEndProgress) => unknown;
}

/** Calls a hook; whatever goes wrong in it is logged and does not touch the turn. */
export function tell<T extends Progress>(hook: ((progress: T) => unknown) | undefined, progress: T): void {
  if (!hook) return;
  const failed = (error: unknown): void => progress.turn.log.warn({ err: error }, 'a hook of the agent threw');
  try {
    const result = hook(progress);
    if (result instanceof Promise) result.catch(failed);
  } catch (error) {
    failed(error);
  }
}
