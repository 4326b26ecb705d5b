/** Owns the names of the agents that come with Orrery: the configuration checks against them, the worker implements them. */

/** Lists the agents that `use: 'builtin:NAME'` may name, each with what it does. */
export const BUILTINS = {
  echo: 'answers with the text that it was sent',
  eliza: 'holds a rule-based conversation; needs no model and no key',
} as const;

export type BuiltinName = keyof typeof BUILTINS;

/** Tells whether a value names an agent that comes with Orrery. */
export function isBuiltinName(value: unknown): value is BuiltinName {
  return typeof value === 'string' && Object.hasOwn(BUILTINS, value);
}
