/** Re-exports what the rest of the host and the library's users take from the configuration. */
export * from './defaults.ts';
export { type ConfigDiff, changesNothing, diffConfig, takenOver } from './diff.ts';
export { type AgentConfig, type OrreryConfig, defineConfig } from './input.ts';
export { type LoadOptions, loadConfig, locateDataDir } from './load.ts';
export type { Override } from './overrides.ts';
export { BUILT_IN_CONFIG, resolveConfig } from './resolve.ts';
export type * from './types.ts';
