/**
 * One contestant in a process of its own: Orrery, the bare handler, or the bare handler in a cluster.
 *
 * contestant.ts KIND CORES MODEL_URL
 */
import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { createSupervisor } from '../../src/main/index.ts';
import { benchLog, gatewayUrl } from '../lib/host.ts';
import { cpuSeconds, serve } from '../lib/process.ts';
import { startBare } from './bare-server.ts';
import { SYSTEM } from './reply.ts';

interface Contestant {
  readonly url: string;
  /** CPU time so far of all its processes and threads, in seconds. */
  cpu(): Promise<number> | number;
  close(): Promise<void>;
}

const [kind = '', cores, modelUrl = ''] = [process.argv[2], Number(process.argv[3]), process.argv[4]];

async function orrery(): Promise<Contestant> {
  const supervisor = await createSupervisor(
    {
      agents: { bench: { model: 'openai-compatible:bench', baseUrl: modelUrl, system: SYSTEM, replicas: cores } },
      workers: { threads: cores },
      // The bare handler keeps nothing at all; what a disk costs is `bench/durable` and `bench/sessions`.
      delivery: { journal: 'memory' },
      sessions: { store: 'memory' },
      channels: { web: { type: 'gateway', port: 0 } },
    },
    { log: benchLog() },
  );
  await supervisor.start();
  return { url: gatewayUrl(supervisor), cpu: cpuSeconds, close: () => supervisor.close() };
}

async function bare(): Promise<Contestant> {
  return { url: await startBare(modelUrl), cpu: cpuSeconds, close: async () => undefined };
}

async function clustered(): Promise<Contestant> {
  cluster.setupPrimary({ args: [kind, String(cores), modelUrl] });
  const workers = Array.from({ length: cores }, () => cluster.fork());
  const [url = ''] = await Promise.all(workers.map((worker) => told<string>(worker)));
  return {
    url,
    async cpu() {
      const used = workers.map((worker) => told<number>(worker));
      for (const worker of workers) worker.send('cpu');
      return (await Promise.all(used)).reduce((sum, seconds) => sum + seconds, cpuSeconds());
    },
    async close() {
      const ended = workers.map((worker) => once(worker, 'exit'));
      for (const worker of workers) worker.kill();
      await Promise.all(ended);
    },
  };
}

async function told<T>(worker: Worker): Promise<T> {
  const [message] = (await once(worker, 'message')) as [T];
  return message;
}

if (cluster.isWorker) {
  process.on('message', (message) => message === 'cpu' && process.send?.(cpuSeconds()));
  process.once('disconnect', () => process.exit(0));
  process.send?.(await startBare(modelUrl));
} else {
  const kinds: Readonly<Record<string, () => Promise<Contestant>>> = { orrery, bare, cluster: clustered };
  const make = kinds[kind];
  if (!make) throw new Error(`Expected orrery, bare or cluster, got ${kind}`);
  const contestant = await make();
  serve({ url: () => contestant.url, cpu: () => contestant.cpu() }, () => contestant.close());
}
