/** Owns how a log is made, on main and in workers alike: JSON lines or lines for people, written at once, without secrets. */
import { createRequire } from 'node:module';
import pino, { type DestinationStream, type Logger } from 'pino';
import type * as Pretty from 'pino-pretty';
import { logLines } from './log-lines.ts';

export type { Logger } from 'pino';

export interface LogOptions {
  /** `trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`. */
  readonly level: string;
  /** Lines for people instead of JSON. */
  readonly pretty: boolean;
  /** A file descriptor, by default 1. Commands that print results on standard output log to 2, workers included. */
  readonly fd?: number;
}

/** Compared without case, `-` and `_`: `x-api-key`, `apiKey` and `API_KEY` are one. */
const SECRETS: readonly string[] = [
  'token',
  'admintoken',
  'bottoken',
  'apptoken',
  'accesstoken',
  'apikey',
  'xapikey',
  'authorization',
  'proxyauthorization',
  'cookie',
  'setcookie',
  'password',
  'secret',
];
/** Under these people's messages travel: what they say is not for a log. */
const TEXTS: readonly string[] = ['content', 'text'];
const HIDDEN_KEYS: ReadonlySet<string> = new Set([...SECRETS, ...TEXTS]);

/** What `redact` finds in bindings: it has exact names only. */
const BINDINGS: readonly string[] = [
  'token',
  'adminToken',
  'apiKey',
  'authorization',
  'cookie',
  'password',
  'content',
  'text',
];

/** Deeper objects are replaced whole: nothing in them is known to be harmless. */
const MAX_DEPTH = 4;

/** Stands for what is not shown. */
export const REDACTED = '[not logged]';

/**
 * Makes the log of one side. Lines are written synchronously: a thread or process that dies loses none that it wrote.
 * `bindings` stand on every line; use `slot`, `agent`, `channel`, `session` and `delivery` for what they name.
 */
export function createLogger(
  options: LogOptions,
  bindings: Readonly<Record<string, string | number>> = {},
  to: DestinationStream = destination(options),
): Logger {
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.epochTime,
      serializers: { err: serializeError, error: serializeError, cause: serializeError },
      // Bindings of child loggers go past the formatters.
      redact: { paths: [...BINDINGS], censor: REDACTED },
      // Not `redact` for the lines too: its wildcards cost 25 us a line, this costs under 1.
      formatters: { level: (label) => ({ level: label }), log: hide },
    },
    to,
  ).child(bindings);
}

/** Makes the log of a worker: no transport, which would lose the last lines of a crash. */
export function createWorkerLogger(
  options: LogOptions,
  bindings: Readonly<Record<string, string | number>> = {},
): Logger {
  return createLogger(options, bindings);
}

/** Makes a log that drops everything; for embedders and tests that want none. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}

function destination({ pretty, fd = 1 }: LogOptions): DestinationStream {
  const form = pretty ? forPeople() : (line: string): string => line;
  const lines = logLines(fd, {
    told: (count, code) => {
      const fields = {
        level: 'warn',
        time: Date.now(),
        lines: count,
        code,
        msg: 'log lines could not be written and are lost',
      };
      return form(`${JSON.stringify(fields)}\n`);
    },
  });
  return { write: (line) => lines.write(form(line)) };
}

function forPeople(): (line: string) => string {
  // Only here: a worker that comes up after a crash should not wait for what it does not use.
  const { prettyFactory } = createRequire(import.meta.url)('pino-pretty') as typeof Pretty;
  return prettyFactory({
    colorize: true,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname',
    singleLine: true,
  });
}

/** Returns the object itself where nothing is to be hidden, which is nearly always; else a copy. */
function hide(fields: Record<string, unknown>, depth = 0): Record<string, unknown> {
  let copy: Record<string, unknown> | undefined;
  for (const key of Object.keys(fields)) {
    const value = fields[key];
    const shown = isHidden(key) ? REDACTED : hideIn(value, depth + 1);
    if (shown !== value) (copy ??= { ...fields })[key] = shown;
  }
  return copy ?? fields;
}

function hideIn(value: unknown, depth: number): unknown {
  if (Array.isArray(value)) return hideInList(value, depth);
  // Errors and other instances have serializers that know them; a copy of their keys would not be one of them.
  if (!isPlainObject(value)) return value;
  return depth > MAX_DEPTH ? REDACTED : hide(value, depth);
}

function hideInList(value: readonly unknown[], depth: number): unknown {
  if (depth > MAX_DEPTH) return REDACTED;
  const shown = value.map((item) => hideIn(item, depth + 1));
  return shown.some((item, i) => item !== value[i]) ? shown : value;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Keys repeat from line to line: each is normalized once. The bound keeps made-up keys from filling the heap. */
const judged = new Map<string, boolean>();
const MAX_JUDGED = 1_000;

function isHidden(key: string): boolean {
  let hidden = judged.get(key);
  if (hidden === undefined) {
    hidden = HIDDEN_KEYS.has(key.toLowerCase().replaceAll(/[-_]/g, ''));
    if (judged.size < MAX_JUDGED) judged.set(key, hidden);
  }
  return hidden;
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
