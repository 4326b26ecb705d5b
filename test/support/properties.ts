/**
 * Owns how the property tests draw: always from one seed, so that a change is judged by the same cases each time and a run that fails
 * fails again. `npm run properties` draws others, and more of them.
 *
 * Environment, set by that command: `PROPERTY_SEED` (default {@link SEED}) and `PROPERTY_TIMES`, a factor for the number of cases
 * (default 1).
 */
import * as fc from 'fast-check';

const SEED = 20_240_229;
/** What fast-check runs by itself. */
const USUAL = 100;

const seed = numberFrom('PROPERTY_SEED', SEED);
/** How many times the usual cases are run; the tests' time limits grow with it. */
export const times: number = numberFrom('PROPERTY_TIMES', 1);

fc.configureGlobal({ ...fc.readConfigureGlobal(), seed, numRuns: runs(USUAL) });

/** Gives how many cases a property runs that usually has so many. */
export function runs(usual: number): number {
  return Math.max(1, Math.round(usual * times));
}

function numberFrom(name: string, usual: number): number {
  const text = process.env[name];
  if (text === undefined) return usual;
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new Error(`Expected ${name} to be a number, got "${text}".`);
  return value;
}
