export { type BenchOptions, type BenchProgress } from './options.ts';
export { type RunManifest } from './manifest.ts';
export { type BenchResult } from './results.ts';
export {
  type AgentSummary,
  type ChangedCase,
  type CompareOptions,
  type CompareReport,
  type ComparedSide,
  type Estimate,
  type GatedScore,
  type Interval,
  type PairSummary,
  type ReportOptions,
  type ReportSummary,
  type RunComparison,
  type WrittenReport,
  compareRuns,
  comparisonMarkdown,
  comparisonNotes,
  comparisonTable,
  readThreshold,
  scoresUnder,
  writeJUnit,
  writeReport,
} from './report/index.ts';
export { type BenchReport, runBench } from './run.ts';
export { type AgentProgress } from './tracker.ts';
