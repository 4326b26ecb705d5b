/** Runs the short form of the chaos run, once for each of two seeds. It fails when one of them does. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const CHAOS = fileURLToPath(new URL('./chaos.ts', import.meta.url));
const SEEDS = [1, 2];
const SHORT = ['--messages', '2000', '--kill-threads', '20', '--kill-process', '3'];

for (const seed of SEEDS) {
  const child = spawn(process.execPath, [CHAOS, ...SHORT, '--seed', String(seed), ...process.argv.slice(2)], {
    stdio: 'inherit',
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) process.exitCode = 1;
}
