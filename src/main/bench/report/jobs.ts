/** Owns what the report's thread is told and what it answers. */
import type { WireError } from '../../../protocol/index.ts';
import type { CompareOptions } from './compare.ts';
import type { ReportOptions } from './write.ts';

export type Job =
  | { readonly kind: 'report'; readonly dir: string; readonly options: ReportOptions }
  | { readonly kind: 'compare'; readonly dirs: readonly string[]; readonly options: CompareOptions }
  | { readonly kind: 'junit'; readonly dir: string; readonly file: string };

export type JobAnswer = { readonly value: unknown } | { readonly error: WireError };
