/** Owns `orrery bench model`: its options, and what it prints when it starts and ends. */
import { once } from 'node:events';
import type { Command } from 'commander';
import { OrreryError } from '../../protocol/errors.ts';
import type { ModelServerOptions } from '../bench/model/index.ts';
import { type JsonOption, addJsonOption, benchNumber, writtenOption } from './options.ts';
import { printLine } from './output.ts';

interface ModelCommandOptions extends JsonOption {
  readonly ttft?: string;
  readonly tps?: string;
  readonly tokens?: string;
  readonly jitter?: string;
  readonly errorRate?: string;
  readonly errorStatus?: string;
  readonly retryAfter?: string;
  readonly maxConcurrency?: string;
  readonly seed?: string;
  readonly port?: string;
  readonly host?: string;
  readonly name?: string;
}

export function registerBenchModel(bench: Command): void {
  const command = bench
    .command('model')
    .description('serve a model to practise on: it answers as a provider does, at a known pace, and costs nothing')
    .option('--ttft <ms>', 'milliseconds until the first token (default: 200)')
    .option('--tps <n>', 'tokens a second of each reply after that (default: 50)')
    .option('--tokens <n>', 'tokens of a reply (default: 64)')
    .option('--jitter <share>', '0 to 1: each wait differs by up to this share (default: 0)')
    .option('--error-rate <share>', '0 to 1: so many requests fail (default: 0)')
    .option('--error-status <status>', 'what they fail with (default: 503)')
    .option('--retry-after <s>', 'seconds that a 429 or 503 asks to wait (default: 1)')
    .option('--max-concurrency <n>', 'replies under way at once; more get a 429 (default: no limit)')
    .option('--seed <n>', 'draws texts, jitter and failures (default: 0)')
    .option('--port <n>', 'the port (default: 0, any that is free)')
    .option('--host <h>', 'the address (default: 127.0.0.1); there is no key')
    .option('--name <name>', "the model's name in /v1/models; any is answered (default: practice)");
  addJsonOption(command).action((options: ModelCommandOptions) => {
    checkShared(bench.opts());
    return benchModel({ ...options, ...bench.opts<Pick<ModelCommandOptions, 'seed' | 'json'>>() });
  });
}

/** What `bench` has an option for is its own, though it stands behind `model`: those that the model has as well are taken from there. */
function checkShared(given: Readonly<Record<string, unknown>>): void {
  const stray = Object.keys(given).find((name) => name !== 'seed' && name !== 'json');
  if (stray === undefined) return;
  throw new OrreryError('ORRERY_BENCH_INVALID', `Expected no ${writtenOption(stray)} with bench model`, {
    hint: 'See `orrery bench model --help`.',
  });
}

/** Serves until it is told to end. As JSON, it prints a line at the start and one at the end. */
async function benchModel(options: ModelCommandOptions): Promise<void> {
  const { startModelServer, resolveModelOptions } = await import('../bench/model/index.ts');
  const given = resolveModelOptions(readOptions(options), WRITTEN);
  const stop = new AbortController();
  const onSignal = (): void => {
    if (stop.signal.aborted) process.exit(1);
    stop.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  await using server = await startModelServer(given);
  const { ttftMs, tokensPerSecond, tokens, model } = given;
  if (options.json === true) printLine(JSON.stringify({ url: server.url, pid: process.pid, model }));
  else {
    printLine(`A model to practise on: ${server.url}`);
    printLine(`It answers with ${tokens} tokens, the first after ${ttftMs} ms, then ${tokensPerSecond} a second.`);
    printLine(`As an agent: { model: 'openai-compatible:${model}', baseUrl: '${server.url}' }`);
  }
  if (!stop.signal.aborted) await once(stop.signal, 'abort');
  await server.close();
  const { requests, answered, failed, turnedAway, refused, left, mostUnderWay } = server.stats();
  if (options.json === true) printLine(JSON.stringify(server.stats()));
  else {
    printLine(
      `${requests} requests: ${answered} answered, ${failed} failed as drawn, ${turnedAway} turned away, ${refused} refused, ${left} left; at most ${mostUnderWay} at once.`,
    );
  }
}

/** How the options of the server are written here. */
const WRITTEN = {
  ttftMs: '--ttft',
  tokensPerSecond: '--tps',
  tokens: '--tokens',
  jitter: '--jitter',
  errorRate: '--error-rate',
  errorStatus: '--error-status',
  retryAfterSeconds: '--retry-after',
  maxConcurrency: '--max-concurrency',
  seed: '--seed',
  port: '--port',
  host: '--host',
  model: '--name',
} as const satisfies Record<keyof ModelServerOptions, string>;

function readOptions(options: ModelCommandOptions): ModelServerOptions {
  const { host, name: model } = options;
  const given = {
    ttftMs: benchNumber(WRITTEN.ttftMs, options.ttft),
    tokensPerSecond: benchNumber(WRITTEN.tokensPerSecond, options.tps),
    tokens: benchNumber(WRITTEN.tokens, options.tokens),
    jitter: benchNumber(WRITTEN.jitter, options.jitter),
    errorRate: benchNumber(WRITTEN.errorRate, options.errorRate),
    errorStatus: benchNumber(WRITTEN.errorStatus, options.errorStatus),
    retryAfterSeconds: benchNumber(WRITTEN.retryAfterSeconds, options.retryAfter),
    maxConcurrency: benchNumber(WRITTEN.maxConcurrency, options.maxConcurrency),
    seed: benchNumber(WRITTEN.seed, options.seed),
    port: benchNumber(WRITTEN.port, options.port),
    host,
    model,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
