/**
 * Runs the property tests with a seed that nobody chose, and with more cases than `npm test` takes time for. When one fails, it
 * tells the command that fails again; the counterexample is in the test's own message. Names of files or parts of them narrow it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string' }, times: { type: 'string', default: '10' } },
});
const seed = values.seed ?? String(randomInt(1, 2 ** 31));
for (const [option, value] of [
  ['seed', seed],
  ['times', values.times],
] as const) {
  if (value.trim() === '' || !Number.isFinite(Number(value)))
    throw new Error(`Expected --${option} to be a number, got "${value}".`);
}

const files = globSync('test/{unit,contract,integration,property,fault}/**/*.test.ts', { cwd: root }).filter(
  (file) =>
    readFileSync(new URL(`../${file}`, import.meta.url), 'utf8').includes("'fast-check'") &&
    (positionals.length === 0 || positionals.some((part) => file.includes(part))),
);
if (files.length === 0) throw new Error(`No property test matches ${positionals.join(', ')}.`);

const vitest = fileURLToPath(new URL('vitest.mjs', import.meta.resolve('vitest/package.json')));
const child = spawn(process.execPath, [vitest, 'run', ...files], {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit'],
  env: { ...process.env, PROPERTY_SEED: seed, PROPERTY_TIMES: values.times },
});
const [code] = (await once(child, 'exit')) as [number | null];
const again = `npm run properties -- --times ${values.times} --seed ${seed} ${positionals.join(' ')}`.trimEnd();
console.log(`${code === 0 ? 'All properties held' : 'Some property FAILED'}; the same cases again: ${again}`);
process.exitCode = code === 0 ? 0 : 1;
