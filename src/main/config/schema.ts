/** Owns the shape of the configuration: known keys, types and ranges. What holds between keys is in `checks.ts`. */
import { z } from 'zod';
import { channel, channelKeys, CHANNEL_TYPES } from './channel-schema.ts';
import { type Issue, type KeyPath, type Shower, didYouMean, valueAt } from './issues.ts';
import { between, count, countOrZero, flag, heapMb, ms, msOrZero, oneOf, text, whole } from './values.ts';

/** Levels of the log, quietest last. */
export const LOG_LEVELS: readonly string[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

const SHARE = 'a number above 0 and at most 1';

const context = z.strictObject(
  {
    maxTokens: count.optional(),
    reservedForOutput: countOrZero.optional(),
    toolResultShare: z.number({ error: SHARE }).gt(0, { error: SHARE }).max(1, { error: SHARE }).optional(),
    compaction: oneOf('summary').optional(),
  },
  { error: 'an object' },
);

const agent = z.strictObject(
  {
    use: text.optional(),
    model: text.optional(),
    replicas: whole(1, 1_024, 'a whole number from 1 to 1024').optional(),
    isolation: oneOf('shared', 'dedicated', 'process').optional(),
    limits: z.strictObject({ maxHeapMb: heapMb.optional() }, { error: 'an object' }).optional(),
    env: z
      .array(
        z.string({ error: 'the name of an environment variable' }).regex(/^[A-Za-z_][A-Za-z0-9_]*$/, {
          error: 'the name of an environment variable',
        }),
        { error: 'a list of names of environment variables' },
      )
      .optional(),
    restart: oneOf('permanent', 'transient', 'temporary').optional(),
    baseUrl: z.url({ protocol: /^https?$/, error: 'an http or https URL' }).optional(),
    apiKey: text.optional(),
    system: text.optional(),
    temperature: between(0, 2).optional(),
    maxOutputTokens: count.optional(),
    context: context.optional(),
    maxSteps: whole(1, 1_000, 'a whole number from 1 to 1000').optional(),
    fallback: z.array(text, { error: 'a list of models' }).optional(),
  },
  { error: 'an object' },
);

const match = z.strictObject(
  {
    channel: text.optional(),
    account: text.optional(),
    peer: text.optional(),
    namespace: text.optional(),
    metadata: z.record(z.string(), text, { error: 'an object of strings' }).optional(),
  },
  { error: 'an object' },
);

const binding = z.strictObject({ match, agent: text }, { error: 'a rule' });
const metadataKey = z.strictObject({ rule: z.literal('metadataKey'), key: text });
const namespacePrefix = z.strictObject({ rule: z.literal('namespacePrefix') });
const staticRule = z.strictObject({ rule: z.literal('static'), agent: text });
const namedRule = z.discriminatedUnion('rule', [metadataKey, namespacePrefix, staticRule], {
  error: '"metadataKey", "namespacePrefix" or "static"',
});

const workers = z.strictObject(
  {
    threads: whole(1, 256, 'a whole number from 1 to 256').optional(),
    maxHeapMb: heapMb.optional(),
    maxTurnsPerAgent: count.optional(),
    heartbeatMs: ms.optional(),
    heartbeatLookMs: ms.optional(),
    killAfterMs: ms.optional(),
  },
  { error: 'an object' },
);

const restarts = z.strictObject(
  {
    maxRestarts: countOrZero.optional(),
    periodMs: ms.optional(),
    backoffMinMs: msOrZero.optional(),
    backoffMaxMs: msOrZero.optional(),
    jitter: between(0, 1).optional(),
    resetAfterMs: ms.optional(),
  },
  { error: 'an object' },
);

const delivery = z.strictObject(
  {
    journal: oneOf('sqlite', 'memory').optional(),
    maxAttempts: whole(1, 100, 'a whole number from 1 to 100').optional(),
    turnTimeoutMs: ms.optional(),
    mailboxSize: count.optional(),
    maxPending: count.optional(),
    dedupeRetentionMs: msOrZero.optional(),
    replyRetentionMs: msOrZero.optional(),
    maxMessageBytes: count.optional(),
    retryMinMs: msOrZero.optional(),
    retryMaxMs: msOrZero.optional(),
    maxDeadLetters: countOrZero.optional(),
    maxAgeMs: ms.optional(),
    maxHeldReplies: countOrZero.optional(),
    maxJournalLag: count.optional(),
    maxJournalBytes: whole(262_144, Number.MAX_SAFE_INTEGER, 'a whole number of bytes of at least 262,144').optional(),
    maxLoopDelayMs: ms.optional(),
  },
  { error: 'an object' },
);

const sessions = z.strictObject(
  {
    store: oneOf('sqlite', 'memory').optional(),
    synchronous: oneOf('normal', 'full').optional(),
    cacheBytes: whole(0, 1_099_511_627_776, 'a whole number of bytes of at least 0').optional(),
    maxAgeMs: whole(1, Number.MAX_SAFE_INTEGER, 'a whole number of milliseconds of at least 1').optional(),
    maxMessages: count.optional(),
  },
  { error: 'an object' },
);

const shutdown = z.strictObject(
  { timeoutMs: ms.optional(), drainMs: msOrZero.optional(), hostMs: msOrZero.optional() },
  { error: 'an object' },
);

const PRICE = 'an amount in US dollars of at least 0';
const price = z.strictObject(
  {
    inputPerMTok: z.number({ error: PRICE }).min(0, { error: PRICE }),
    outputPerMTok: z.number({ error: PRICE }).min(0, { error: PRICE }),
  },
  { error: 'an object with `inputPerMTok` and `outputPerMTok`' },
);
const bench = z.strictObject(
  {
    prices: z.record(text, price, { error: 'an object with a price under the name of each agent or model' }).optional(),
  },
  { error: 'an object' },
);

const config = z.strictObject(
  {
    agents: z.record(z.string(), agent, { error: 'an object with an agent under each name' }),
    defaultAgent: text.optional(),
    channels: z.record(z.string(), channel, { error: 'an object with a channel under each name' }).optional(),
    // Each rule is checked by `checkRule`: a union would say of a wrong key only that no form fits.
    routing: z.array(z.unknown(), { error: 'a list of rules' }).optional(),
    workers: workers.optional(),
    restarts: restarts.optional(),
    delivery: delivery.optional(),
    sessions: sessions.optional(),
    shutdown: shutdown.optional(),
    bench: bench.optional(),
    dataDir: text.optional(),
    log: z
      .strictObject({ level: oneOf(...LOG_LEVELS).optional(), pretty: flag.optional() }, { error: 'an object' })
      .optional(),
  },
  { error: 'an object' },
);

/** Known keys by the path of their object, for suggestions; a `*` stands for any name. */
const KNOWN_KEYS: Readonly<Record<string, readonly string[]>> = {
  '': Object.keys(config.shape),
  'agents/*': Object.keys(agent.shape),
  'agents/*/limits': ['maxHeapMb'],
  'agents/*/context': Object.keys(context.shape),
  'channels/*': ofChannels(''),
  'channels/*/queue': ofChannels('queue'),
  'channels/*/sasl': ofChannels('sasl'),
  'channels/*/flood': ofChannels('flood'),
  'routing/*': ['match', 'agent', 'rule', 'key'],
  'routing/*/match': Object.keys(match.shape),
  workers: Object.keys(workers.shape),
  restarts: Object.keys(restarts.shape),
  delivery: Object.keys(delivery.shape),
  sessions: Object.keys(sessions.shape),
  shutdown: Object.keys(shutdown.shape),
  log: ['level', 'pretty'],
  bench: ['prices'],
  'bench/prices/*': Object.keys(price.shape),
};

/** Lists the keys that an object at a path may have; docs/configuration.md is held to it. */
export function knownKeys(): Readonly<Record<string, readonly string[]>> {
  return KNOWN_KEYS;
}

/** Finds everything whose shape is wrong. Numbers and flags that came as text from the environment are read: see `coerce`. */
export function checkShape(value: unknown, shower: Shower): Issue[] {
  const issues = toIssues(config.safeParse(value), value, [], shower);
  const rules = valueAt(value, ['routing']);
  if (Array.isArray(rules)) {
    for (const [i, rule] of rules.entries()) {
      const schema = typeof rule === 'object' && rule !== null && 'rule' in rule ? namedRule : binding;
      issues.push(...toIssues(schema.safeParse(rule), value, ['routing', i], shower));
    }
  }
  return issues;
}

/**
 * Reads text as a number or a flag where the shape wants one: `port: '${PORT:-8790}'` can only be text. Changes `value`,
 * at no path but those in `paths`.
 */
export function coerce(value: unknown, isFromEnvironment: (path: KeyPath) => boolean): void {
  const result = config.safeParse(value);
  for (const issue of result.error?.issues ?? []) {
    const path = issue.path.filter((key) => typeof key !== 'symbol');
    if (issue.code !== 'invalid_type' || !isFromEnvironment(path)) continue;
    const found = valueAt(value, path);
    const last = path.at(-1);
    const holder = valueAt(value, path.slice(0, -1));
    if (typeof found !== 'string' || last === undefined || typeof holder !== 'object' || holder === null) continue;
    if (issue.expected === 'boolean' && (found === 'true' || found === 'false')) {
      Reflect.set(holder, last, found === 'true');
    } else if (['number', 'int'].includes(issue.expected) && /^-?\d+(?:\.\d+)?$/.test(found)) {
      Reflect.set(holder, last, Number(found));
    }
  }
}

function toIssues(result: z.ZodSafeParseResult<unknown>, root: unknown, base: KeyPath, shower: Shower): Issue[] {
  return (result.error?.issues ?? []).flatMap((issue): Issue[] => {
    const path = [...base, ...issue.path.filter((key) => typeof key !== 'symbol')];
    if (issue.code !== 'unrecognized_keys') {
      return [{ path, expected: issue.message, found: shower.show(path, valueAt(root, path)) }];
    }
    const known = knownAt(path, root);
    return issue.keys.map((key) => {
      const near = didYouMean(key, known);
      const also = near === undefined ? `known here: ${known.join(', ')}` : `did you mean "${near}"?`;
      return { path: [...path, key], expected: 'no such key', found: 'an unknown key', also };
    });
  });
}

function knownAt(path: KeyPath, root: unknown): readonly string[] {
  if (path[0] === 'channels' && path.length > 1) {
    return channelKeys(valueAt(root, [...path.slice(0, 2), 'type']), path.slice(2).join('/'));
  }
  return KNOWN_KEYS[path.map((key, i) => (isName(path, i) ? '*' : String(key))).join('/')] ?? [];
}

function ofChannels(within: string): readonly string[] {
  return [...new Set(CHANNEL_TYPES.flatMap((type) => channelKeys(type, within)))];
}

/** Tells whether the key at an index is a name that its writer chose, or an index of a list. */
function isName(path: KeyPath, index: number): boolean {
  if (index === 2) return path[0] === 'bench' && path[1] === 'prices';
  return index === 1 && ['agents', 'channels', 'routing'].includes(String(path[0]));
}
