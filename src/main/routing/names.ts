/** Owns the lookup of agents by name. It is built once for each set of agents, never for a message. */

export interface AgentNames {
  /** Tells whether an agent has exactly this name. */
  has(name: string): boolean;
  /** Returns the agent of this name, the exact one first, else the first that differs in case alone. */
  find(name: string | undefined): string | undefined;
}

const BY_SET = new WeakMap<ReadonlyMap<string, unknown> | ReadonlySet<string>, AgentNames>();

/** Returns the lookup of a set of agents; the same one for the same set, which therefore must not be changed later. */
export function agentNames(agents: ReadonlyMap<string, unknown> | ReadonlySet<string>): AgentNames {
  const known = BY_SET.get(agents);
  if (known !== undefined) return known;
  const folded = new Map<string, string>();
  for (const name of agents.keys()) {
    const key = fold(name);
    if (!folded.has(key)) folded.set(key, name);
  }
  const names: AgentNames = {
    has: (name) => agents.has(name),
    find(name) {
      if (name === undefined) return undefined;
      return agents.has(name) ? name : folded.get(fold(name));
    },
  };
  BY_SET.set(agents, names);
  return names;
}

/** Twice, so that letters whose lower case depends on what follows them (a Greek sigma at the end) compare equal. */
function fold(name: string): string {
  return name.toUpperCase().toLowerCase();
}
