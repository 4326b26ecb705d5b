import { describe, expect, it } from 'vitest';
import { REDACTED, createLogger } from '../../src/lib/log.ts';
import { OrreryError } from '../../src/protocol/index.ts';
import { type RunOptions, run } from '../support/commands.ts';
import { temporaryDirectory } from '../support/temporary.ts';

function record(level = 'info'): { lines: Record<string, unknown>[]; log: ReturnType<typeof createLogger> } {
  const lines: Record<string, unknown>[] = [];
  const sink = { write: (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>) };
  return { lines, log: createLogger({ level, pretty: false }, { slot: 'shared-0' }, sink) };
}

describe('log', () => {
  it('line - is JSON with level, time and every binding', () => {
    const { lines, log } = record();
    log.child({ agent: 'atlas' }).info({ delivery: 'd-1', session: 'web:a' }, 'answered');
    expect(lines).toEqual([
      {
        level: 'info',
        time: expect.any(Number),
        slot: 'shared-0',
        agent: 'atlas',
        delivery: 'd-1',
        session: 'web:a',
        msg: 'answered',
      },
    ]);
  });

  it('secrets and texts - are hidden at any depth, in lists and in bindings', () => {
    const { lines, log } = record();
    log.child({ apiKey: 'hunter2' }).info({
      token: 'hunter2',
      config: { web: { adminToken: 'hunter2', port: 1, deeper: { still: { further: { down: 'hunter2' } } } } },
      headers: { Authorization: 'hunter2', 'set-cookie': ['hunter2'], 'x-api-key': 'hunter2', host: 'a' },
      message: { role: 'user', content: 'hunter2' },
      parts: [{ type: 'text', text: 'hunter2' }],
    });
    expect(JSON.stringify(lines)).not.toContain('hunter2');
    expect(lines[0]).toMatchObject({
      token: REDACTED,
      config: { web: { port: 1 } },
      headers: { host: 'a' },
      message: { role: 'user', content: REDACTED },
      parts: [{ type: 'text', text: REDACTED }],
    });
  });

  it('logged object - is not changed', () => {
    const { log } = record();
    const fields = { token: 'x', inner: { apiKey: 'y' } };
    log.info(fields);
    expect(fields).toEqual({ token: 'x', inner: { apiKey: 'y' } });
  });

  it('error - keeps type, code, stack and causes, and none of what libraries hang on it', () => {
    const { lines, log } = record();
    const cause = Object.assign(new TypeError('socket'), { code: 'ECONNRESET', request: { headers: 'hunter2' } });
    log.error({ err: new OrreryError('ORRERY_MODEL_FAILED', 'refused', { cause }) });
    expect(lines[0]?.['err']).toEqual({
      type: 'OrreryError',
      message: 'refused',
      code: 'ORRERY_MODEL_FAILED',
      stack: expect.stringContaining('refused'),
      cause: { type: 'TypeError', message: 'socket', code: 'ECONNRESET' },
    });
  });

  it('cyclic causes - end', () => {
    const { lines, log } = record();
    const error = new Error('a');
    error.cause = error;
    log.error({ err: error });
    expect(lines).toHaveLength(1);
  });

  it.each([
    ['JSON', false, 1],
    ['lines for people', true, 2],
  ] as const)('%s - lose nothing when the process is killed right after them', async (_, pretty, fd) => {
    using directory = temporaryDirectory();
    const module = new URL('../../src/lib/log.ts', import.meta.url).href;
    const script = directory.write(
      'crash.mjs',
      `import { createLogger } from ${JSON.stringify(module)};
       const log = createLogger({ level: 'info', pretty: ${pretty}, fd: ${fd} });
       for (let i = 1; i <= 500; i++) log.info('line ' + i + '.');
       process.kill(process.pid, 'SIGKILL');`,
    );
    const options: RunOptions = { script };
    const { signal, stdout, stderr } = await run([], options);
    expect(signal).toBe('SIGKILL');
    const [written, other] = fd === 1 ? [stdout, stderr] : [stderr, stdout];
    expect(written.match(/line \d+\./g)).toHaveLength(500);
    expect(other).toBe('');
    expect(written.startsWith('{')).toBe(!pretty);
  });

  it.each([
    ['JSON', false],
    ['lines for people', true],
  ])('%s - throw nothing, also not at `fatal`, when their disk is full', async (_, pretty) => {
    using directory = temporaryDirectory();
    const module = new URL('../../src/lib/log.ts', import.meta.url).href;
    const script = directory.write(
      'full.mjs',
      `import { openSync } from 'node:fs';
       import { createLogger } from ${JSON.stringify(module)};
       const log = createLogger({ level: 'info', pretty: ${pretty}, fd: openSync('/dev/full', 'w') });
       for (let i = 1; i <= 500; i++) log.info('line ' + i + '.');
       log.fatal({ err: new Error('the end') }, 'over');
       console.log('goes on');`,
    );
    expect(await run([], { script })).toMatchObject({ code: 0, stdout: 'goes on\n', stderr: '' });
  });
});
