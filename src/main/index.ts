export type {
  AccountSnapshot,
  AgentStatus,
  Agents,
  ChannelManagers,
  ChannelStatus,
  DeadLetter,
  DeadLetters,
  DrainReport,
  JournalStatus,
  Readiness,
  Sessions,
  SlotStatus,
  Status,
  Supervisor,
  SupervisorState,
} from './api.ts';
export {
  type AgentRef,
  type Channel,
  type ChannelContext,
  type ChannelHost,
  ChannelManager,
  type ChannelManagerOptions,
  type ChannelState,
  type SendOptions,
  type SendReceipt,
} from './channels/index.ts';
export {
  type AgentProgress,
  type AgentSummary,
  type BenchOptions,
  type BenchProgress,
  type BenchReport,
  type BenchResult,
  type ChangedCase,
  type CompareOptions,
  type CompareReport,
  type ComparedSide,
  type Estimate,
  type Interval,
  type PairSummary,
  type ReportOptions,
  type ReportSummary,
  type RunComparison,
  type RunManifest,
  type WrittenReport,
  compareRuns,
  comparisonMarkdown,
  runBench,
  writeJUnit,
  writeReport,
} from './bench/index.ts';
export { type LoadOptions, type LoadProgress, type LoadReport, type LoadTarget, runLoad } from './bench/load/index.ts';
export { type ModelServer, type ModelServerOptions, type ModelStats, startModelServer } from './bench/model/index.ts';
export { type AgentConfig, type OrreryConfig, defineConfig } from './config/index.ts';
export { type SupervisorOptions, createSupervisor } from './supervisor.ts';
export * from '../protocol/public.ts';
