/** Owns which definition stands behind each name of `src/protocol/builtins.ts`. */
import { type BuiltinName, isBuiltinName } from '../../protocol/builtins.ts';
import type { AgentDefinition } from '../agent.ts';
import { echo } from './echo.ts';
import { eliza } from './eliza/eliza.ts';

/** One definition serves every runtime of its name: neither agent keeps anything between turns. */
const DEFINITIONS: Readonly<Record<BuiltinName, AgentDefinition>> = { echo, eliza };

/** Finds an agent that comes with Orrery; undefined for any other name. */
export function builtinAgent(name: string): AgentDefinition | undefined {
  return isBuiltinName(name) ? DEFINITIONS[name] : undefined;
}
