export { HeartbeatJudge } from './heartbeat.ts';
export { type RestartPolicy, RestartTracker } from './restart-tracker.ts';
