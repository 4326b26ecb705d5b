/** Owns nothing: what the loader takes from this folder. */
export { modelAgent } from './agent.ts';
