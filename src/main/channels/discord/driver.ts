/** Owns Discord as a {@link NetworkDriver}: its REST calls and the form of its messages. The gateway is connection.ts's. */
import type { APIMessage } from 'discord.js';
import { OrreryError } from '../../../protocol/index.ts';
import type { Link, NetworkDriver, PostOptions, Posted } from '../network/driver.ts';
import { loadPeer } from '../network/peer.ts';
import { splitText } from '../network/split.ts';
import { DiscordConnection } from './connection.ts';
import { requestError } from './errors.ts';
import { toDiscordMarkdown } from './markdown.ts';

/** Characters of one message. */
export const MAX_MESSAGE = 2000;
export const DEFAULT_API_URL = 'https://discord.com/api';
/** Milliseconds that discord.js gets to resume before the connection is made anew. */
export const DEFAULT_RESUME_MS = 15_000;

export interface DiscordOptions {
  readonly token: string;
  readonly apiUrl?: string;
  readonly respondTo: 'mentions' | 'all';
  readonly resumeMs?: number;
}

/** Nothing that an agent writes may ring for everybody. */
const MENTIONS = { parse: [], replied_user: true } as const;

export class DiscordDriver implements NetworkDriver {
  readonly type = 'discord';
  readonly hasHistory = true;
  readonly typingMs = 10_000;
  /** Discord takes five edits in five seconds of one room. */
  readonly editPaceMs = 1200;
  readonly #options: DiscordOptions;
  #connection: DiscordConnection | undefined;

  constructor(options: DiscordOptions) {
    this.#options = options;
  }

  async open(link: Link): Promise<void> {
    const library = await loadPeer('discord.js', '14', () => import('discord.js'));
    link.signal.throwIfAborted();
    const { token, apiUrl = DEFAULT_API_URL, respondTo, resumeMs = DEFAULT_RESUME_MS } = this.#options;
    const options = { token, apiUrl, readsAll: respondTo === 'all', resumeMs };
    this.#connection = new DiscordConnection(library, options, link);
    await this.#connection.open();
  }

  async close(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    await connection?.close();
  }

  compose(text: string): readonly string[] {
    return splitText(toDiscordMarkdown(text), { max: MAX_MESSAGE });
  }

  async post(target: string, content: string, { nonce, replyTo, signal }: PostOptions): Promise<Posted> {
    const reply =
      replyTo === undefined ? {} : { message_reference: { message_id: replyTo, fail_if_not_exists: false } };
    const body = { content, nonce, enforce_nonce: true, allowed_mentions: MENTIONS, ...reply };
    const posted = await this.#request(
      ({ client, routes }) => client.rest.post(routes.channelMessages(target), { body, signal }),
      signal,
    );
    const { id, content: text } = posted as APIMessage;
    return { id, text };
  }

  async edit(target: string, id: string, content: string): Promise<void> {
    const body = { content, allowed_mentions: MENTIONS };
    await this.#request(({ client, routes }) => client.rest.patch(routes.channelMessage(target, id), { body }));
  }

  async remove(target: string, id: string): Promise<void> {
    await this.#request(({ client, routes }) => client.rest.delete(routes.channelMessage(target, id)));
  }

  async showTyping(target: string): Promise<void> {
    await this.#request(({ client, routes }) => client.rest.post(routes.channelTyping(target)));
  }

  health(): Readonly<Record<string, number>> {
    return this.#connection?.health() ?? {};
  }

  async #request(call: (connection: DiscordConnection) => Promise<unknown>, signal?: AbortSignal): Promise<unknown> {
    const connection = this.#connection;
    if (!connection) throw new OrreryError('ORRERY_CHANNEL_CLOSED', 'Discord is not connected');
    try {
      return await call(connection);
    } catch (error) {
      const known = requestError(error, signal?.aborted === true);
      if (!(known instanceof OrreryError) || known.code !== 'ORRERY_UNAUTHORIZED') throw known;
      // It is the channel that is refused, not what was to be sent: that waits until somebody has mended the token.
      connection.tokenRefused();
      throw new OrreryError('ORRERY_CHANNEL_CLOSED', 'Discord refused the token', { cause: known });
    }
  }
}
