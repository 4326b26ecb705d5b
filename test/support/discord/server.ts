/**
 * Owns a Discord test server: the REST calls that a bot makes, and users who say things. It speaks Discord's real protocol to the real client
 * library, on loopback, and records what the bot did. The gateway is gateway.ts's, what is known world.ts's.
 */
import { once } from 'node:events';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Inbox } from '../channels.ts';
import { TestGateway } from './gateway.ts';
import { type Said, type TestMessage, type TestRoom, World } from './world.ts';

export interface DiscordServerOptions {
  /** Default: one that the server accepts. */
  readonly token?: string;
  /** Default 45,000. */
  readonly heartbeatMs?: number;
  readonly disallowedIntents?: number;
}

/** A message of the bot, as its room got it. */
export interface Heard {
  readonly room: TestRoom;
  readonly message: TestMessage;
}

interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export const TOKEN = 'dG9rZW4tb2YtYS1ib3Q.test';
const MAX_CONTENT = 2000;

export class DiscordServer implements AsyncDisposable {
  readonly world: World = new World();
  readonly gateway: TestGateway;
  /** What the bot posted, in order. */
  readonly heard: Inbox<Heard> = new Inbox();
  readonly edits: Inbox<Heard> = new Inbox();
  readonly removed: string[] = [];
  /** Rooms in which the bot showed that it types. */
  readonly typing: Inbox<string> = new Inbox();
  readonly requests: string[] = [];
  /** Posts that were answered with the message that their nonce had made before. */
  enforced = 0;
  /** The next posts are answered with 429, each with so many seconds to wait. */
  readonly rateLimits: number[] = [];
  /** So many posts are made and their answer is lost. */
  swallows = 0;
  /** Answers of `GET /gateway/bot` that fail with 500. */
  failures = 0;
  /** The status of every answer while it is set, as a proxy gives it for a server that is away. */
  status: number | undefined;
  /** What every answer waits for. */
  held: Promise<void> = Promise.resolve();
  /** Every user's message is dispatched so often. */
  copies = 1;
  token: string;
  readonly #server: Server;
  readonly #nonces = new Map<string, TestMessage>();

  private constructor(
    server: Server,
    { token = TOKEN, heartbeatMs = 45_000, disallowedIntents = 0 }: DiscordServerOptions,
  ) {
    this.#server = server;
    this.token = token;
    this.gateway = new TestGateway(server, this.world, { token, heartbeatMs, disallowedIntents });
    server.on('request', (request, response) => void this.#serve(request, response));
  }

  static async start(options: DiscordServerOptions = {}): Promise<DiscordServer> {
    const server = createServer();
    const discord = new DiscordServer(server, options);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    discord.gateway.url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    return discord;
  }

  /** For `apiUrl` of the configuration. */
  get apiUrl(): string {
    return `${this.gateway.url.replace('ws', 'http')}api`;
  }

  /** A user says something: it is kept, and sent to every session. */
  say(said: Partial<Said> & { readonly content: string }): TestMessage {
    const message = this.world.add({ room: this.world.dm, ...said });
    for (let i = 0; i < this.copies; i++) this.gateway.dispatch('MESSAGE_CREATE', message);
    return message;
  }

  /** A user addresses the bot in the guild's room. */
  mention(content: string, room: TestRoom = this.world.room): TestMessage {
    return this.say({ room, content: `<@${this.world.self.id}> ${content}` });
  }

  /** What stands in a room of the bot's, by now. */
  standing(room: TestRoom): readonly string[] {
    return room.messages.filter((m) => m.author.id === this.world.self.id).map((m) => m.content);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway.close();
    this.#server.closeAllConnections();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const url = new URL(request.url ?? '/', 'http://127.0.0.1');
    const path = url.pathname.replace('/api/v10', '');
    this.requests.push(`${request.method ?? ''} ${path}`);
    await this.held;
    const answer =
      request.headers.authorization === `Bot ${this.token}`
        ? this.#answer(
            request.method ?? '',
            path,
            url.searchParams,
            text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
          )
        : { status: 401, body: { code: 0, message: '401: Unauthorized' } };
    if (answer === undefined) {
      response.destroy();
      return;
    }
    response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers });
    response.end(answer.body === undefined ? undefined : JSON.stringify(answer.body));
  }

  /** Undefined: the answer is lost on its way. */
  #answer(method: string, path: string, query: URLSearchParams, body: Record<string, unknown>): Answer | undefined {
    if (this.status !== undefined) return { status: this.status, body: { code: 0, message: 'upstream' } };
    if (path === '/gateway/bot') return this.#gatewayBot();
    const [, rooms, id = '', kind, messageId] = path.split('/');
    const room = this.world.findRoom(id);
    if (rooms !== 'channels' || room === undefined)
      return { status: 404, body: { code: 10_003, message: 'Unknown Channel' } };
    if (kind === 'typing') {
      this.typing.push(room.id);
      return { status: 204 };
    }
    if (kind !== 'messages') return { status: 404, body: { code: 0, message: 'Not Found' } };
    if (method === 'GET') return { status: 200, body: this.#history(room, query) };
    if (method === 'POST') return this.#post(room, body);
    const message = room.messages.find((m) => m.id === messageId);
    if (!message) return { status: 404, body: { code: 10_008, message: 'Unknown Message' } };
    if (method === 'PATCH') {
      message.content = String(body['content']);
      message.edited_timestamp = new Date().toISOString();
      this.edits.push({ room, message: { ...message } });
      return { status: 200, body: message };
    }
    room.messages.splice(room.messages.indexOf(message), 1);
    this.removed.push(message.id);
    return { status: 204 };
  }

  #gatewayBot(): Answer {
    if (this.failures > 0) {
      this.failures -= 1;
      return { status: 500, body: { code: 0, message: 'Internal Server Error' } };
    }
    const session_start_limit = { total: 1000, remaining: 1000, reset_after: 14_400_000, max_concurrency: 1 };
    return { status: 200, body: { url: this.gateway.url, shards: 1, session_start_limit } };
  }

  /** As Discord does: newest first, at most `limit` of those after an id, and those are the oldest of them. */
  #history(room: TestRoom, query: URLSearchParams): readonly object[] {
    const after = BigInt(query.get('after') ?? '0');
    const limit = Number(query.get('limit') ?? 50);
    const found = room.messages.filter((m) => BigInt(m.id) > after).slice(0, limit);
    // The history does not tell the guild.
    return found.toReversed().map((message) => Object.assign({}, message, { guild_id: undefined }));
  }

  #post(room: TestRoom, body: Record<string, unknown>): Answer | undefined {
    const seconds = this.rateLimits.shift();
    if (seconds !== undefined) {
      const headers = {
        'retry-after': String(seconds),
        'x-ratelimit-limit': '5',
        'x-ratelimit-remaining': '0',
        'x-ratelimit-reset-after': String(seconds),
        'x-ratelimit-bucket': 'messages',
        'x-ratelimit-scope': 'user',
      };
      return {
        status: 429,
        headers,
        body: { message: 'You are being rate limited.', retry_after: seconds, global: false },
      };
    }
    const content = typeof body['content'] === 'string' ? body['content'] : '';
    if (content.trim() === '') return { status: 400, body: { code: 50_006, message: 'Cannot send an empty message' } };
    if (content.length > MAX_CONTENT) return { status: 400, body: { code: 50_035, message: 'Invalid Form Body' } };
    const nonce = typeof body['nonce'] === 'string' ? body['nonce'] : undefined;
    if (nonce !== undefined && nonce.length > 25)
      return { status: 400, body: { code: 50_035, message: 'Invalid Form Body' } };
    // Of the same author, wherever it stands.
    const before = nonce === undefined || body['enforce_nonce'] !== true ? undefined : this.#nonces.get(nonce);
    if (before) {
      this.enforced += 1;
      return { status: 200, body: before };
    }
    const reference = body['message_reference'] as { message_id: string } | undefined;
    const message = this.world.add({
      user: this.world.self,
      room,
      content,
      ...(nonce === undefined ? {} : { nonce }),
      ...(reference === undefined ? {} : { replyTo: reference.message_id }),
    });
    if (nonce !== undefined) this.#nonces.set(nonce, message);
    this.heard.push({ room, message: { ...message } });
    this.gateway.dispatch('MESSAGE_CREATE', message);
    if (this.swallows > 0) {
      this.swallows -= 1;
      return undefined;
    }
    return { status: 200, body: message };
  }
}
