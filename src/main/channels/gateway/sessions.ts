/**
 * Owns the routes to conversations: what was said in a session, and clearing it. The host reads and clears.
 *
 * A namespace is relative to this gateway; `?channel=NAME` means one of another channel, and needs the admin token. A session
 * without messages is not found: one that was never there and one that was cleared look alike. A turn that runs while its
 * session is cleared brings nothing back: its commit is refused, and it is run again on the empty session.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Namespace, type StoredMessage } from '../../../protocol/index.ts';
import type { Access } from './access.ts';
import { bad, isObject, optionalText, readNamespace } from './ask.ts';
import type { GatewayHost } from './host.ts';

export interface SessionRoutesOptions {
  /** This channel's name. */
  readonly channel: string;
  /** The agent of this channel, where it has one. */
  readonly agent: string | undefined;
  readonly host: GatewayHost;
  readonly access: Access;
}

interface Params {
  readonly namespace: string;
}

interface Asked {
  readonly agent: string;
  /** As the caller sent it. */
  readonly namespace: string;
  /** As it is stored: below its channel's name. */
  readonly stored: string;
}

const PATH = '/api/sessions/:namespace';
const CHAT = { config: { access: 'chat' } } as const;

export function sessionRoutes(app: FastifyInstance, o: SessionRoutesOptions): void {
  app.get<{ Params: Params }>(PATH, CHAT, (request) => show(o.host, read(request, o)));
  app.delete<{ Params: Params }>(PATH, CHAT, (request) => clear(o.host, read(request, o)));
}

async function show(host: GatewayHost, { agent, namespace, stored }: Asked): Promise<object> {
  const messages = await host.readSession(agent, stored);
  return { namespace, agent, messages: messages.map(shown) };
}

async function clear(host: GatewayHost, { agent, namespace, stored }: Asked): Promise<object> {
  await host.clearSession(agent, stored);
  return { namespace, agent, cleared: true };
}

function shown({ role, content, timestamp, tokens }: StoredMessage): object {
  const message = { role, content, timestamp };
  return tokens === undefined ? message : { ...message, tokens };
}

/** Throws `ORRERY_BAD_REQUEST` and `ORRERY_BAD_NAMESPACE`, and `ORRERY_FORBIDDEN` for another channel's session. */
function read(
  request: FastifyRequest<{ Params: Params }>,
  { channel, agent, host, access }: SessionRoutesOptions,
): Asked {
  const { namespace } = request.params;
  const relative = readNamespace(namespace);
  const query = isObject(request.query) ? request.query : {};
  for (const key of ['agent', 'channel']) {
    if (Array.isArray(query[key])) throw bad(`Expected \`${key}\` once, got it ${query[key].length} times`);
  }
  const of = optionalText(query, 'channel') ?? channel;
  if (of !== channel) access.demand(request.headers, 'admin');
  return {
    agent: optionalText(query, 'agent') ?? agent ?? host.defaultAgent(),
    namespace,
    stored: `${new Namespace(of).key}:${relative}`,
  };
}
