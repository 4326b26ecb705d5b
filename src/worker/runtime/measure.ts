/**
 * Owns how many tokens a message takes in a prompt: the tokens of its texts, and what the model's framing adds. Counting is
 * exact for texts; what providers add for tool calls and images they do not publish, so that these are taken for a fixed price.
 */
import type { ModelMessage, ToolResultPart } from 'ai';
import type { Encoding, Framing } from '../../protocol/encodings.ts';
import { framingOf } from '../../protocol/encodings.ts';
import { codeOf } from '../../protocol/errors.ts';
import type { AgentTokens } from '../definition.ts';
import { mentionOf } from '../models/mention.ts';

/** A message in a prompt, with its tokens once somebody counted them. */
export interface Line {
  readonly message: ModelMessage;
  tokens?: number | undefined;
}

export interface Counter {
  /** What is counted with; absent where counts are nothing to keep: an agent's own tokenizer, an estimate. */
  readonly encoding: Encoding | undefined;
  /** Whether a text has at most as many tokens as bytes, as it does in every byte-pair encoding. */
  readonly bounded: boolean;
  readonly framing: Framing;
  count(text: string): Promise<number>;
}

/** A role's name is one token in every encoding. */
const ROLE_TOKENS = 1;
/** An image of about a million pixels, by what OpenAI and Anthropic tell of their prices. */
const IMAGE_TOKENS = 1_000;
/** What stands around the name and the arguments of a tool call, and around a result. */
const CALL_TOKENS = 8;
const MAX_BYTES_PER_UNIT = 3;
/** Where the vocabulary is missing: less than a token has, of most texts, so that nothing is overfilled. */
const ESTIMATED_BYTES_PER_TOKEN = 3;

/** Makes the counter of an agent. Where the vocabulary is missing, texts are estimated, and `missing` is called once. */
export function counterOf(tokens: AgentTokens, model: string, missing: () => void): Counter {
  let estimates = false;
  return {
    get encoding() {
      return estimates ? undefined : tokens.encoding;
    },
    bounded: tokens.encoding !== undefined,
    framing: framingOf(tokens.encoding ?? 'o200k_base', model),
    async count(text) {
      if (text === '') return 0;
      if (!estimates) {
        try {
          return await tokens.count(text);
        } catch (error) {
          if (codeOf(error) !== 'ORRERY_TOKENS_IMAGE') throw error;
          estimates = true;
          missing();
        }
      }
      return Math.ceil(Buffer.byteLength(text) / ESTIMATED_BYTES_PER_TOKEN);
    },
  };
}

/** Counts a message, its framing included. */
export async function countMessage(message: ModelMessage, counter: Counter): Promise<number> {
  let total = fixedTokens(message, counter.framing);
  if (typeof message.content === 'string') return total + (await counter.count(message.content));
  for (const text of textsOf(message)) total += await counter.count(text);
  return total;
}

/** Counts a line unless that was done, and returns its tokens. */
export async function tokensOf(line: Line, counter: Counter): Promise<number> {
  line.tokens ??= await countMessage(line.message, counter);
  return line.tokens;
}

/** Tells how many tokens a line has at most, without counting; Infinity where nothing is known of that. */
export function mostTokens({ message, tokens }: Line, { bounded, framing }: Counter): number {
  if (tokens !== undefined) return tokens;
  if (!bounded) return Infinity;
  let units = 0;
  for (const text of textsOf(message)) units += text.length;
  return fixedTokens(message, framing) + units * MAX_BYTES_PER_UNIT;
}

/** What a message takes beside its texts. */
function fixedTokens({ content }: ModelMessage, framing: Framing): number {
  let total = framing.perMessage + ROLE_TOKENS;
  if (typeof content === 'string') return total;
  for (const part of content) {
    if (part.type === 'tool-call' || part.type === 'tool-result') total += CALL_TOKENS;
    if ((part.type === 'image' || part.type === 'file') && mentionOf(part) === undefined) total += IMAGE_TOKENS;
    if (part.type === 'tool-result' && part.output.type === 'content') {
      total += part.output.value.filter(({ type }) => type !== 'text').length * IMAGE_TOKENS;
    }
  }
  return total;
}

/** Every text of a message that a model is given. */
function textsOf({ content }: ModelMessage): readonly string[] {
  if (typeof content === 'string') return [content];
  const texts: string[] = [];
  for (const part of content) {
    if (part.type === 'text' || part.type === 'reasoning') texts.push(part.text);
    else if (part.type === 'tool-call') texts.push(part.toolName, jsonOf(part.input));
    else if (part.type === 'tool-result') texts.push(...resultTexts(part));
    else if (part.type === 'file' || part.type === 'image') texts.push(mentionOf(part) ?? '');
  }
  return texts;
}

function resultTexts({ output }: ToolResultPart): readonly string[] {
  switch (output.type) {
    case 'text':
    case 'error-text':
      return [output.value];
    case 'json':
    case 'error-json':
      return [jsonOf(output.value)];
    case 'execution-denied':
      return [output.reason ?? ''];
    case 'content':
      return output.value.flatMap((part) => (part.type === 'text' ? [part.text] : []));
  }
}

/** `JSON.stringify` gives nothing for `undefined`. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value) ?? '';
}
