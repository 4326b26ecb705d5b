/** Reads configuration files a second time, and finds the files that belong to a module. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { importApart } from '../../src/main/config/apart.ts';
import { localFiles } from '../../src/main/config/imports.ts';
import { loadConfig } from '../../src/main/config/load.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

let files: TemporaryDirectory;

beforeEach(() => {
  files = temporaryDirectory();
});

afterEach(() => files[Symbol.dispose]());

describe('a configuration that is read again', () => {
  test('again - a module and what it imports are as they are on disk now', async () => {
    const file = files.write(
      'orrery.config.ts',
      `import { defineConfig } from 'orrery-host';
import { name } from './name.ts';
export default defineConfig({ agents: { [name]: { use: 'builtin:echo' } } });`,
    );
    files.write('name.ts', "export const name = 'one';");
    const read = async () => Object.keys((await loadConfig({ file, env: {}, again: true })).agents);
    expect(await read()).toEqual(['one']);
    files.write('name.ts', "export const name = 'two';");
    expect(await read()).toEqual(['two']);
  });

  test.each([
    { text: 'export const agents = {};', says: 'expected a default export' },
    { text: 'export default {', says: 'orrery.config.ts' },
    { text: "throw new Error('not today');", says: 'not today' },
    { text: 'process.exit(0);', says: 'the module ended its thread' },
    {
      text: "export default { agents: { a: { use: () => 'builtin:echo' } } };",
      says: 'expected data, found code at `agents.a.use`',
    },
  ])('again - a module that cannot be read is an error that says why: $says', async ({ text, says }) => {
    const file = files.write('orrery.config.ts', text);
    await expect(loadConfig({ file, env: {}, again: true })).rejects.toMatchObject({
      code: 'ORRERY_CONFIG_UNREADABLE',
      message: expect.stringContaining(says),
    });
  });

  test('again - a file that is empty for the moment is no configuration', async () => {
    for (const name of ['orrery.config.ts', 'orrery.config.mjs', 'orrery.json', 'orrery.json5']) {
      const file = files.write(name, '');
      await expect(loadConfig({ file, env: {}, again: true })).rejects.toMatchObject({
        code: expect.stringMatching(/^ORRERY_CONFIG_(?:UNREADABLE|INVALID)$/),
      });
    }
  });

  test('again - what is wrong with the values is told as ever', async () => {
    const file = files.write('orrery.config.ts', "export default { agents: { a: { use: 'builtin:ehco' } }, prot: 1 };");
    await expect(loadConfig({ file, env: {}, again: true })).rejects.toMatchObject({
      code: 'ORRERY_CONFIG_INVALID',
      message: expect.stringMatching(/builtin:ehco[\s\S]*prot|prot[\s\S]*builtin:ehco/),
    });
  });

  test('again - a module that never ends is given up', async () => {
    const file = files.write('orrery.config.mjs', 'await new Promise(() => setInterval(() => undefined, 1000));');
    await expect(importApart(file, 500)).rejects.toThrow('not loaded within 500 ms');
  });
});

test('imports - relative ones are followed, also in a circle and through any form, and others are not', async () => {
  const entry = files.write(
    'agents/main.ts',
    `import { a } from './a.ts';
export * from "../shared/b.js";
import './effect.mjs';
import type { T } from './types.ts';
const lazy = () => import('./lazy.ts?x=1');
import zod from 'zod';
import { readFile } from 'node:fs/promises';`,
  );
  files.write('agents/a.ts', "import {\n  main,\n} from './main.ts';");
  files.write('shared/b.js', "const c = require('./c.cjs');");
  const names = (await localFiles(entry)).map((path) => path.slice(files.path.length + 1));
  expect(names.toSorted()).toEqual([
    'agents/a.ts',
    'agents/effect.mjs',
    'agents/lazy.ts',
    'agents/main.ts',
    'agents/types.ts',
    'shared/b.js',
    'shared/c.cjs',
  ]);
});
