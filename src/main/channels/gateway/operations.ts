/** Owns the routes that are not chat: health, metrics, status, control, models, token counts. The host does the work. */
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { CountedMessage } from '../../../protocol/encodings.ts';
import { OrreryError } from '../../../protocol/index.ts';
import { type JsonObject, bad, isObject, kindOf, optionalText, readObject } from './ask.ts';
import type { GatewayHost } from './host.ts';
import { agentOf } from './openai.ts';

export interface OperationsOptions {
  /** This channel's name. */
  readonly channel: string;
  readonly host: GatewayHost;
  readonly log: Logger;
  /** The host's version. */
  readonly version: string;
  /** True once the gateway takes in nothing more. */
  draining(): boolean;
}

const OPEN = { config: { access: 'open', rateLimit: false } } as const;
const CHAT = { config: { access: 'chat' } } as const;
const ADMIN = { config: { access: 'admin' } } as const;

export function healthRoutes(app: FastifyInstance, o: OperationsOptions): void {
  app.get('/healthz', OPEN, () => ({ status: 'ok', version: o.version }));
  app.get('/readyz', OPEN, (_request, reply) => {
    const { ready, reasons } = o.host.readiness();
    const all = o.draining() && !reasons.includes('draining') ? [...reasons, 'draining'] : reasons;
    const isReady = ready && !o.draining();
    return reply.code(isReady ? 200 : 503).send({ ready: isReady, reasons: all });
  });
  app.get('/metrics', ADMIN, async (_request, reply) => {
    return await reply.type('text/plain; version=0.0.4; charset=utf-8').send(await o.host.metrics());
  });
}

export function modelRoutes(app: FastifyInstance, { host }: OperationsOptions): void {
  const created = Math.floor(Date.now() / 1000);
  const models = (): { readonly id: string }[] => {
    const byDefault = host.defaultAgent();
    return host.agents().map(({ name, status }) => ({
      id: name,
      object: 'model',
      created,
      owned_by: 'orrery',
      status,
      default: name === byDefault,
    }));
  };
  app.get('/v1/models', CHAT, () => ({ object: 'list', data: models() }));
  app.get<{ Params: { '*': string } }>('/v1/models/*', CHAT, (request) => {
    const asked = request.params['*'];
    const name = agentOf(asked) ?? host.defaultAgent();
    const model = models().find(({ id }) => id === name);
    if (model) return model;
    throw new OrreryError('ORRERY_AGENT_UNKNOWN', `There is no agent ${JSON.stringify(asked)}`);
  });
}

export function controlRoutes(app: FastifyInstance, { host, channel, log }: OperationsOptions): void {
  app.get('/api/status', ADMIN, () => host.status());
  app.post<{ Params: { name: string } }>('/api/agents/:name/restart', ADMIN, (request) =>
    host.restartAgent(request.params.name),
  );
  app.post<{ Params: { name: string } }>('/api/channels/:name/restart', ADMIN, (request, reply) => {
    const { name } = request.params;
    if (name !== channel) return host.restartChannel(name);
    // The restart waits until this gateway is closed, which waits for this very answer: so the answer goes first.
    reply.raw.once('close', () => {
      host.restartChannel(name).catch((error: unknown) => log.error({ err: error }, 'the gateway was not restarted'));
    });
    return reply.code(202).send({ name, status: 'restarting' });
  });
  app.post('/api/drain', ADMIN, (_request, reply) => {
    host.drain();
    return reply.code(202).send({ status: 'draining' });
  });
}

/** Letters of one page: by default, and at the most. */
const DEFAULT_LETTERS = 100;
const MAX_LETTERS = 1_000;

type LetterQuery = { readonly limit?: string; readonly after?: string };

export function deadLetterRoutes(app: FastifyInstance, { host }: OperationsOptions): void {
  app.get<{ Querystring: LetterQuery }>('/api/dead-letters', ADMIN, async ({ query }) => {
    const { after } = query;
    const limit = readLimit(query.limit);
    return { deadLetters: await host.deadLetters.list({ limit, ...(after === undefined ? {} : { after }) }) };
  });
  app.post<{ Params: { id: string } }>('/api/dead-letters/:id/replay', ADMIN, async ({ params }, reply) => {
    const { id, agent, inbound } = await host.deadLetters.replay(params.id);
    return reply.code(202).send({ id, agent, namespace: inbound.namespace, status: 'accepted' });
  });
  app.delete<{ Params: { id: string } }>('/api/dead-letters/:id', ADMIN, async ({ params }) => {
    await host.deadLetters.drop(params.id);
    return { id: params.id, dropped: true };
  });
}

function readLimit(text: string | undefined): number {
  if (text === undefined) return DEFAULT_LETTERS;
  const limit = Number(text);
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LETTERS) return limit;
  throw bad(
    `Expected \`limit\` to be a whole number from 1 to ${MAX_LETTERS}, got ${JSON.stringify(text.slice(0, 60))}`,
  );
}

export function tokenRoutes(app: FastifyInstance, { host }: OperationsOptions): void {
  app.post('/v1/tokens/count', CHAT, async (request, reply) => {
    const body = readObject(request.body);
    const left = new AbortController();
    const leave = (): void => left.abort();
    reply.raw.once('close', leave);
    try {
      return await count(host, body, left.signal);
    } finally {
      reply.raw.off('close', leave);
    }
  });
}

async function count(host: GatewayHost, body: JsonObject, signal: AbortSignal): Promise<object> {
  const encoding = optionalText(body, 'encoding');
  const model = optionalText(body, 'model');
  if (encoding !== undefined && model !== undefined) throw bad('Expected `encoding` or `model`, got both');
  const options = {
    signal,
    ...(encoding === undefined ? {} : { encoding }),
    ...(model === undefined ? {} : { model }),
  };
  const { texts, messages } = body;
  if ((texts === undefined) === (messages === undefined)) throw bad('Expected either `texts` or `messages`');
  const { counts, total, exact } =
    messages === undefined
      ? await host.countTokens(readTexts(texts), options)
      : await host.countMessageTokens(readMessages(messages), options);
  return { counts: [...counts], total, exact };
}

function readTexts(texts: unknown): readonly string[] {
  if (Array.isArray(texts) && texts.every((t): t is string => typeof t === 'string')) return texts;
  throw bad(`Expected \`texts\` to be an array of strings, got ${kindOf(texts)}`);
}

/**
 * Reads a chat as OpenAI's API takes it: a content is a string, parts, or null where a message only calls tools. How tool
 * calls and the like become tokens is not published: each such key counts as a part that is no text, so as no exact count.
 */
function readMessages(messages: unknown): CountedMessage[] {
  if (!Array.isArray(messages)) throw bad(`Expected \`messages\` to be an array, got ${kindOf(messages)}`);
  return messages.map((line: unknown, i) => {
    if (!isObject(line) || typeof line['role'] !== 'string') {
      throw bad(`Expected \`messages[${i}]\` to have a \`role\` that is a string`);
    }
    const { role, content, name, ...rest } = line;
    const known = readContent(content, `messages[${i}].content`);
    const others = Object.keys(rest).filter((key) => rest[key] !== null);
    const parts = typeof known === 'string' ? [{ type: 'text', text: known }] : (known ?? []);
    return {
      role,
      content: others.length === 0 ? known : [...parts, ...others.map((type) => ({ type }))],
      ...(typeof name === 'string' ? { name } : {}),
    };
  });
}

function readContent(content: unknown, where: string): CountedMessage['content'] {
  if (typeof content === 'string' || content === null) return content;
  if (!Array.isArray(content)) {
    throw bad(`Expected \`${where}\` to be a string, an array of parts or null, got ${kindOf(content)}`);
  }
  return content.map((part: unknown, i) => {
    if (!isObject(part) || typeof part['type'] !== 'string') {
      throw bad(`Expected \`${where}[${i}]\` to have a \`type\` that is a string`);
    }
    const { type, text } = part;
    return { type, ...(typeof text === 'string' ? { text } : {}) };
  });
}
