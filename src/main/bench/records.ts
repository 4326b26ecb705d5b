/** Owns reading a suite's file record by record, as a stream: JSONL and CSV. What a record means is in `cases.ts`. */
import { createReadStream } from 'node:fs';
import { parse } from 'csv-parse';
import { messageOf } from '../../protocol/index.ts';
import { invalid } from './errors.ts';

/** A record with its place, as `FILE:LINE`. */
export interface SuiteRecord {
  readonly where: string;
  readonly value: unknown;
  /** Characters that it took in the file, as far as they hold anything. */
  readonly chars: number;
}

/** Bytes of one line: beyond that it is taken for a file that is no JSONL. */
const MAX_LINE_BYTES: number = 64 * 1024 * 1024;
/** What is read at once is parsed at once: small, so that the loop is not held up. */
const CHUNK_BYTES = 16_384;
/** Records of CSV that are handed on together. */
const CSV_BATCH = 64;
const NEWLINE = 10;
const BYTE_ORDER_MARK = 0xfeff;
const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads records in batches, as many as a chunk of the file holds. Throws `ORRERY_BENCH_INVALID` with the place. */
export function readRecords(path: string): AsyncIterable<readonly SuiteRecord[]> {
  return path.toLowerCase().endsWith('.csv') ? readCsv(path) : readJsonLines(path);
}

/** A line of a file, numbered from 1. */
export interface Line {
  readonly number: number;
  readonly text: string;
}

/** Reads whole lines in batches; a last line without an end counts. Throws `ORRERY_BENCH_INVALID` at a line that is no UTF-8. */
export async function* readLines(path: string): AsyncGenerator<readonly Line[]> {
  let rest: Buffer = Buffer.alloc(0);
  let count = 0;
  const linesOf = (bytes: Buffer): readonly Line[] => {
    const lines = decode(bytes, path, count).map((text, i) => ({ number: count + i + 1, text: withoutMark(text) }));
    count += lines.length;
    return lines;
  };
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
    const bytes = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
    const end = bytes.lastIndexOf(NEWLINE);
    rest = bytes.subarray(end + 1);
    if (rest.length > MAX_LINE_BYTES) throw invalid(`${path}:${count + 1}: expected lines of at most 64 MiB`);
    if (end >= 0) yield linesOf(bytes.subarray(0, end));
  }
  if (rest.length > 0) yield linesOf(rest);
}

/** Decodes lines in one step: no byte of a longer UTF-8 sequence is a newline. Only to find the line that is wrong it goes line by line. */
function decode(bytes: Buffer, path: string, before: number): readonly string[] {
  try {
    return DECODER.decode(bytes).split('\n');
  } catch {
    const lines: string[] = [];
    for (let from = 0; from <= bytes.length;) {
      const at = bytes.indexOf(NEWLINE, from);
      const end = at < 0 ? bytes.length : at;
      try {
        lines.push(DECODER.decode(bytes.subarray(from, end)));
      } catch (error) {
        throw invalid(`${path}:${before + lines.length + 1}: expected UTF-8`, { cause: error });
      }
      from = end + 1;
    }
    return lines;
  }
}

/** Files that were put together may have a byte order mark at any of their lines. */
function withoutMark(text: string): string {
  return text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text;
}

async function* readJsonLines(path: string): AsyncGenerator<readonly SuiteRecord[]> {
  for await (const lines of readLines(path)) {
    const records: SuiteRecord[] = [];
    for (const { number, text } of lines) {
      if (text.trim() === '') continue;
      const where = `${path}:${number}`;
      try {
        records.push({ where, value: JSON.parse(text), chars: text.length });
      } catch (error) {
        throw invalid(`${where}: expected one JSON object a line (${messageOf(error)})`, { cause: error });
      }
    }
    if (records.length > 0) yield records;
  }
}

/** The first line names the columns, but in MMLU as published, which has none. */
async function* readCsv(path: string): AsyncGenerator<readonly SuiteRecord[]> {
  const parser = createReadStream(path).pipe(parse({ bom: true, info: true, skip_empty_lines: true }));
  let heads: readonly string[] | undefined;
  let batch: SuiteRecord[] = [];
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
      const where = `${path}:${info.lines}`;
      if (heads === undefined) {
        const isMmlu = isBareMmlu(record);
        heads = isMmlu ? MMLU_COLUMNS : record.map((head) => head.trim());
        if (!isMmlu) continue;
      }
      const chars = record.reduce((sum, cell) => sum + cell.length, 0);
      batch.push({ where, value: fieldsOf(heads, record), chars });
      if (batch.length < CSV_BATCH) continue;
      yield batch;
      batch = [];
    }
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || !String(error.code).startsWith('CSV_')) throw error;
    throw invalid(`${path}: expected CSV with as many columns in each line (${error.message})`, { cause: error });
  }
  if (batch.length > 0) yield batch;
}

const MMLU_COLUMNS: readonly string[] = ['question', 'A', 'B', 'C', 'D', 'answer'];

function isBareMmlu(record: readonly string[]): boolean {
  return record.length === MMLU_COLUMNS.length && /^[A-D]$/.test(record.at(-1)?.trim() ?? '');
}

/** `tags` are separated by `;`, `metadata.KEY` is a key of the metadata, and an empty cell is no value. */
function fieldsOf(heads: readonly string[], record: readonly string[]): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  const metadata: Record<string, string> = {};
  for (const [i, head] of heads.entries()) {
    const cell = record[i] ?? '';
    if (cell === '' && head !== 'input' && head !== 'expected') continue;
    if (head.startsWith('metadata.')) metadata[head.slice('metadata.'.length)] = cell;
    else if (head === 'tags') fields[head] = cell.split(';').map((tag) => tag.trim());
    else fields[head] = cell;
  }
  if (Object.keys(metadata).length > 0) fields['metadata'] = metadata;
  return fields;
}
