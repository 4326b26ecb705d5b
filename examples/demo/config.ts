/** Owns the demo's configuration: who lives on which slot, and how soon a blocked thread is replaced. */
import { fileURLToPath } from 'node:url';
import type { OrreryConfig } from '../../src/main/index.ts';

/** Relative paths of the configuration start here. */
export const DIR: string = fileURLToPath(new URL('.', import.meta.url));

const saboteur = { use: './agents/saboteur.ts', isolation: 'dedicated' } as const;

/**
 * Describes a host with two shared slots. Agents are placed in order, each on the slot with the fewest: `eliza` and `echo`
 * come to one, `rowdy` and its `neighbour` to the other. Every other saboteur has a slot of its own.
 */
export function demoConfig(pageOrigins: readonly string[]): OrreryConfig {
  return {
    agents: {
      eliza: { use: 'builtin:eliza' },
      rowdy: { use: './agents/saboteur.ts' },
      echo: { use: 'builtin:echo' },
      neighbour: { use: './agents/neighbour.ts' },
      spinner: saboteur,
      quitter: saboteur,
      thrower: saboteur,
      hoarder: { ...saboteur, limits: { maxHeapMb: 48 } },
    },
    defaultAgent: 'eliza',
    channels: { web: { type: 'gateway', port: 0, allowedOrigins: pageOrigins } },
    // The default is 10 s: long for somebody who watches.
    workers: { threads: 2, maxHeapMb: 96, killAfterMs: 2_500 },
    // More patient than the default with people who like the buttons, but not without end: see what escalation looks like.
    restarts: { maxRestarts: 8, periodMs: 60_000, backoffMinMs: 250, backoffMaxMs: 2_000, resetAfterMs: 10_000 },
    // In memory: a demo that was ended while something broke begins anew.
    delivery: { retryMinMs: 400, journal: 'memory' },
  };
}
