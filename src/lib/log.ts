/** Owns how a log is made, on main and in workers alike: JSON lines or lines for people, written at once, without secrets. */
import pino, { type DestinationStream, type Logger } from 'pino';
import { PinoPretty } from 'pino-pretty';

export type { Logger } from 'pino';

export interface LogOptions {
  /** `trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`. */
  readonly level: string;
  /** Lines for people instead of JSON. */
  readonly pretty: boolean;
}

/** Standard output or standard error. */
export type LogFd = 1 | 2;

const SECRET_KEYS: readonly string[] = [
  'token',
  'adminToken',
  'apiKey',
  'authorization',
  'cookie',
  'password',
  'secret',
  'botToken',
  'appToken',
  '["set-cookie"]',
  '["x-api-key"]',
];

/** Keys under which people's messages travel: what they say is not for a log. */
const TEXT_KEYS: readonly string[] = ['content', 'text'];

/** Where such keys are looked for: at the top, one and two levels down. Deeper objects are not to be logged. */
const PATHS: readonly string[] = [...SECRET_KEYS, ...TEXT_KEYS].flatMap((key) => {
  const dotted = key.startsWith('[') ? key : `.${key}`;
  return [key, `*${dotted}`, `*.*${dotted}`];
});

/** Stands for what is not shown. */
export const REDACTED = '[not logged]';

/**
 * Makes the log of one side. Lines are written synchronously: a thread or process that dies loses none that it wrote.
 * `bindings` stand on every line; use `slot`, `agent`, `channel`, `session` and `delivery` for what they name.
 */
export function createLogger(
  options: LogOptions,
  bindings: Readonly<Record<string, string | number>> = {},
  to: LogFd | DestinationStream = 1,
): Logger {
  const stream = typeof to === 'number' ? destination(options, to) : to;
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.epochTime,
      redact: { paths: [...PATHS], censor: REDACTED },
      serializers: { err: serializeError, error: serializeError, cause: serializeError },
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  ).child(bindings);
}

/** Makes the log of a worker: no transport, which would lose the last lines of a crash. */
export function createWorkerLogger(
  options: LogOptions,
  bindings: Readonly<Record<string, string | number>> = {},
): Logger {
  return createLogger(options, bindings, 1);
}

/** Makes a log that drops everything; for embedders and tests that want none. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}

function destination(options: LogOptions, fd: LogFd): DestinationStream {
  if (!options.pretty) return pino.destination({ fd, sync: true });
  return PinoPretty({
    destination: fd,
    sync: true,
    colorize: true,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname',
    singleLine: true,
  });
}

/** pino's own serializer copies every enumerable key of an error, such as a provider's request with its headers. */
function serializeError(error: unknown): unknown {
  if (typeof error !== 'object' || error === null) return error;
  const { name, message, code, stack, cause } = error as Record<string, unknown>;
  return {
    type: name,
    message,
    ...(code === undefined ? {} : { code }),
    stack,
    ...(cause === undefined || cause === null ? {} : { cause: serializeCause(cause, 1) }),
  };
}

/** A cyclic chain of causes would not end. */
const MAX_CAUSES = 8;

function serializeCause(cause: unknown, depth: number): unknown {
  if (typeof cause !== 'object' || cause === null) return cause;
  const { name, message, code, cause: next } = cause as Record<string, unknown>;
  return {
    type: name,
    message,
    ...(code === undefined ? {} : { code }),
    ...(next === undefined || next === null || depth >= MAX_CAUSES ? {} : { cause: serializeCause(next, depth + 1) }),
  };
}
