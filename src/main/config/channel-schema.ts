/** Owns the shape of each type of channel in the configuration: known keys, types and ranges. */
import { z } from 'zod';
import { QUEUE_MODES } from '../../protocol/index.ts';
import { count, flag, msOrZero, oneOf, port, text, texts, whole } from './values.ts';

const queueMode = oneOf(...QUEUE_MODES);
const queue = z.strictObject(
  {
    mode: queueMode.optional(),
    sessions: z
      .record(text, queueMode, { error: 'an object with a queue mode under each namespace pattern' })
      .optional(),
  },
  { error: 'an object' },
);

const gateway = z.strictObject(
  {
    type: z.literal('gateway'),
    host: text.optional(),
    port: port.optional(),
    token: text.optional(),
    adminToken: text.optional(),
    maxBodyBytes: whole(1_024, 1_073_741_824, 'a whole number of bytes from 1024 to 1073741824').optional(),
    rateLimitPerMinute: count.optional(),
    allowedHosts: texts.optional(),
    allowedOrigins: texts.optional(),
    agent: text.optional(),
    queue: queue.optional(),
  },
  { error: 'an object' },
);

/** What all chat networks have. */
const network = {
  allow: texts.optional(),
  respondTo: oneOf('mentions', 'all').optional(),
  rateLimitPerMinute: count.optional(),
  account: text.optional(),
  agent: text.optional(),
  queue: queue.optional(),
};

const discord = z.strictObject(
  {
    type: z.literal('discord'),
    token: text,
    apiUrl: z.url({ protocol: /^https?$/, error: 'an http or https URL' }).optional(),
    stream: flag.optional(),
    ...network,
  },
  { error: 'an object' },
);

const sasl = z.strictObject({ account: text, password: text }, { error: 'an object' });
const flood = z.strictObject({ burst: count.optional(), intervalMs: msOrZero.optional() }, { error: 'an object' });
const NICK = 'a nick: no spaces, not beginning with a digit, "-", "#" or ":"';
const ROOM = "a room such as '#room', or '#room key'";

const irc = z.strictObject(
  {
    type: z.literal('irc'),
    host: text,
    port: whole(1, 65_535, 'a port number from 1 to 65535').optional(),
    tls: flag.optional(),
    tlsVerify: flag.optional(),
    nick: z.string({ error: NICK }).regex(/^[^\s\d\-#&:@!,*?][^\s:@!,*?]*$/, { error: NICK }),
    username: text.optional(),
    realname: text.optional(),
    channels: z
      .array(z.string({ error: ROOM }).regex(/^[#&+!][^\s,]*(?: [^\s,]+)?$/, { error: ROOM }), {
        error: 'a list of rooms',
      })
      .optional(),
    password: text.optional(),
    sasl: sasl.optional(),
    flood: flood.optional(),
    formatting: oneOf('plain', 'codes').optional(),
    ...network,
  },
  { error: 'an object' },
);

/** Types of channels that are built. */
export const CHANNEL_TYPES: readonly string[] = ['gateway', 'discord', 'irc'];

const TYPES = CHANNEL_TYPES.map((type) => JSON.stringify(type)).join(' or ');

export const channel: z.ZodType = z.discriminatedUnion('type', [gateway, discord, irc], { error: TYPES });

/** Known keys of a channel and of the objects in it, by its type. */
const KEYS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  gateway: { '': Object.keys(gateway.shape), queue: Object.keys(queue.shape) },
  discord: { '': Object.keys(discord.shape), queue: Object.keys(queue.shape) },
  irc: {
    '': Object.keys(irc.shape),
    queue: Object.keys(queue.shape),
    sasl: Object.keys(sasl.shape),
    flood: Object.keys(flood.shape),
  },
};

/** Lists the keys that a channel of a type may have, or an object in it. */
export function channelKeys(type: unknown, within = ''): readonly string[] {
  return (typeof type === 'string' ? KEYS[type]?.[within] : undefined) ?? [];
}
