/**
 * Runs the short forms one after another: the chaos run with two seeds, the stop under load, the soak. It fails when one of them does.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const CHAOS = ['--messages', '2000', '--kill-threads', '20', '--kill-process', '3'];
const RUNS: readonly (readonly [file: string, ...args: string[]])[] = [
  ['chaos.ts', ...CHAOS, '--seed', '1'],
  ['chaos.ts', ...CHAOS, '--seed', '2'],
  ['stop.ts', '--short'],
  ['soak.ts', '--short'],
];

for (const [file, ...args] of RUNS) {
  console.log(`\n== ${file} ${args.join(' ')}\n`);
  const from = performance.now();
  const script = fileURLToPath(new URL(file, import.meta.url));
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
  const [code] = (await once(child, 'exit')) as [number | null];
  console.log(
    `== ${file} ${code === 0 ? 'holds' : 'FAILED'} after ${Math.round((performance.now() - from) / 1_000)} s`,
  );
  if (code !== 0) process.exitCode = 1;
}
