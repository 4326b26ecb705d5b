/** Owns how a configured agent becomes what an agent host needs to run it. */
import { pathToFileURL } from 'node:url';
import type { AgentSpec, RuntimeId } from '../../protocol/index.ts';
import type { ResolvedAgent } from '../config/types.ts';

/** `owner` by default: the runtime itself. */
export function specOf(agent: ResolvedAgent, runtime: RuntimeId, number: number, owner?: string): AgentSpec {
  const { source } = agent;
  return {
    runtime,
    agent: agent.name,
    source: source.kind === 'module' ? { kind: 'module', url: pathToFileURL(source.path).href } : source,
    env: agent.env,
    number,
    ...(owner === undefined ? {} : { owner }),
  };
}
