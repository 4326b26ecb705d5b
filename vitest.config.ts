import { type ViteUserConfig, defineConfig } from 'vitest/config';
import { times } from './test/support/properties.ts';

const config: ViteUserConfig = defineConfig({
  test: {
    // Worker threads under vitest's own threads pool would be threads of threads; processes keep every test's host alone.
    pool: 'forks',
    maxWorkers: 2,
    include: ['test/{unit,contract,integration,property,fault}/**/*.test.ts'],
    setupFiles: ['test/support/properties.ts'],
    // More cases than usual take more time than usual.
    testTimeout: 60_000 * times,
    hookTimeout: 60_000,
    teardownTimeout: 30_000,
  },
});

export default config;
