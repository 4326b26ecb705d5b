import { type ViteUserConfig, defineConfig } from 'vitest/config';

const config: ViteUserConfig = defineConfig({
  test: {
    // Worker threads under vitest's own threads pool would be threads of threads; processes keep every test's host alone.
    pool: 'forks',
    maxWorkers: 2,
    include: ['test/{unit,contract,integration,property,fault}/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 30_000,
  },
});

export default config;
