/** Owns decomposition patterns: how they are written, compiled and matched against a clause in linear time. */
import type { Word } from './words.ts';

/** A place of a pattern that takes exactly one word; a hole's word can be said again. */
interface Place {
  readonly accepts: ReadonlySet<string>;
  readonly hole: boolean;
}

/** Places that follow each other, after any number of words that is at least `skip`; `undefined`: right at the start. */
interface Run {
  readonly skip: number | undefined;
  readonly places: readonly Place[];
}

export interface Pattern {
  readonly runs: readonly Run[];
  /** Fewest words of a trailing wildcard; undefined when the clause must end with the last run. */
  readonly tail: number | undefined;
}

/**
 * Compiles a pattern: `*` is any number of words, `+` is one or more, `@class` is a word of a class, `a/b` is one of those
 * words, anything else is that word. Wildcards and classes are holes, numbered from 1. Two wildcards never stand together.
 */
export function compilePattern(source: string, classes: Readonly<Record<string, readonly string[]>>): Pattern {
  const runs: Run[] = [];
  let skip: number | undefined;
  let places: Place[] = [];
  for (const item of source.split(' ')) {
    if (item !== '*' && item !== '+') {
      places.push(placeOf(item, classes));
      continue;
    }
    if (places.length > 0) runs.push({ skip, places });
    else if (skip !== undefined) throw new Error(`Two wildcards stand together in "${source}"`);
    skip = item === '*' ? 0 : 1;
    places = [];
  }
  if (places.length === 0) return { runs, tail: skip };
  runs.push({ skip, places });
  return { runs, tail: undefined };
}

function placeOf(item: string, classes: Readonly<Record<string, readonly string[]>>): Place {
  if (!item.startsWith('@')) return { accepts: new Set(item.split('/')), hole: false };
  const words = classes[item.slice(1)];
  if (words === undefined) throw new Error(`There is no word class ${item}`);
  return { accepts: new Set(words), hole: true };
}

/**
 * Takes a clause apart: the words of each hole, or undefined when the pattern does not fit. Each run is taken where it
 * first fits, as in Weizenbaum's matcher; only a run at the end is taken at the end. Nothing is tried twice.
 */
export function decompose(pattern: Pattern, clause: readonly Word[]): readonly (readonly Word[])[] | undefined {
  const holes: (readonly Word[])[] = [];
  let at = 0;
  for (const [index, run] of pattern.runs.entries()) {
    const anchored = index === pattern.runs.length - 1 && pattern.tail === undefined;
    const found = find(run, clause, at, anchored);
    if (found === undefined) return undefined;
    if (run.skip !== undefined) holes.push(clause.slice(at, found));
    for (const [offset, place] of run.places.entries()) {
      if (place.hole) holes.push(clause.slice(found + offset, found + offset + 1));
    }
    at = found + run.places.length;
  }
  if (pattern.tail === undefined) return at === clause.length ? holes : undefined;
  if (clause.length - at < pattern.tail) return undefined;
  holes.push(clause.slice(at));
  return holes;
}

/** Counts the holes of a pattern, which a reassembly may name. */
export function countHoles(pattern: Pattern): number {
  const inRun = (run: Run): number =>
    (run.skip === undefined ? 0 : 1) + run.places.filter((place) => place.hole).length;
  return pattern.runs.reduce((sum, run) => sum + inRun(run), pattern.tail === undefined ? 0 : 1);
}

function find(run: Run, clause: readonly Word[], from: number, atEnd: boolean): number | undefined {
  const last = clause.length - run.places.length;
  const first = from + (run.skip ?? 0);
  if (run.skip === undefined) return last >= from && fits(run, clause, from) ? from : undefined;
  for (let at = atEnd ? Math.max(first, last) : first; at <= last; at++) if (fits(run, clause, at)) return at;
  return undefined;
}

function fits(run: Run, clause: readonly Word[], at: number): boolean {
  return run.places.every((place, offset) => place.accepts.has(clause[at + offset]?.low ?? ''));
}
