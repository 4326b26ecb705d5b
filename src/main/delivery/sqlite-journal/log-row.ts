/** Owns a row of the log, a transaction's messages and marks, as it is read and written. */
import { NO_APPENDS, NO_MARKS, type PackedAppends, type PackedMarks } from './packed-work.ts';
import type { Cell, Statements } from './statements.ts';
import { Marked } from './unpacked-work.ts';

export interface LogRow {
  readonly row: number;
  readonly at: number;
  readonly prefix: string;
  readonly appends: PackedAppends;
  readonly marks: PackedMarks;
}

export const NO_ROW: LogRow = { row: 0, at: 0, prefix: '', appends: NO_APPENDS, marks: NO_MARKS };

export function rowOf([row, at, prefix, appends, marks, keys, states, texts]: readonly Cell[]): LogRow {
  return {
    row: row as number,
    at: at as number,
    prefix: prefix as string,
    appends: { numbers: numbersOf(appends), keys: keys as string, texts: texts as string, large: [] },
    marks: { numbers: numbersOf(marks), texts: states as string },
  };
}

export function writeRow(sql: Statements, { row, at, prefix, appends, marks }: LogRow): void {
  sql.logWrite.run(row, at, prefix, appends.numbers, marks.numbers, appends.keys, marks.texts, appends.texts);
}

export function newestMark({ marks }: LogRow, of: number): Pick<Marked, 'attempts' | 'rest' | 'text'> | undefined {
  const marked = new Marked(marks);
  let newest: Pick<Marked, 'attempts' | 'rest' | 'text'> | undefined;
  while (marked.next()) {
    const { seq, attempts, rest, text } = marked;
    if (seq === of) newest = { attempts, rest, text };
  }
  return newest;
}

/** A copy: numbers must stand where eight divides the place. */
export function numbersOf(cell: Cell | undefined): Float64Array<ArrayBuffer> {
  return new Float64Array((cell as Uint8Array).slice().buffer);
}
