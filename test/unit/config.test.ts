import { describe, expect, it } from 'vitest';
import { BUILT_IN_CONFIG, type OrreryConfig, type Override, resolveConfig } from '../../src/main/config/index.ts';
import { OrreryError } from '../../src/protocol/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const DIR = '/srv/bots';
const ECHO = { echo: { use: 'builtin:echo' } };

function failure(input: unknown, env: Record<string, string> = {}, overrides: readonly Override[] = []): OrreryError {
  try {
    resolveConfig(input, { dir: DIR, env, overrides });
  } catch (error) {
    if (error instanceof OrreryError) return error;
    throw error;
  }
  throw new Error('The configuration was accepted');
}

/** The issues of a message, without its head. */
function issues(input: unknown, env: Record<string, string> = {}, overrides: readonly Override[] = []): string[] {
  const error = failure(input, env, overrides);
  expect(error.code).toBe('ORRERY_CONFIG_INVALID');
  return error.message
    .split('\n')
    .slice(1)
    .map((line) => line.trim());
}

describe('configuration', () => {
  it('defaults - are filled in when only agents are given', () => {
    const config = resolveConfig({ agents: ECHO }, { dir: DIR, env: {} });
    expect(config).toMatchObject({
      dir: DIR,
      defaultAgent: 'echo',
      channels: {},
      routing: [{ rule: 'metadataKey', key: 'agent' }],
      workers: { maxTurnsPerAgent: 256, heartbeatMs: 250, heartbeatLookMs: 1000, killAfterMs: 10_000 },
      restarts: { maxRestarts: 5, periodMs: 60_000, backoffMinMs: 1000, backoffMaxMs: 60_000, jitter: 0.2 },
      delivery: { journal: 'sqlite', maxAttempts: 3, turnTimeoutMs: 120_000, mailboxSize: 64, maxPending: 10_000 },
      shutdown: { timeoutMs: 25_000, drainMs: 15_000, hostMs: 5000 },
      dataDir: '/srv/bots/.orrery',
      log: { level: 'info' },
    });
    expect(config.agents['echo']).toEqual({
      name: 'echo',
      source: { kind: 'builtin', name: 'echo' },
      replicas: 1,
      isolation: 'shared',
      limits: {},
      env: {},
      restart: 'permanent',
    });
  });

  it('built-in configuration - serves eliza and echo on this machine only', () => {
    const config = resolveConfig(BUILT_IN_CONFIG, { dir: DIR, env: {} });
    expect(Object.keys(config.agents)).toEqual(['eliza', 'echo']);
    expect(config.defaultAgent).toBe('eliza');
    expect(config.channels['web']).toMatchObject({ type: 'gateway', host: '127.0.0.1', port: 8790 });
    expect(config.channels['web']).not.toHaveProperty('token');
  });

  it('errors - are all told at once when several keys are wrong', () => {
    expect(
      issues({
        agents: { a: { use: 'builtin:echo', replicas: 'two' }, b: {} },
        defaultAgent: 'c',
        delivery: { maxAttempts: 0 },
        shutdwon: {},
      }),
    ).toEqual([
      'agents.a.replicas: expected a whole number from 1 to 1024, got "two"',
      'delivery.maxAttempts: expected a whole number from 1 to 100, got 0',
      'shutdwon: expected no such key, got an unknown key; did you mean "shutdown"?',
      'agents.b: expected either `use` or `model`, got neither',
      'defaultAgent: expected one of the agents (a, b), got "c"',
    ]);
  });

  it.each<[string, unknown, string]>([
    ['no object', 5, 'the configuration: expected an object, got 5'],
    ['no agents', {}, 'agents: expected an object with an agent under each name, got nothing'],
    ['an empty list of agents', { agents: {} }, 'agents: expected at least one agent, got an empty object'],
    ['an agent that is no object', { agents: { a: 1 } }, 'agents.a: expected an object, got 1'],
    ['use and model', { agents: { a: { use: 'builtin:echo', model: 'openai:x' } } }, 'got both'],
    ['an unknown builtin', { agents: { a: { use: 'builtin:ehco' } } }, 'did you mean "builtin:echo"?'],
    ['a missing module', { agents: { a: { use: './a.ts' } } }, '"./a.ts"; /srv/bots/a.ts does not exist'],
    ['no module at all', { agents: { a: { use: './a.py' } } }, 'the path of a .ts, .mts, .js, .mjs module'],
    ['an unknown provider', { agents: { a: { model: 'opnai:gpt' } } }, 'did you mean "openai:gpt"?'],
    ['a model without an id', { agents: { a: { model: 'openai:' } } }, 'expected "openai:ID"'],
    ['no baseUrl', { agents: { a: { model: 'openai-compatible:x' } } }, 'agents.a.baseUrl: expected the URL of'],
    ['a bad baseUrl', { agents: { a: { model: 'openai:x', baseUrl: 'ftp://x' } } }, 'expected an http or https URL'],
    ['a model key beside use', { agents: { a: { use: 'builtin:echo', system: 'x' } } }, '`system` goes with `model`'],
    [
      'limits of a shared agent',
      { agents: { a: { use: 'builtin:echo', limits: {} } } },
      "needs `isolation: 'dedicated'` or `'process'`",
    ],
    [
      'an unknown isolation',
      { agents: { a: { use: 'builtin:echo', isolation: 'proces' } } },
      'agents.a.isolation: expected "shared" or "dedicated" or "process", got "proces"',
    ],
    ['a colon in a name', { agents: { 'a:b': ECHO.echo } }, 'agents["a:b"]: expected a name of letters'],
    ['a # in a name', { agents: { 'a#2': ECHO.echo } }, 'agents["a#2"]: expected a name of letters'],
    [
      'a slash in a channel',
      { agents: ECHO, channels: { 'a/b': { type: 'gateway' } } },
      'channels["a/b"]: expected a name',
    ],
    ['the reserved agent', { agents: { orrery: ECHO.echo } }, '"orrery" means the default agent'],
    [
      'the reserved channel',
      { agents: ECHO, channels: { terminal: { type: 'gateway' } } },
      '"terminal" is the channel of',
    ],
    ['names that differ in case', { agents: { a: ECHO.echo, A: ECHO.echo }, defaultAgent: 'a' }, 'in more than case'],
    [
      'no default agent',
      { agents: { a: ECHO.echo, b: ECHO.echo } },
      'defaultAgent: expected one of the agents (a, b), got nothing',
    ],
    [
      'a rule for no agent',
      { agents: ECHO, routing: [{ match: {}, agent: 'ecco' }] },
      'routing[0].agent: expected one of',
    ],
    [
      'an unknown rule',
      { agents: ECHO, routing: [{ rule: 'x' }] },
      'expected "metadataKey", "namespacePrefix" or "static"',
    ],
    [
      'an unknown key of a match',
      { agents: ECHO, routing: [{ match: { chanel: 'x' }, agent: 'echo' }] },
      'did you mean "channel"?',
    ],
    [
      'a port',
      { agents: ECHO, channels: { w: { type: 'gateway', port: 65_536 } } },
      'expected a port number from 0 to 65535, got 65536',
    ],
    [
      'an unknown channel type',
      { agents: ECHO, channels: { w: { type: 'gatewy' } } },
      'channels.w.type: expected "gateway" or "discord" or "irc", got "gatewy"',
    ],
    [
      "a channel's agent",
      { agents: ECHO, channels: { w: { type: 'gateway', agent: 'x' } } },
      'channels.w.agent: expected one of',
    ],
    [
      'a range upside down',
      { agents: ECHO, delivery: { retryMinMs: 9, retryMaxMs: 1 } },
      'expected at most `retryMaxMs` (1), got 9',
    ],
    [
      'a heartbeat that the default would kill a healthy thread for',
      { agents: ECHO, workers: { heartbeatMs: 20_000 } },
      'workers.heartbeatMs: expected at most `killAfterMs` (10000, its default), got 20000',
    ],
    [
      'a drain beyond the default deadline',
      { agents: ECHO, shutdown: { drainMs: 60_000 } },
      'shutdown.drainMs: expected at most `timeoutMs` (25000, its default), got 60000',
    ],
    ['a level', { agents: ECHO, log: { level: 'loud' } }, 'expected "trace" or "debug"'],
    [
      'a variable name',
      { agents: { a: { use: 'builtin:echo', env: ['A B'] } } },
      'agents.a.env[0]: expected the name of',
    ],
  ])('error - names the key and what was expected when there is %s', (_, input, text) => {
    expect(issues(input).join('\n')).toContain(text);
  });

  it.each<[string, unknown, string]>([
    ...['slack', 'telegram'].map((type): [string, unknown, string] => [
      type,
      { agents: ECHO, channels: { c: { type, token: 'x', nick: 'y' } } },
      `channels.c.type: expected "gateway" or "discord" or "irc", got "${type}"; the ${type} channel is not built yet`,
    ]),
    ...['tools', 'mcp', 'policy', 'approval'].map((key): [string, unknown, string] => [
      key,
      { agents: { a: { model: 'openai:x', [key]: {} } } },
      `agents.a.${key}: \`${key}\` is not built yet: leave it out`,
    ]),
  ])('feature - is one clear error when %s is configured before it is built', (_, input, text) => {
    const [only, ...others] = issues(input);
    expect(only).toContain(text);
    expect(others).toEqual([]);
  });

  it('agent - hands what is said of its context, steps and further models on', () => {
    const rest = {
      context: { maxTokens: 8_000, reservedForOutput: 1_000, toolResultShare: 0.5, compaction: 'summary' },
      maxSteps: 4,
      fallback: ['openai:gpt-4o-mini', 'anthropic:claude-haiku-4-5'],
    };
    const config = resolveConfig({ agents: { a: { model: 'openai:gpt-4o', ...rest } } }, { dir: DIR, env: {} });
    expect(config.agents['a']?.source).toEqual({ kind: 'model', spec: { model: 'openai:gpt-4o', ...rest } });
  });

  it.each([
    [{ fallback: ['gpt-4o'] }, 'agents.a.fallback[0]: expected "openai:ID"'],
    [{ fallback: ['openai-compatible:llama3'] }, 'agents.a.fallback[0]: an "openai-compatible" model stands in'],
    [{ context: { maxTokens: 100, reservedForOutput: 100 } }, 'agents.a.context.reservedForOutput: expected less than'],
    [{ context: { maxTokens: 100 }, maxOutputTokens: 200 }, 'agents.a.maxOutputTokens: expected less than'],
    [{ context: { toolResultShare: 0 } }, 'agents.a.context.toolResultShare: expected a number above 0'],
    [{ context: { maxToken: 1 } }, 'did you mean "maxTokens"'],
    [{ maxSteps: 0 }, 'agents.a.maxSteps: expected a whole number from 1'],
  ])('agent - is one clear error when it has %j', (rest, text) => {
    const [only, ...others] = issues({ agents: { a: { model: 'openai:x', ...rest } } });
    expect(only).toContain(text);
    expect(others).toEqual([]);
  });

  it('queue - has a mode for the channel and for sessions, and names those there are when it is none', () => {
    const queueOf = (queue: unknown): unknown => ({ agents: ECHO, channels: { c: { type: 'gateway', queue } } });
    const sessions = { 'c:vip:*': 'interrupt' };
    expect(resolveConfig(queueOf({ mode: 'collect', sessions }), { dir: DIR }).channels['c']?.queue).toEqual({
      mode: 'collect',
      sessions,
    });
    expect(resolveConfig(queueOf({ sessions }), { dir: DIR }).channels['c']?.queue).toEqual({
      mode: 'followup',
      sessions,
    });
    expect(issues(queueOf({ mode: 'next' }))).toEqual([
      expect.stringContaining(
        'channels.c.queue.mode: expected "followup" or "collect" or "interrupt" or "steer", got "next"',
      ),
    ]);
    for (const pattern of ['c:*:bob', '*bob', 'c:**', 'c:*.*']) {
      expect(issues(queueOf({ sessions: { [pattern]: 'collect' } }))).toEqual([
        expect.stringMatching(
          /^channels\.c\.queue\.sessions\["[^"]+"\]: expected a pattern with one `\*` at most, at its end;/,
        ),
      ]);
    }
    expect(issues(queueOf({ sessions: { 'c:*': 'next' } }))[0]).toContain('channels.c.queue.sessions["c:*"]: expected');
  });

  it('gateway - has a code of its own when it would be open to everybody', () => {
    const error = failure({ agents: ECHO, channels: { web: { type: 'gateway', host: '0.0.0.0' } } });
    expect(error.code).toBe('ORRERY_OPEN_BIND');
    expect(error.message).toContain('channels.web');
    for (const gateway of [
      { host: '0.0.0.0', token: 't' },
      { host: '127.8.0.1' },
      { host: '::1' },
      { host: 'localhost' },
    ]) {
      const input = { agents: ECHO, channels: { web: { type: 'gateway', ...gateway } } };
      expect(resolveConfig(input, { dir: DIR, env: {} }).channels['web']).toMatchObject(gateway);
    }
  });

  it('module - resolves against the directory of the configuration', () => {
    using directory = temporaryDirectory();
    const path = directory.write('agents/a.ts', 'export default {};');
    const config = resolveConfig({ agents: { a: { use: './agents/a.ts' } } }, { dir: directory.path, env: {} });
    expect(config.agents['a']?.source).toEqual({ kind: 'module', path });
  });

  it('input - is not changed by the checks', () => {
    const input: OrreryConfig = { agents: { a: { model: 'openai:${M}' } }, channels: { web: { type: 'gateway' } } };
    const before = structuredClone(input);
    resolveConfig(input, { dir: DIR, env: { M: 'x' }, overrides: [{ key: 'port', value: '1', source: '--port' }] });
    expect(input).toEqual(before);
  });
});

describe('environment', () => {
  const gateway = (fields: object): unknown => ({ agents: ECHO, channels: { web: { type: 'gateway', ...fields } } });

  it('variable - is replaced, also in the middle of a text and as a number', () => {
    const config = resolveConfig(gateway({ host: '127.0.0.${LAST}', port: '${PORT:-8790}', token: '${T}' }), {
      dir: DIR,
      env: { LAST: '1', T: 'secret-1' },
    });
    expect(config.channels['web']).toMatchObject({ host: '127.0.0.1', port: 8790, token: 'secret-1' });
  });

  it('default - is taken when the variable is unset or empty', () => {
    const input = { agents: { a: { model: 'openai:x', system: '${S:-be kind: always}' } } };
    for (const env of [{}, { S: '' }]) {
      const { agents } = resolveConfig(input, { dir: DIR, env });
      expect(agents['a']?.source).toMatchObject({ spec: { system: 'be kind: always' } });
    }
  });

  it('empty default - counts as absent', () => {
    const config = resolveConfig(gateway({ token: '${ORRERY_TOKEN:-}', adminToken: '${A:-}' }), { dir: DIR, env: {} });
    expect(config.channels['web']).not.toHaveProperty('token');
    expect(config.channels['web']).not.toHaveProperty('adminToken');
  });

  it('empty variable - is no token when no default was given', () => {
    expect(issues(gateway({ token: '${T}' }), { T: '' })).toEqual([
      'channels.web.token: expected a string that is not empty, got the value of ${T}',
    ]);
  });

  it('missing variable - is an error for every key that names it, and nothing else is said of that key', () => {
    expect(issues({ agents: { a: { model: '${M}', apiKey: '${K}' } } })).toEqual([
      'agents.a.model: expected the environment variable M, got none of that name; set it, or write ${M:-default}',
      'agents.a.apiKey: expected the environment variable K, got none of that name; set it, or write ${K:-default}',
    ]);
  });

  it('syntax - is an error when a reference is malformed, and $${ is a literal', () => {
    expect(issues({ agents: ECHO, dataDir: '${1X}' })).toEqual([
      'dataDir: expected ${NAME} or ${NAME:-default}; write $${ for a literal ${',
    ]);
    expect(issues({ agents: ECHO, dataDir: 'a${X' })).toHaveLength(1);
    const config = resolveConfig({ agents: { a: { model: 'openai:x', system: 'say $${X}' } } }, { dir: DIR, env: {} });
    expect(config.agents['a']?.source).toMatchObject({ spec: { system: 'say ${X}' } });
  });

  it('secret - never stands in a message, wherever it came from', () => {
    const error = failure(
      {
        agents: {
          a: { model: 'hunter2-${S}', apiKey: ['hunter2'] },
          b: { use: '${S}' },
          c: { use: 'builtin:${S}', replicas: '${S}' },
        },
        defaultAgent: '${S}',
        channels: { web: { type: 'gateway', token: { x: 'hunter2' }, adminToken: 7_777_777, port: '${S}' } },
      },
      { S: 'hunter2' },
    );
    expect(error.message).not.toMatch(/hunter2|7777777|7_777_777/);
    expect(error.message).toContain('got the value of ${S}');
    expect(JSON.stringify(error)).not.toContain('hunter2');
  });

  it('agent - gets exactly the variables that it lists, and a warning tells of one that is not set', () => {
    const input = { agents: { a: { use: 'builtin:echo', env: ['A', 'B'] } } };
    const config = resolveConfig(input, { dir: DIR, env: { A: '1', C: '3' } });
    expect(config.agents['a']?.env).toEqual({ A: '1' });
    expect(config.warnings).toEqual(['agents.a.env: B is not set, so the agent does not get it']);
  });
});

describe('overrides', () => {
  const over = (key: Override['key'], value: string, source: string): Override => ({ key, value, source });
  const two = {
    agents: ECHO,
    channels: { a: { type: 'gateway', token: 'own' }, b: { type: 'gateway', port: 1 } },
  };

  it('host and port - go to the first gateway, the later one winning', () => {
    const { channels } = resolveConfig(two, {
      dir: DIR,
      env: {},
      overrides: [over('port', '5', 'ORRERY_PORT'), over('port', '0', '--port'), over('host', '0.0.0.0', '--host')],
    });
    expect(channels['a']).toMatchObject({ host: '0.0.0.0', port: 0 });
    expect(channels['b']).toMatchObject({ host: '127.0.0.1', port: 1 });
  });

  it('token - closes a gateway that has none and never changes one', () => {
    const overrides = [over('token', 'env', 'ORRERY_TOKEN')];
    const { channels } = resolveConfig(two, { dir: DIR, env: {}, overrides });
    expect([channels['a'], channels['b']]).toMatchObject([{ token: 'own' }, { token: 'env' }]);
  });

  it('value - is an error under the name that its user wrote', () => {
    expect(issues(two, {}, [over('port', 'x', '--port'), over('logLevel', 'loud', 'ORRERY_LOG_LEVEL')])).toEqual([
      '--port: expected a port number from 0 to 65535, got "x"',
      'ORRERY_LOG_LEVEL: expected trace, debug, info, warn, error, fatal, silent, got "loud"',
    ]);
  });

  it('port - is an error as an option and a warning as a variable when there is no gateway', () => {
    expect(issues({ agents: ECHO }, {}, [over('port', '1', '--port')])).toHaveLength(1);
    const config = resolveConfig(
      { agents: ECHO },
      { dir: DIR, env: {}, overrides: [over('port', '1', 'ORRERY_PORT')] },
    );
    expect(config.warnings).toEqual(['ORRERY_PORT: no gateway is configured that it could apply to']);
  });
});
