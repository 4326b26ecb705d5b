/** Owns the figures of a load run as rows of text, one column for each target: the terminal and the page show the same. */
import { type LoadReport, type TargetReport, quoted, quotedFirst, ratio } from './report.ts';

export interface FigureTable {
  readonly heads: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

type Read = (target: TargetReport) => number | null;

interface Row {
  readonly name: string;
  readonly read: Read;
  readonly show: (value: number) => string;
  /** Whether the quotient of two targets says something. */
  readonly compared: boolean;
  /** Left out when no target has a figure, or all have 0. */
  readonly ifAny?: boolean;
}

const count = (value: number): string => value.toLocaleString('en-US');
const rate = (value: number): string => value.toFixed(value < 100 ? 2 : 1);
/** Milliseconds with three digits that say something. */
export function ms(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function figureTable(report: LoadReport): FigureTable {
  const { targets } = report;
  const others = targets.slice(1);
  const [first] = targets;
  const heads = ['', ...targets.map(({ name }) => name), ...others.map(({ name }) => `${name} / ${first?.name ?? ''}`)];
  const rows = rowsOf(report)
    .filter(({ read, ifAny }) => ifAny !== true || targets.some((target) => (read(target) ?? 0) !== 0))
    .map(({ name, read, show, compared }) => {
      const ratios = others.map((target) =>
        compared && first ? cell(ratio(read(target), read(first)), (x) => `${x.toFixed(2)} x`) : '',
      );
      return [name].concat(
        targets.map((target) => cell(read(target), show)),
        ratios,
      );
    });
  return { heads, rows };
}

function cell(value: number | null, show: (value: number) => string): string {
  return value === null ? '-' : show(value);
}

function rowsOf({ mode, options }: LoadReport): readonly Row[] {
  const corrects = mode === 'open' || options.expectedIntervalMs !== null;
  const kind = corrects ? 'corrected' : 'uncorrected';
  return [
    { name: 'requests', read: (t) => t.sent, show: count, compared: false },
    { name: 'answered', read: (t) => t.answered, show: count, compared: false },
    { name: 'failed', read: (t) => t.failed, show: count, compared: false },
    { name: 'waited for --max-in-flight', read: (t) => t.held, show: count, compared: false, ifAny: true },
    { name: 'never sent', read: (t) => t.unsent, show: count, compared: false, ifAny: true },
    { name: 'told Retry-After', read: (t) => t.retryAfter.count, show: count, compared: false, ifAny: true },
    { name: 'answers a second', read: (t) => t.perSecond, show: rate, compared: true },
    { name: 'tokens a second', read: (t) => t.tokens.outputPerSecond, show: rate, compared: true },
    ...percentiles(`latency, ${kind}, ms`, quoted),
    ...(corrects ? percentiles('latency, uncorrected, ms', (t) => t.latencyMs.uncorrected) : []),
    ...(options.stream
      ? percentiles(`first text, ${mode === 'open' ? 'corrected' : 'uncorrected'}, ms`, quotedFirst, ['p50', 'p99'])
      : []),
    ...(options.stream ? percentiles('between texts, ms', (t) => t.gapMs, ['p50', 'p99']) : []),
    ...(options.stream ? percentiles('a token after the first, ms', (t) => t.perTokenMs, ['p50', 'p99']) : []),
  ];
}

type Percentile = 'mean' | 'p50' | 'p90' | 'p99' | 'p999' | 'max';

const LABELS: Readonly<Record<Percentile, string>> = {
  mean: 'mean',
  p50: 'p50',
  p90: 'p90',
  p99: 'p99',
  p999: 'p99.9',
  max: 'max',
};

function percentiles(
  name: string,
  read: (target: TargetReport) => TargetReport['gapMs'],
  which: readonly Percentile[] = ['mean', 'p50', 'p90', 'p99', 'p999', 'max'],
): readonly Row[] {
  return which.map((key) => ({
    name: `${name}: ${LABELS[key]}`,
    read: (t) => read(t)[key],
    show: ms,
    compared: true,
    ifAny: true,
  }));
}

/** What went wrong, the most frequent first. */
export function failureTable({ targets }: LoadReport): FigureTable {
  const rows = targets.flatMap(({ name, failures }) =>
    failures.map(({ kind, status, code, message, count: n }) => [
      ...(targets.length > 1 ? [name] : []),
      count(n),
      [kind, status, code].filter((part) => part !== undefined).join(' '),
      message,
    ]),
  );
  return { heads: [...(targets.length > 1 ? ['target'] : []), 'count', 'failure', 'the first one said'], rows };
}

/** How the requests were spread, in words. */
export function paceWords({ options, mode }: LoadReport): string {
  const { rate: perSecond, arrivals, concurrency, durationMs, requests, warmupMs, stream, rounds } = options;
  const pace =
    mode === 'open'
      ? `open loop, ${perSecond ?? 0} arrivals a second (${arrivals === 'poisson' ? `Poisson, seed ${options.seed}` : 'constant'})`
      : `closed loop, ${concurrency ?? 0} callers`;
  const until = [
    ...(durationMs === null ? [] : [`${durationMs / 1_000} s`]),
    ...(requests === null ? [] : [`${count(requests)} requests`]),
  ].join(' or ');
  return [
    pace,
    until,
    ...(warmupMs > 0 ? [`after ${warmupMs / 1_000} s of warm-up`] : []),
    stream ? 'streamed' : 'not streamed',
    ...(rounds > 1 ? [`in ${rounds} rounds`] : []),
  ].join(', ');
}
