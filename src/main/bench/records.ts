/** Owns reading a suite's file record by record, as a stream: JSONL and CSV. What a record means is in `cases.ts`. */
import { createReadStream } from 'node:fs';
import { parse } from 'csv-parse';
import { messageOf } from '../../protocol/index.ts';
import { invalid } from './errors.ts';

/** A record with its place, as `FILE:LINE`. */
export interface SuiteRecord {
  readonly where: string;
  readonly value: unknown;
}

/** Bytes of one line: beyond that it is taken for a file that is no JSONL. */
const MAX_LINE_BYTES: number = 64 * 1024 * 1024;
/** What is read at once is parsed at once: small, so that the loop is not held up. */
const CHUNK_BYTES = 16_384;
/** Records of CSV that are handed on together. */
const CSV_BATCH = 64;
const NEWLINE = 10;

/** Reads records in batches, as many as a chunk of the file holds. Throws `ORRERY_BENCH_INVALID` with the place. */
export function readRecords(path: string): AsyncIterable<readonly SuiteRecord[]> {
  return path.toLowerCase().endsWith('.csv') ? readCsv(path) : readJsonLines(path);
}

/** Reads whole lines in batches; a last line without an end counts. `lines` are numbered from 1. */
export async function* readLines(
  path: string,
): AsyncGenerator<readonly { readonly number: number; readonly text: string }[]> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest: Buffer = Buffer.alloc(0);
  let number = 0;
  const decode = (bytes: Buffer): { number: number; text: string } => {
    number += 1;
    try {
      return { number, text: decoder.decode(bytes) };
    } catch (error) {
      throw invalid(`${path}:${number}: expected UTF-8`, { cause: error });
    }
  };
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
    const bytes = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
    const lines: { number: number; text: string }[] = [];
    let from = 0;
    for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, from)) {
      lines.push(decode(bytes.subarray(from, at)));
      from = at + 1;
    }
    rest = bytes.subarray(from);
    if (rest.length > MAX_LINE_BYTES) throw invalid(`${path}:${number + 1}: expected lines of at most 64 MiB`);
    if (lines.length > 0) yield lines;
  }
  if (rest.length > 0) yield [decode(rest)];
}

async function* readJsonLines(path: string): AsyncGenerator<readonly SuiteRecord[]> {
  for await (const lines of readLines(path)) {
    const records: SuiteRecord[] = [];
    for (const { number, text } of lines) {
      if (text.trim() === '') continue;
      const where = `${path}:${number}`;
      try {
        records.push({ where, value: JSON.parse(text) });
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
      batch.push({ where, value: fieldsOf(heads, record) });
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
