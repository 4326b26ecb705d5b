/** Owns what the slots are told of sessions, and the way to them from main: which slot is asked. It opens no store. */
import { join } from 'node:path';
import type { SessionsTask } from '../../protocol/index.ts';
import type { ResolvedConfig } from '../config/types.ts';

/** The file in `dataDir`. */
const SESSIONS_FILE = 'sessions.db';

export function sessionsTaskOf({ sessions, delivery, dataDir }: ResolvedConfig): SessionsTask {
  if (sessions.store === 'memory') return sessions;
  const { dedupeRetentionMs, replyRetentionMs, turnTimeoutMs } = delivery;
  // A turn that outlives the record of its own commit would run twice.
  const commitRetentionMs = Math.max(dedupeRetentionMs, replyRetentionMs, 2 * turnTimeoutMs);
  return { ...sessions, file: join(dataDir, SESSIONS_FILE), commitRetentionMs };
}
