/** Owns where log lines go: to a file descriptor, at once; and what becomes of them when it takes none. */
import { writeSync } from 'node:fs';

/** How long one line may hold up its thread when the reader of a pipe is slow. Heartbeats wait meanwhile. */
const PATIENCE_MS = 1_000;
const LOOK_MS = 10;

export interface LogLines {
  write(line: string): void;
}

export interface LogLinesOptions {
  /** Stands in for the system's call. */
  readonly write?: (fd: number, bytes: Uint8Array) => number;
  /** What is written, once lines go through again, about the `count` that did not. */
  readonly told: (count: number, code: string) => string;
}

/**
 * Writes lines synchronously, and never throws. A terminal that is gone, a disk that is full or a reader that stopped reading must not
 * end a host that still answers: such lines are dropped, and counted in a line of their own when the next one goes through. What cannot be
 * written is not kept: it would have to be bounded, and would say late what is no longer so.
 *
 * Not pino's own destination (sonic-boom): there such an error is thrown by whatever code logs, its memory then grows by each line, and
 * `log.fatal` never returns.
 */
export function logLines(fd: number, { write = writeSync, told }: LogLinesOptions): LogLines {
  let lost = 0;
  let code = '';
  /** What was written last ends within a line. */
  let cut = false;
  /** One line was waited for in vain: until one goes through, the next are not. */
  let stuck = false;

  /** Tells the error that stopped it. */
  function failure(bytes: Uint8Array): string | undefined {
    let deadline: number | undefined;
    let rest = bytes;
    while (rest.length > 0) {
      try {
        rest = rest.subarray(write(fd, rest));
        cut = rest.length > 0;
        stuck = false;
      } catch (error) {
        const found = (error as NodeJS.ErrnoException).code ?? 'unknown';
        if (found !== 'EAGAIN') return found;
        deadline ??= performance.now() + (stuck ? 0 : PATIENCE_MS);
        if (performance.now() >= deadline) {
          stuck = true;
          return found;
        }
        sleep(LOOK_MS);
      }
    }
    return undefined;
  }

  return {
    write(line) {
      const report = lost === 0 ? '' : told(lost, code);
      const failed = failure(Buffer.from(`${cut ? '\n' : ''}${report}${line}`));
      lost = failed === undefined ? 0 : lost + 1;
      if (failed !== undefined) code = failed;
    },
  };
}

const NEVER = new Int32Array(new SharedArrayBuffer(4));

function sleep(ms: number): void {
  Atomics.wait(NEVER, 0, 0, ms);
}
