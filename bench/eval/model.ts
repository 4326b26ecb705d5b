/**
 * Is the model of the eval bench in a process of its own: every answer is one token, after a fixed time.
 *
 * model.ts LATENCY_MS
 */
import { startModelServer } from '../../src/main/bench/model/index.ts';
import { serve } from '../lib/process.ts';

const server = await startModelServer({ ttftMs: Number(process.argv[2]), tokens: 1 });
serve({ url: () => server.url }, () => server.close());
