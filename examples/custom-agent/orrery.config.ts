import { type OrreryConfig, defineConfig } from '../../src/main/index.ts';

const config: OrreryConfig = defineConfig({
  agents: { shop: { use: './agent.ts', env: ['MODEL_URL'] } },
  channels: { web: { type: 'gateway', port: 8790 } },
  dataDir: '../../.orrery/custom-agent',
});

export default config;
