import { pino } from 'pino';
import { expect, test } from 'vitest';
import { resolveConfig } from '../../src/main/config/index.ts';

import { Pool } from '../../src/main/pool/index.ts';
import { HostedAgents } from '../../src/main/wiring/agents.ts';
import { DeliveryUnderTest } from '../support/delivery.ts';
import { actor, eventually, fixture, shortened } from '../support/host.ts';

test('restart - an agent whose start never ends is given up after the deadline of the call, and holds up nobody', async () => {
  const log = pino({ enabled: false });
  const { engine } = new DeliveryUnderTest();
  const agents: { hosted?: HostedAgents } = {};
  const pool = new Pool({
    threads: 1,
    heartbeatMs: 50,
    turnTimeoutMs: 10_000,
    images: () => ({}),
    workerLog: { level: 'silent', pretty: false },
    log,
    env: process.env,
    events: {
      ready: (slot) => agents.hosted?.slotReady(slot),
      exited: (slot, end) => agents.hosted?.slotExited(slot, end),
      outcomes: () => undefined,
      delta: () => undefined,
      changed: () => undefined,
    },
  });
  const config = resolveConfig(
    shortened({ agents: { well: actor(), hangs: { use: fixture('hangs-at-start') } }, workers: { threads: 1 } }),
    { dir: process.cwd() },
  );
  const hosted = new HostedAgents({ config, pool, engine, log, random: Math.random });
  agents.hosted = hosted;
  const statuses = (): readonly (string | undefined)[] =>
    hosted.list().map(({ replicas }) => replicas[0]?.state.status);
  const started = hosted.start();
  await eventually('the other one runs', () => statuses()[0] === 'idle');
  expect(statuses()).toEqual(['idle', 'starting']);
  // As the monitor does, a while later.
  pool.slots[0]?.remote.sweep(performance.now() + 61_000);
  await started;
  expect(statuses()).toEqual(['idle', 'escalated']);
  await hosted.stop(5_000);
  await pool.close();
});
