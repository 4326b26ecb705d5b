export { type HeartbeatLimits, HeartbeatJudge, type Judgement } from './heartbeat.ts';
export { type RestartPolicy, RestartTracker } from './restart-tracker.ts';
