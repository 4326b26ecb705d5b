export {
  type ChangedCase,
  type CompareOptions,
  type CompareReport,
  type ComparedSide,
  type RunComparison,
} from './compare.ts';
export { comparisonMarkdown, comparisonNotes, comparisonTable } from './comparison-text.ts';
export { type GatedScore, readThreshold, scoresUnder } from './gate.ts';
export { type Interval } from './statistics/index.ts';
export { type AgentSummary, type Estimate, type PairSummary, type ReportSummary } from './summary.ts';
export { compareRuns, writeJUnit, writeReport } from './thread.ts';
export { type ReportOptions, type WrittenReport } from './write.ts';
