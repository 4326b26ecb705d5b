/** Is the entry of the token pool's threads: it carries out a batch of jobs on the shared images, and holds no state but caches. */
import { giveWayToMain } from '../../lib/priority.ts';
import { type CountedMessage, ENCODINGS, type Encoding, type Framing } from '../../protocol/encodings.ts';
import { OrreryError, type WireError, toWire } from '../../protocol/errors.ts';
import { type Encoder, openEncoder } from './encoder.ts';
import { type FileControl, countFile } from './files.ts';
import { type ChatCount, countMessages } from './messages.ts';
import type { SpecialOptions } from './special.ts';

interface JobBase extends SpecialOptions {
  readonly encoding: Encoding;
}

export interface CountJob extends JobBase {
  readonly kind: 'count';
  readonly texts: readonly string[];
}

export interface EncodeJob extends JobBase {
  readonly kind: 'encode';
  readonly text: string;
}

export interface TruncateJob extends JobBase {
  readonly kind: 'truncate';
  readonly text: string;
  readonly maxTokens: number;
}

export interface MessagesJob extends JobBase {
  readonly kind: 'messages';
  readonly messages: readonly CountedMessage[];
  readonly framing: Framing;
}

export interface FileJob extends JobBase {
  readonly kind: 'file';
  readonly path: string;
  readonly control: FileControl;
}

export type TokenJob = CountJob | EncodeJob | TruncateJob | MessagesJob | FileJob;

/** What each kind of job answers with; `truncate` tells how many UTF-16 units to keep, so that no text travels back. */
export interface TokenAnswers {
  count: Uint32Array;
  encode: Uint32Array;
  truncate: { readonly units: number; readonly tokens: number };
  messages: ChatCount;
  file: { readonly bytes: number; readonly tokens: number };
}

export interface TokenBatch {
  readonly images: Readonly<Partial<Record<string, SharedArrayBuffer>>>;
  readonly jobs: readonly TokenJob[];
}

export type TokenOutcome = { readonly value: TokenAnswers[TokenJob['kind']] } | { readonly error: WireError };

const encoders = new Map<Encoding, Encoder>();
giveWayToMain();

/** Carries out a batch; a job that fails fails alone. */
export default function runBatch(batch: TokenBatch): TokenOutcome[] {
  return batch.jobs.map((job) => {
    try {
      return { value: runJob(job, encoderOf(job.encoding, batch)) };
    } catch (error) {
      return { error: toWire(error) };
    }
  });
}

function encoderOf(encoding: Encoding, batch: TokenBatch): Encoder {
  let encoder = encoders.get(encoding);
  if (encoder === undefined) {
    const image = batch.images[ENCODINGS[encoding].vocabulary];
    if (image === undefined) throw new OrreryError('ORRERY_INTERNAL', `A batch came without the image of ${encoding}.`);
    encoder = openEncoder(image, encoding);
    encoders.set(encoding, encoder);
  }
  return encoder;
}

function runJob(job: TokenJob, encoder: Encoder): TokenAnswers[TokenJob['kind']] {
  switch (job.kind) {
    case 'count':
      return Uint32Array.from(job.texts, (text) => encoder.count(text, job));
    case 'encode':
      return encoder.encode(job.text, job);
    case 'truncate': {
      const { text, tokens } = encoder.truncate(job.text, job.maxTokens);
      return { units: text.length, tokens };
    }
    case 'messages':
      return countMessages(encoder, job.messages, job.framing);
    case 'file':
      return countFile(encoder, job.path, job.control);
  }
}
