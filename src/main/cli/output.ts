/** Owns how commands write results and errors: text for people, JSON for programs, and the exit code of an error. */
import { ERRORS, type WireError, codeOf, toWire } from '../../protocol/index.ts';

/** 0 done, 1 failed or cut off, 2 wrong usage or configuration. */
export type ExitCode = 0 | 1 | 2;

/** Ends a command with an exit code, when everything that is to be said has been said. */
export class Exit extends Error {
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode) {
    super(`exit ${exitCode}`);
    this.exitCode = exitCode;
  }
}

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  printLine(JSON.stringify(value, undefined, 2));
}

/** Writes rows under their heads, columns aligned. */
export function printTable(heads: readonly string[], rows: readonly (readonly string[])[]): void {
  const all = [heads, ...rows];
  const widths = heads.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0)));
  for (const row of all)
    printLine(
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    );
}

/** Tells the exit code of an error by its class. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof Exit) return error.exitCode;
  const code = codeOf(error);
  return code !== undefined && ERRORS[code].class === 'configuration' ? 2 : 1;
}

/** Writes an error for people: message, causes and hint. A stack only where the fault is the host's own. */
export function printError(error: unknown, json: boolean): void {
  if (error instanceof Exit) return;
  const wire = toWire(error);
  if (json) {
    const { code, message, hint } = wire;
    process.stderr.write(`${JSON.stringify({ error: { code: code ?? 'ORRERY_INTERNAL', message, hint } })}\n`);
    return;
  }
  const lines = [`orrery: ${wire.message}`, ...causes(wire)];
  if (wire.hint !== undefined) lines.push(`  ${wire.hint}`);
  if (codeOf(error) === undefined && wire.stack !== undefined) lines.push(wire.stack);
  process.stderr.write(`${lines.join('\n')}\n`);
}

/** A cause that the message already tells says nothing new. */
function causes(wire: WireError): string[] {
  const lines: string[] = [];
  let said = wire.message;
  for (let cause = wire.cause; cause !== undefined; cause = cause.cause) {
    const [first = ''] = cause.message.split('\n', 1);
    if (first !== '' && !said.includes(first)) lines.push(`  because: ${first}`);
    said += cause.message;
  }
  return lines;
}

/** Writes a duration in the largest unit that says enough. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 60) return `${(ms / 1_000).toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
