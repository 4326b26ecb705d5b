/** Owns how a benchmark says what is wrong with its options and its suite. */
import { OrreryError } from '../../protocol/index.ts';

const MAX_SHOWN = 80;

export function invalid(message: string, o: { readonly hint?: string; readonly cause?: unknown } = {}): OrreryError {
  return new OrreryError('ORRERY_BENCH_INVALID', message, o);
}

/** A value as an error shows it: short, and never `undefined`. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text;
}
