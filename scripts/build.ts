/** Builds the package into `dist`: compiled sources with their types, the pages' files, and a command that can be run. */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { extname, join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '..');
const DIST = join(ROOT, 'dist');
/** Folders of pages. */
const PAGES = ['main/web', 'main/bench/report/page'];
const COMMAND = 'main/cli/bin.js';

// What was compiled from a file that is gone must not stay in the package.
rmSync(DIST, { recursive: true, force: true });

const tsc = createRequire(import.meta.url)
  .resolve('typescript/package.json')
  .replace(/package\.json$/, 'bin/tsc');
const { status, error } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], {
  cwd: ROOT,
  stdio: 'inherit',
});
if (error !== undefined) throw error;
if (status !== 0) process.exit(status ?? 1);

// Sources were compiled; everything else in the folders is served, or put into a report, as it is.
for (const page of PAGES) {
  cpSync(join(ROOT, 'src', page), join(DIST, page), {
    recursive: true,
    filter: (source) => extname(source) !== '.ts',
  });
}
chmodSync(join(DIST, COMMAND), 0o755);
