/** Owns what an agent under test gets when no host runs it. */
import { pino } from 'pino';
import type { AgentContext } from '../../src/worker/agent.ts';
import { ThreadTokens } from '../../src/worker/tokens.ts';

/** A context without a log and without vocabularies: counting fails as it does where an image is missing. */
export function agentContext(rest: Partial<AgentContext> = {}): AgentContext {
  const tokens = new ThreadTokens({}).of(undefined, undefined);
  return { name: 'a', runtime: 'a', env: {}, log: pino({ level: 'silent' }), tokens, ...rest };
}
