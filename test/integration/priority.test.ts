/** On Linux a nice value is a thread's: what computes gives way to the main thread, which keeps the connections. */
import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { createSupervisor } from '../../src/main/index.ts';
import { TokenPool } from '../../src/main/tokens/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** Nice values of this process's threads; the 19th field of their `stat`, the third to follow the name being the 3rd. */
function niceValues(): readonly number[] {
  return readdirSync('/proc/self/task').map((thread) => {
    const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
  });
}

describe.runIf(process.platform === 'linux')('priority', () => {
  test('priority - threads of agents and of token counting give way, and main does not, when they run', async () => {
    const before = niceValues();
    const own = Math.min(...before);
    using directory = temporaryDirectory();
    const agents = { echo: { use: 'builtin:echo' } };
    await using host = await createSupervisor({ agents, dataDir: directory.path, workers: { threads: 2 } });
    await host.start();
    const tokens = new TokenPool({ threads: 1 });
    await tokens.count(['hello']);
    const lowered = (values: readonly number[]): number => values.filter((nice) => nice === own + 5).length;
    expect(lowered(niceValues()) - lowered(before)).toBe(3);
    expect(Math.min(...niceValues())).toBe(own);
    await tokens.close();
  });
});
