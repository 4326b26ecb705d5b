/** Owns what must hold between the keys of a channel. It reads the raw value warily: shapes may be wrong at the same time. */
import { isIP } from 'node:net';
import { isPlainObject } from './environment.ts';
import { type Issue, type Shower, didYouMean, valueAt } from './issues.ts';

/** What `allow` may name, by the type of the channel. */
const ALLOW_KINDS: Readonly<Record<string, readonly string[]>> = {
  discord: ['user', 'room', 'guild'],
  irc: ['user', 'room', 'account', 'mask'],
};

export function checkChannel(name: string, channel: unknown, shower: Shower): Issue[] {
  if (!isPlainObject(channel)) return [];
  return [...checkQueuePatterns(name, channel), ...checkAllow(name, channel, shower), ...checkSasl(name, channel)];
}

/** Tells whether an address can be reached from this machine only. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  if (isIP(name) === 4) return name.startsWith('127.');
  return name === 'localhost' || name === '::1' || name === '0:0:0:0:0:0:0:1';
}

/** Patterns are prefixes: a `*` that stands elsewhere would match nothing, silently. */
function checkQueuePatterns(channel: string, value: unknown): Issue[] {
  const sessions = valueAt(value, ['queue', 'sessions']);
  if (!isPlainObject(sessions)) return [];
  return Object.keys(sessions).flatMap((pattern): Issue[] => {
    const star = pattern.indexOf('*');
    if (star === -1 || star === pattern.length - 1) return [];
    return [
      {
        path: ['channels', channel, 'queue', 'sessions', pattern],
        expected: 'a pattern with one `*` at most, at its end',
        also: `"${pattern.slice(0, star + 1)}" is one, and matches all that begins so`,
      },
    ];
  });
}

/** A pattern that can match nobody would lock out whom it means, silently. */
function checkAllow(channel: string, value: Record<string, unknown>, shower: Shower): Issue[] {
  const { type, allow } = value;
  const kinds = typeof type === 'string' ? ALLOW_KINDS[type] : undefined;
  if (kinds === undefined || !Array.isArray(allow)) return [];
  return allow.flatMap((pattern: unknown, i): Issue[] => {
    if (typeof pattern !== 'string' || pattern === '*' || pattern === '') return [];
    const path = ['channels', channel, 'allow', i];
    const found = shower.show(path, pattern);
    const [, kind = '', id = ''] = /^([^:]*):(.*)$/s.exec(pattern) ?? [];
    if (!kinds.includes(kind) || id === '') {
      const near = didYouMean(kind, kinds);
      const expected = `"*" or ${kinds.map((k) => `"${k}:..."`).join(' or ')}`;
      return [
        { path, expected, found, ...(near === undefined || near === kind ? {} : { also: `did you mean "${near}"?` }) },
      ];
    }
    if (type === 'discord' && !/^[\d*]+$/.test(id)) {
      return [{ path, expected: `the id of the ${kind}, which is a number`, found }];
    }
    return [];
  });
}

function checkSasl(channel: string, { type, sasl, tls, host }: Record<string, unknown>): Issue[] {
  if (type !== 'irc' || sasl === undefined || tls !== false || typeof host !== 'string' || isLoopback(host)) return [];
  return [
    {
      path: ['channels', channel, 'sasl'],
      also: `\`sasl\` needs TLS: without it the password would travel to ${host} in clear`,
    },
  ];
}
