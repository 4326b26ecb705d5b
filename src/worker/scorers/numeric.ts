/** Owns the scorer of numbers: which number a reply gives, and whether it is near enough. */
import type { Score, ScoredCase } from '../../protocol/scorers.ts';

/** Relative, where no tolerance was asked for: what printing a number costs. */
const ROUNDING = 1e-9;

/** The reply's number is the expected one, give or take the tolerance. */
export function numeric({ output, expected }: ScoredCase, tolerance?: number): Score {
  const wanted = typeof expected === 'number' ? expected : numberIn(String(expected));
  if (wanted === undefined) throw new Error(`Expected \`expected\` to hold a number, got ${JSON.stringify(expected)}`);
  const found = numberIn(output);
  if (found === undefined) return { score: 0, passed: false, detail: 'no number in the reply' };
  const passed = Math.abs(found - wanted) <= (tolerance ?? ROUNDING * Math.max(1, Math.abs(wanted)));
  return passed ? { score: 1, passed } : { score: 0, passed, detail: `found ${found}, expected ${wanted}` };
}

/** The number after the last `####` where there is one, else the last number. Commas between thousands are left out. */
export function numberIn(text: string): number | undefined {
  const at = text.lastIndexOf('####');
  const numbers = [
    ...(at < 0 ? text : text.slice(at)).matchAll(
      /(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:\.\d+|(?<=\d))(?:e[-+]?\d+)?/gi,
    ),
  ];
  const found = at < 0 ? numbers.at(-1) : numbers[0];
  const value = found === undefined ? Number.NaN : Number(found[0].replaceAll(',', ''));
  return Number.isFinite(value) ? value : undefined;
}
