export { type BenchOptions, type BenchProgress } from './options.ts';
export { type RunManifest } from './manifest.ts';
export { type BenchResult } from './results.ts';
export { type BenchReport, runBench } from './run.ts';
export { type AgentProgress } from './tracker.ts';
