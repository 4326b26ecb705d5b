/** Is the process that is measured: a benchmark run, or the host's round trip with the same scorers and counts beside it. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { runBench } from '../../src/main/bench/index.ts';
import { Scoring } from '../../src/main/bench/scoring.ts';
import { type OrreryConfig, createSupervisor } from '../../src/main/index.ts';
import { TokenPool } from '../../src/main/tokens/index.ts';
import { benchLog } from '../lib/host.ts';
import { serve } from '../lib/process.ts';

export interface RunFigures {
  readonly perSecond: number;
  /** Memory of the process after each tenth of the run. */
  readonly memoryMb: readonly number[];
  readonly loopP50Ms: number;
  readonly loopP99Ms: number;
  readonly loopMaxMs: number;
}

const RESOLUTION_MS = 1;
const TENTHS = 10;
const WARM_UP = 2_000;
const AGENTS = ['one', 'two'] as const;
const CONFIG: OrreryConfig = {
  agents: { one: { use: 'builtin:echo' }, two: { use: 'builtin:echo' } },
  defaultAgent: 'one',
  workers: { threads: 2 },
  delivery: { journal: 'memory' },
  sessions: { store: 'memory' },
};
const SCORERS = ['includes'];
const memoryMb = (): number => process.memoryUsage.rss() / 1_048_576;

async function run({ suite, out, inFlight }: { suite: string; out: string; inFlight: number }): Promise<RunFigures> {
  const loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  const memory: number[] = [];
  let began = 0;
  let first = 0;
  const report = await runBench({
    suite,
    out,
    agents: [...AGENTS],
    scorers: SCORERS,
    // Made when all is over, in a thread: it is not what is measured.
    report: false,
    config: CONFIG,
    concurrency: inFlight / 2,
    log: benchLog(),
    onProgress({ agents }) {
      const done = agents.reduce((sum, agent) => sum + agent.done, 0);
      const planned = agents.reduce((sum, agent) => sum + agent.planned, 0);
      // From the first look on: what comes before is loading code.
      if (began === 0) {
        loop.enable();
        began = performance.now();
        first = done;
      }
      while (memory.length < TENTHS && done * TENTHS >= (memory.length + 1) * planned) memory.push(memoryMb());
    },
  });
  const seconds = (performance.now() - began) / 1_000;
  loop.disable();
  const delay = (ns: number): number => Math.max(0, ns / 1e6 - RESOLUTION_MS);
  return {
    perSecond: (report.manifest.totals.done - first) / seconds,
    memoryMb: memory,
    loopP50Ms: delay(loop.percentile(50)),
    loopP99Ms: delay(loop.percentile(99)),
    loopMaxMs: delay(loop.max),
  };
}

interface Replied {
  readonly id: string;
  readonly input: string;
  readonly output: string;
  readonly expected: string;
}

/** `inject` as fast as it goes, its replies scored and counted in batches as a run does it. Returns messages a second. */
async function roundTrip({ cases, inFlight }: { cases: number; inFlight: number }): Promise<number> {
  const supervisor = await createSupervisor(CONFIG, { log: benchLog() });
  await supervisor.start();
  const scoring = new Scoring({ specs: [{ kind: 'includes', name: 'includes' }] });
  const tokens = new TokenPool();
  let queue: Replied[] = [];
  let batches = 0;
  let scored = 0;
  const all = Promise.withResolvers<void>();
  const total = 2 * cases;
  const finish = async (batch: readonly Replied[]): Promise<void> => {
    await Promise.all([scoring.score(batch), tokens.count(batch.flatMap(({ input, output }) => [input, output]))]);
    batches -= 1;
    scored += batch.length;
    if (scored === total) all.resolve();
    pump();
  };
  const pump = (): void => {
    while (batches < 2 && queue.length > 0) {
      const batch = queue.slice(0, scoring.batchSize);
      queue = queue.slice(scoring.batchSize);
      batches += 1;
      void finish(batch);
    }
  };
  let next = 0;
  const ask = async (): Promise<void> => {
    const number = (next += 1);
    const input = `What is ${number} plus ${number % 97}? Answer with the number.`;
    const { message } = await supervisor.inject({
      id: String(number),
      channel: 'bench',
      namespace: `bench:${number}`,
      agent: AGENTS[number % 2] ?? 'one',
      message: { role: 'user', content: input },
      context: { mode: 'replace', messages: [] },
      metadata: {},
      receivedAt: Date.now(),
    });
    queue.push({ id: String(number), input, output: message.content, expected: String(number + (number % 97)) });
    if (queue.length === 1) queueMicrotask(pump);
  };
  const put = async (count: number): Promise<void> => {
    // One list that all lanes draw from.
    const places = Array.from({ length: count }).values();
    const lane = async (): Promise<void> => {
      for (const _ of places) await ask();
    };
    await Promise.all(Array.from({ length: inFlight }, lane));
  };
  // Code is compiled and the vocabulary is there before the clock starts.
  await put(Math.min(WARM_UP, cases));
  const from = next;
  const began = performance.now();
  await put(total - from);
  await all.promise;
  const perSecond = (total - from) / ((performance.now() - began) / 1_000);
  await supervisor.close();
  await Promise.all([scoring.close(), tokens.close()]);
  return perSecond;
}

serve({ run, roundTrip });
