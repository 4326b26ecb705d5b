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
  NameChanges,
  Readiness,
  ReloadFailure,
  ReloadReport,
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
  type BenchOptions,
  type BenchProgress,
  type BenchReport,
  type BenchResult,
  type RunManifest,
  runBench,
} from './bench/index.ts';
export { type AgentConfig, type OrreryConfig, defineConfig } from './config/index.ts';
export { type SupervisorOptions, createSupervisor } from './supervisor.ts';
export * from '../protocol/public.ts';
