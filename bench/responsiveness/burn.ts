/** Owns the CPU-bound work of a turn: parsing, sorting and writing a document again and again, as compaction or a tokenizer would. */

interface Line {
  readonly id: number;
  readonly text: string;
  readonly tags: readonly string[];
}

const DOCUMENT: readonly Line[] = Array.from({ length: 200 }, (_, id) => ({
  id,
  text: `line ${(id * 7919) % 200} of a conversation `.repeat(1 + (id % 5)),
  tags: [`t${id % 3}`, `t${id % 7}`],
}));

/** Works for that many units without a pause; returns a sum that depends on all of it. */
export function burn(units: number): number {
  let sum = 0;
  for (let i = 0; i < units; i++) {
    const copy = JSON.parse(JSON.stringify(DOCUMENT)) as Line[];
    copy.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : b.id - a.id));
    sum += copy[i % copy.length]?.id ?? 0;
  }
  return sum;
}

/** Finds how many units take that many milliseconds of this thread's CPU time. */
export function calibrate(ms: number): number {
  const until = performance.now() + 500;
  while (performance.now() < until) burn(10); // compiled by then
  const before = process.threadCpuUsage();
  const tried = 500;
  burn(tried);
  const { user, system } = process.threadCpuUsage(before);
  return Math.max(1, Math.round((tried * ms * 1000) / Math.max(1, user + system)));
}
