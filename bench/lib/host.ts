/** Owns what the benches need of a running Orrery: a log that does its work and goes nowhere, and the gateway's address. */
import { type Logger, createLogger } from '../../src/lib/log.ts';
import type { Supervisor } from '../../src/main/index.ts';

/** Logs at the default level, so that logging is part of what is measured. */
export function benchLog(): Logger {
  return createLogger({ level: 'info', pretty: false }, {}, { write: () => undefined });
}

/** Where the gateway listens, without a slash at the end. */
export function gatewayUrl(supervisor: Supervisor): string {
  for (const { url } of supervisor.channels.list()) if (url !== undefined) return url;
  throw new Error('No gateway is open');
}
