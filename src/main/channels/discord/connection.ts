/**
 * Owns one connection to Discord's gateway. discord.js resumes a lost session by itself, which replays what was missed; when it does not
 * get there within a while, the connection is given up and the channel's own machine, which backs off, makes a new one.
 */
import type * as Library from 'discord.js';
import type { Client, GatewayDispatchPayload } from 'discord.js';
import { OrreryError } from '../../../protocol/index.ts';
import type { Link } from '../network/driver.ts';
import type { NetworkMessage } from '../network/message.ts';
import { badToken, connectError, fatalClose } from './errors.ts';
import { type RawMessage, readMessage } from './messages.ts';
import { Reader } from './reader.ts';
import { Shards } from './shards.ts';

export interface ConnectionOptions {
  readonly token: string;
  /** Base of the REST API, without its version; the gateway's address is asked there. */
  readonly apiUrl: string;
  /** Whether the text of messages that do not mention the bot is wanted: a privileged intent. */
  readonly readsAll: boolean;
  /** Milliseconds that the library gets to resume. */
  readonly resumeMs: number;
}

/** Milliseconds of a rate limit that are waited for in place, which keeps the order; longer ones are told, so that others need not wait. */
const WAIT_IN_PLACE_MS = 2000;
/** The bot itself is always kept in the caches. */
const CACHED_USERS = 200;

export class DiscordConnection {
  readonly client: Client;
  readonly routes: typeof Library.Routes;
  readonly #library: typeof Library;
  readonly #options: ConnectionOptions;
  readonly #link: Link;
  readonly #shards: Shards;
  readonly #reader: Reader;
  readonly #opened = Promise.withResolvers<void>();
  #isOpen = false;
  #window: NodeJS.Timeout | undefined;
  #drops = 0;
  #resumes = 0;

  constructor(library: typeof Library, options: ConnectionOptions, link: Link) {
    this.#library = library;
    this.#options = options;
    this.#link = link;
    this.routes = library.Routes;
    this.#shards = new Shards(library);
    this.client = this.#makeClient();
    this.#reader = new Reader({
      link,
      read: (raw, guildId) => this.#read(raw, guildId),
      history: async (room, after, limit) => {
        const query = new URLSearchParams({ after, limit: String(limit) });
        return (await this.client.rest.get(this.routes.channelMessages(room), { query })) as RawMessage[];
      },
    });
    this.#opened.promise.catch(() => undefined); // open() may have ended by the signal
    this.#listen();
  }

  /** Resolves when the gateway is ready and its guilds have come in. */
  async open(): Promise<void> {
    const { signal } = this.#link;
    const abort = (): void => this.#opened.reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    // It resolves with the first READY, and rejects for a refused token; a gateway that cannot be reached keeps it waiting.
    this.client.login(this.#options.token).catch((error: unknown) => this.#opened.reject(connectError(error)));
    try {
      signal.throwIfAborted();
      await this.#opened.promise;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#window);
    this.client.removeAllListeners();
    // The library emits errors also after its end; without a listener they would end the process.
    this.client.on(this.#library.Events.Error, () => undefined);
    await this.#shards.end(this.client);
  }

  /** A request was refused because of the token: nothing works any more. */
  tokenRefused(): void {
    this.#fail(badToken());
  }

  health(): Readonly<Record<string, number>> {
    const { ping } = this.client.ws;
    const latency = ping >= 0 ? { gatewayPingMs: Math.round(ping) } : {};
    return { ...latency, drops: this.#drops, resumes: this.#resumes, caughtUp: this.#reader.caughtUp };
  }

  #makeClient(): Client {
    const { Client, GatewayIntentBits, Options } = this.#library;
    const { apiUrl, readsAll } = this.#options;
    const self = (user: { readonly id: string; readonly client: Client }): boolean => user.id === user.client.user?.id;
    return new Client({
      intents: [
        GatewayIntentBits.Guilds,
        GatewayIntentBits.GuildMessages,
        GatewayIntentBits.DirectMessages,
        ...(readsAll ? [GatewayIntentBits.MessageContent] : []),
      ],
      rest: {
        api: apiUrl,
        version: '10',
        rejectOnRateLimit: ({ method, timeToReset, retryAfter }) =>
          method.toUpperCase() !== 'GET' && Math.max(timeToReset, retryAfter) > WAIT_IN_PLACE_MS,
      },
      ws: { buildStrategy: this.#shards.buildStrategy },
      // Rooms and roles are needed; people and what they said are not, and would grow without a bound.
      makeCache: Options.cacheWithLimits({
        ...Options.DefaultMakeCacheSettings,
        MessageManager: 0,
        ReactionManager: 0,
        PresenceManager: 0,
        VoiceStateManager: 0,
        ThreadMemberManager: 0,
        GuildEmojiManager: 0,
        GuildStickerManager: 0,
        GuildMemberManager: { maxSize: CACHED_USERS, keepOverLimit: self },
        UserManager: { maxSize: CACHED_USERS, keepOverLimit: self },
      }),
    });
  }

  #listen(): void {
    const { Events } = this.#library;
    const { client } = this;
    client.on(Events.Raw, (packet: GatewayDispatchPayload) => this.#dispatched(packet));
    client.on(Events.ShardReady, () => {
      this.#isBack();
      this.#isOpen = true;
      this.#reader.settle();
      this.#opened.resolve();
    });
    client.on(Events.ShardResume, () => {
      this.#resumes += 1;
      this.#isBack();
    });
    client.on(Events.ShardDisconnect, ({ code }) => {
      this.#fail(
        fatalClose(code) ?? new OrreryError('ORRERY_CHANNEL_FAILED', `Discord closed the connection (${code})`),
      );
    });
    client.on(Events.ShardReconnecting, () => this.#dropped());
    client.on(Events.ShardError, (error) =>
      this.#link.log.debug({ err: error }, 'the gateway connection has an error'),
    );
    client.on(Events.Error, (error) => this.#link.log.warn({ err: error }, 'discord.js has an error'));
    client.on(Events.Warn, (text) => this.#link.log.debug(text));
  }

  #dispatched(packet: GatewayDispatchPayload): void {
    const { GatewayDispatchEvents: Type } = this.#library;
    if (packet.t === Type.Ready) this.#reader.ready(packet.d.guilds.map(({ id }) => id));
    else if (packet.t === Type.MessageCreate) this.#reader.message(packet.d);
    else if (packet.t === Type.ChannelCreate || packet.t === Type.ThreadCreate) this.#reader.created(packet.d.id);
    else if (packet.t === Type.GuildCreate && packet.d.unavailable !== true) {
      const { id, channels, threads } = packet.d;
      const rooms = [...channels, ...threads].flatMap((channel) =>
        'last_message_id' in channel ? [{ id: channel.id, last: channel.last_message_id ?? undefined }] : [],
      );
      this.#reader.guild(id, rooms);
    }
  }

  #read(raw: RawMessage, guildId: string | undefined): NetworkMessage | undefined {
    const { client } = this;
    const channel = client.channels.cache.get(raw.channel_id);
    const parentId = channel?.isThread() === true ? (channel.parentId ?? undefined) : undefined;
    const guild = guildId === undefined ? undefined : client.guilds.cache.get(guildId);
    const botRoleId = client.user ? guild?.roles.botRoleFor(client.user)?.id : undefined;
    return readMessage(raw, {
      selfId: client.user?.id ?? '',
      ...(guildId === undefined ? {} : { guildId }),
      ...(parentId === undefined ? {} : { parentId }),
      ...(botRoleId === undefined ? {} : { botRoleId }),
    });
  }

  /** The library reconnects by itself, every half second and without an end: it gets its time, then the backoff takes over. */
  #dropped(): void {
    this.#drops += 1;
    // It tells of each attempt: the time counts from the loss.
    if (this.#window) return;
    const { resumeMs } = this.#options;
    this.#window = setTimeout(() => {
      this.#fail(new OrreryError('ORRERY_CHANNEL_FAILED', `Discord's gateway did not come back within ${resumeMs} ms`));
    }, resumeMs);
  }

  #isBack(): void {
    clearTimeout(this.#window);
    this.#window = undefined;
  }

  #fail(error: OrreryError): void {
    if (this.#isOpen) this.#link.lost(error);
    else this.#opened.reject(error);
  }
}
