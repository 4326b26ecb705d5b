/** Owns the whole commands that the eval bench compares: each puts the same questions to the same model, and writes its results. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Evaluation {
  readonly dir: string;
  readonly inputs: readonly string[];
  readonly concurrency: number;
  readonly modelUrl: string;
}

/** Milliseconds of the cases alone, as the command itself tells them, and from the process's start to its end. */
export interface Took {
  readonly casesMs: number;
  readonly wholeMs: number;
}

const BIN = fileURLToPath(new URL('../../src/main/cli/bin.ts', import.meta.url));
/** `npm ci` in `bench/promptfoo` installs it. */
const PROMPTFOO = fileURLToPath(new URL('../promptfoo/node_modules/promptfoo/dist/src/entrypoint.js', import.meta.url));
/** Neither telemetry nor updates, nor anything else that is not on this machine. */
const QUIET = {
  PROMPTFOO_DISABLE_TELEMETRY: '1',
  PROMPTFOO_DISABLE_UPDATE: '1',
  PROMPTFOO_DISABLE_SHARING: '1',
  PROMPTFOO_DISABLE_REMOTE_GENERATION: '1',
};

export const hasPromptfoo: boolean = existsSync(PROMPTFOO);

async function command(script: string, args: readonly string[], cwd: string, env: object = {}): Promise<number> {
  const began = performance.now();
  const child = spawn(process.execPath, [script, ...args], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2_000);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${script} ended with ${code}: ${said}`);
  return performance.now() - began;
}

/** `orrery bench` with the model behind an agent. */
export async function orreryCommand({ dir, inputs, concurrency, modelUrl }: Evaluation, round: number): Promise<Took> {
  const out = join(dir, `orrery-${round}`);
  const config = join(dir, 'orrery.json');
  const suite = join(dir, 'http.jsonl');
  writeFileSync(
    config,
    JSON.stringify({ agents: { practice: { model: 'openai-compatible:practice', baseUrl: modelUrl } } }),
  );
  writeFileSync(suite, inputs.map((input) => `${JSON.stringify({ input })}\n`).join(''));
  const args = ['--agent', 'practice', '--scorer', String.raw`regex:\w`, '--concurrency', String(concurrency)];
  const wholeMs = await command(BIN, ['bench', suite, '-c', config, ...args, '--out', out], dir);
  return { casesMs: await casesMsOf(out, inputs.length), wholeMs };
}

/** From the first case's start to the last one's end, by the results' own times. Throws when a case was not answered. */
export async function casesMsOf(out: string, cases: number): Promise<number> {
  const lines = (await readFile(join(out, 'results.jsonl'), 'utf8')).trim().split('\n');
  let first = Infinity;
  let last = 0;
  let right = 0;
  for (const line of lines) {
    const result = JSON.parse(line) as { startedAt: string; latencyMs: { total: number }; score: number | null };
    const startedAt = Date.parse(result.startedAt);
    first = Math.min(first, startedAt);
    last = Math.max(last, startedAt + result.latencyMs.total);
    if (result.score === 1) right += 1;
  }
  if (right !== cases) throw new Error(`${right} of ${cases} cases were answered`);
  return last - first;
}

/** `promptfoo eval` with its provider for OpenAI's interface. */
export async function promptfooCommand({ dir, inputs, concurrency, modelUrl }: Evaluation): Promise<Took> {
  const config = join(dir, 'promptfooconfig.json');
  const out = join(dir, 'promptfoo.json');
  writeFileSync(
    config,
    JSON.stringify({
      prompts: ['{{input}}'],
      providers: [{ id: 'openai:chat:practice', config: { apiBaseUrl: modelUrl, apiKey: 'none' } }],
      tests: inputs.map((input) => ({ vars: { input }, assert: [{ type: 'regex', value: String.raw`\w` }] })),
    }),
  );
  const flags = ['--no-cache', '--no-progress-bar', '--no-table', '--no-write'];
  const args = ['eval', '-c', config, '--max-concurrency', String(concurrency), ...flags, '-o', out];
  const env = { ...QUIET, PROMPTFOO_CONFIG_DIR: join(dir, 'promptfoo') };
  const wholeMs = await command(PROMPTFOO, args, dir, env);
  const { results } = JSON.parse(await readFile(out, 'utf8')) as {
    results: { stats: { successes: number; evaluationDurationMs: number } };
  };
  const { successes, evaluationDurationMs } = results.stats;
  if (successes !== inputs.length) throw new Error(`promptfoo answered ${successes} of ${inputs.length} cases`);
  return { casesMs: evaluationDurationMs, wholeMs };
}
