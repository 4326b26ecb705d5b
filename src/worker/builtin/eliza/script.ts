/** Owns the form of a script: what its author writes and what the engine reads. It holds no wording itself. */
import { type Pattern, compilePattern, countHoles } from './pattern.ts';

/** A decomposition pattern and its reassemblies, which are used in turn. */
export type RuleSource = readonly [pattern: string, ...reassemblies: string[]];

/** A keyword as it is written down. */
export interface KeySource {
  /** The words that call it. */
  readonly words: readonly string[];
  /** The highest rank of a clause is answered first. Default 0. */
  readonly rank?: number;
  /** Tried in order. A reassembly is a text with `(1)`, `(2)`... for the holes, `=word` for another keyword's rules, or `newkey`. */
  readonly rules: readonly RuleSource[];
  /** Kept for later, when there is nothing to answer: reassembled now, said then. */
  readonly memory?: RuleSource;
}

export interface ScriptSource {
  readonly classes: Readonly<Record<string, readonly string[]>>;
  readonly keys: readonly KeySource[];
  /** Said when nothing is recognized, nothing is said, the same is said again, and when there are no words in it. */
  readonly none: readonly string[];
  readonly silence: readonly string[];
  readonly repeated: readonly string[];
  readonly wordless: readonly string[];
  readonly picture: readonly string[];
}

export interface Rule {
  readonly pattern: Pattern;
  readonly reassemblies: readonly string[];
}

export interface Key {
  readonly rank: number;
  readonly rules: readonly Rule[];
  readonly memory?: Rule;
}

export interface Script extends Pick<ScriptSource, 'none' | 'silence' | 'repeated' | 'wordless' | 'picture'> {
  readonly keys: ReadonlyMap<string, Key>;
}

/** Compiles a script. Throws for a wrong pattern and for a class, a hole or an `=word` that does not exist: its author's defects. */
export function compileScript(source: ScriptSource): Script {
  const keys = new Map<string, Key>();
  const rule = ([written, ...reassemblies]: RuleSource): Rule => {
    const pattern = compilePattern(written, source.classes);
    checkHoles(written, reassemblies, countHoles(pattern));
    return { pattern, reassemblies };
  };
  for (const { words, rank = 0, rules, memory } of source.keys) {
    const key: Key = { rank, rules: rules.map(rule), ...(memory === undefined ? {} : { memory: rule(memory) }) };
    for (const word of words) {
      if (keys.has(word)) throw new Error(`Two keywords are called by "${word}"`);
      keys.set(word, key);
    }
  }
  for (const key of keys.values()) for (const { reassemblies } of key.rules) checkLinks(reassemblies, keys);
  return { ...source, keys };
}

function checkLinks(reassemblies: readonly string[], keys: ReadonlyMap<string, Key>): void {
  for (const text of reassemblies) {
    if (text.startsWith('=') && !keys.has(text.slice(1))) throw new Error(`There is no keyword for "${text}"`);
  }
}

function checkHoles(written: string, reassemblies: readonly string[], holes: number): void {
  if (reassemblies.length === 0) throw new Error(`There is nothing to say for "${written}"`);
  for (const text of reassemblies) {
    for (const [, hole] of text.matchAll(/\((\d)\)/g)) {
      if (Number(hole) < 1 || Number(hole) > holes) throw new Error(`"${text}" names a hole that "${written}" has not`);
    }
  }
}
