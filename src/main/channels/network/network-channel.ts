/**
 * Owns what all chat networks have in common, as a {@link Channel} around a {@link NetworkDriver}: who may talk, how often, sessions, replies in
 * parts and by edits, typing, and errors in words. It knows no network.
 */
import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import {
  OrreryError,
  type OutboundError,
  type OutboundMessage,
  type OutboundTarget,
  asOrreryError,
  codeOf,
  toWire,
} from '../../../protocol/index.ts';
import type { Channel, ChannelContext, SendOptions, SendReceipt } from '../channel.ts';
import { type AdmissionRules, type Ignored, compileAdmission } from './admission.ts';
import { Draft } from './draft.ts';
import type { Link, NetworkDriver, Recipient } from './driver.ts';
import { errorText, limitText } from './error-text.ts';
import { recipientOf, toInbound } from './inbound.ts';
import type { ChannelMemory, PostedPart } from './memory.ts';
import type { NetworkMessage } from './message.ts';
import { UserLimit } from './rate-limit.ts';
import { Typing } from './typing.ts';

export interface NetworkOptions extends AdmissionRules {
  /** Names the account in routing. Default: the channel's name. */
  readonly account?: string;
  /** Messages of one user that are taken in. `Infinity` is no limit. */
  readonly rateLimitPerMinute: number;
  /** Shows a reply while it is being written, where the network has edits. */
  readonly stream: boolean;
}

interface Session {
  readonly ctx: ChannelContext;
  readonly log: Logger;
  /** What came before the connection counted as open, when a reply could not be sent yet; undefined from then on. */
  early: Early[] | undefined;
}

interface Early {
  readonly message: NetworkMessage;
  readonly resolve: (taken: boolean | Promise<boolean>) => void;
}

/** What intake says when it takes in nothing at all: the message is not refused, only not taken yet. */
const NOT_NOW: ReadonlySet<string | undefined> = new Set([
  'ORRERY_DRAINING',
  'ORRERY_STARTING',
  'ORRERY_CHANNEL_CLOSED',
  'ORRERY_CLOSED',
]);

export class NetworkChannel implements Channel {
  readonly type: string;
  readonly startTyping?: (target: OutboundTarget) => Disposable;
  readonly edit?: (receipt: SendReceipt, out: OutboundMessage) => Promise<void>;
  readonly #driver: NetworkDriver;
  readonly #options: NetworkOptions;
  readonly #memory: ChannelMemory;
  readonly #ignores: (message: NetworkMessage) => Ignored | undefined;
  readonly #limit: UserLimit;
  readonly #typing: Typing | undefined;
  readonly #drafts = new Map<string, Draft>();
  /** The last post of each room: parts of two replies never mingle. */
  readonly #posts = new Map<string, Promise<unknown>>();
  readonly #counts = { taken: 0, own: 0, bot: 0, notAllowed: 0, notAddressed: 0, empty: 0, limited: 0, refused: 0 };
  #session: Session | undefined;
  #takesIn = false;

  constructor(driver: NetworkDriver, options: NetworkOptions, memory: ChannelMemory) {
    this.type = driver.type;
    this.#driver = driver;
    this.#options = options;
    this.#memory = memory;
    this.#ignores = compileAdmission(options);
    this.#limit = new UserLimit(options.rateLimitPerMinute);
    const { typingMs } = driver;
    if (driver.showTyping && typingMs !== undefined) {
      const typing = new Typing(typingMs, async (target) => driver.showTyping?.(target));
      this.#typing = typing;
      this.startTyping = (target) => typing.start(recipientOf(target).target);
    }
    if (driver.edit) this.edit = (receipt, out) => this.#editParts(receipt, out);
  }

  async connect(ctx: ChannelContext): Promise<void> {
    const log = ctx.log;
    const session: Session = { ctx, log, early: [] };
    this.#session = session;
    this.#takesIn = true;
    let isLost = false;
    const link: Link = {
      signal: ctx.signal,
      log,
      memory: this.#memory,
      take: (message) => this.#take(session, message),
      lost: (cause) => {
        if (isLost || ctx.signal.aborted || this.#session !== session) return;
        isLost = true;
        ctx.closed(cause ?? new OrreryError('ORRERY_CHANNEL_FAILED', 'The network closed the connection'));
      },
    };
    await this.#driver.open(link);
    // A step later the connection counts as open.
    setImmediate(() => this.#begin(session));
  }

  async send(out: OutboundMessage, { key, signal }: SendOptions): Promise<SendReceipt> {
    this.#live();
    await this.#endDraft(key);
    // Where all read the same room, one answer to several messages is posted once.
    if (out.reply.by !== undefined && !this.#memory.hasPosted(key)) return { ids: [] };
    return this.#bring(key, recipientOf(out.target), out.reply.message.content, signal);
  }

  async sendError(out: OutboundError, { key, signal }: SendOptions): Promise<void> {
    this.#live();
    await this.#endDraft(key);
    // Where nothing can be edited, what was posted of a reply stays, and the error follows it.
    const own = this.edit ? key : `${key}:error`;
    await this.#bring(own, recipientOf(out.target), errorText(out.error), signal);
  }

  shutdown(): void {
    this.#takesIn = false;
  }

  async dispose(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    for (const { message, resolve } of session?.early ?? []) resolve(this.#park(message));
    this.#typing?.stop();
    for (const draft of this.#drafts.values()) void draft.end();
    this.#drafts.clear();
    await this.#driver.close();
    await this.#memory.flush();
  }

  /** What came and what became of it, and what the driver knows of its connection. */
  health(): Readonly<Record<string, number | string>> {
    const seen = Object.entries(this.#counts).filter(([name, count]) => name === 'taken' || count > 0);
    return { ...Object.fromEntries(seen), ...this.#driver.health?.() };
  }

  /** Hands in what waited for this connection, in its order. */
  #begin(session: Session): void {
    const early = session.early ?? [];
    session.early = undefined;
    for (const message of this.#memory.takeParked(Date.now())) void this.#take(session, message);
    for (const { message, resolve } of early) resolve(this.#take(session, message));
  }

  /** Deals with a message of the network; see {@link Link.take}. */
  async #take(session: Session, message: NetworkMessage): Promise<boolean> {
    const { early } = session;
    if (early && this.#session === session) {
      return new Promise((resolve) => {
        early.push({ message, resolve });
      });
    }
    if (this.#session !== session || session.ctx.signal.aborted || !this.#takesIn) return this.#park(message);
    const ignored = this.#ignores(message);
    if (ignored !== undefined) {
      this.#counts[ignored] += 1;
      return true;
    }
    const verdict = this.#limit.take(message.author.id, message.at);
    if (!verdict.ok) {
      this.#counts.limited += 1;
      if (verdict.isFirst) this.#tell(message, limitText(verdict.retryAfterMs));
      return true;
    }
    return this.#hand(session, message);
  }

  async #hand(session: Session, message: NetworkMessage): Promise<boolean> {
    const { ctx } = session;
    const inbound = toInbound(message, {
      channel: ctx.name,
      account: this.#options.account ?? ctx.name,
      metadata: ctx.metadata,
    });
    const draft = this.#draftFor(message);
    try {
      const accepted = await ctx.accept(inbound, draft);
      if (accepted.status !== 'accepted') return true;
      this.#counts.taken += 1;
      // Race: an agent may have answered before this adapter hears of the acceptance; a draft would then be shown over its reply.
      if (draft && this.#session === session && !this.#memory.knows(accepted.id)) {
        this.#drafts.set(accepted.id, draft);
        draft.begin(accepted.id);
      }
      return true;
    } catch (error) {
      return this.#refused(session, message, error);
    }
  }

  #refused({ log }: Session, message: NetworkMessage, error: unknown): boolean {
    const code = codeOf(error);
    if (NOT_NOW.has(code)) return this.#park(message);
    // Edited since it was taken in, and fetched again: its first form is answered.
    if (code === 'ORRERY_ID_CONFLICT') return true;
    this.#counts.refused += 1;
    log.info({ code, id: message.id }, 'a message was refused');
    this.#tell(message, errorText(toWire(error)));
    return true;
  }

  /** A message that comes while nothing is taken in waits for the next connection: the network gives it again, or it is kept here. */
  #park(message: NetworkMessage): boolean {
    if (!this.#driver.hasHistory) this.#memory.park(message, Date.now());
    return false;
  }

  /** Tells a sender something that is no answer. Once, and without a second attempt. */
  #tell(message: NetworkMessage, text: string): void {
    const session = this.#session;
    if (session === undefined) return;
    const { place, author, id } = message;
    const to: Recipient = { kind: place.kind, target: place.target, author: author.name, inReplyTo: id };
    this.#bring(`refused:${id}`, to, text, session.ctx.signal).catch((error: unknown) => {
      session.log.debug({ err: error }, 'a sender could not be told');
    });
  }

  #draftFor(message: NetworkMessage): Draft | undefined {
    const { editPaceMs } = this.#driver;
    if (!this.#options.stream || !this.edit || editPaceMs === undefined) return undefined;
    const { place, author, id } = message;
    const to: Recipient = { kind: place.kind, target: place.target, author: author.name, inReplyTo: id };
    const signal = this.#session?.ctx.signal;
    return (
      signal &&
      new Draft(editPaceMs, async (key, text) => {
        await this.#bring(key, to, text, signal);
      })
    );
  }

  async #endDraft(key: string): Promise<void> {
    this.#memory.posted(key); // known from now on
    const draft = this.#drafts.get(key);
    this.#drafts.delete(key);
    await draft?.end();
  }

  /** Makes the network show a text under a key, whatever of it stands there already. Rooms are served one post after another. */
  #bring(key: string, to: Recipient, text: string, signal: AbortSignal): Promise<SendReceipt> {
    const { target } = to;
    const done = (this.#posts.get(target) ?? Promise.resolve()).then(() => this.#reconcile(key, to, text, signal));
    const settled = done.then(
      () => undefined,
      () => undefined,
    );
    this.#posts.set(target, settled);
    void settled.then(() => {
      if (this.#posts.get(target) === settled) this.#posts.delete(target);
    });
    return done;
  }

  async #reconcile(key: string, to: Recipient, text: string, signal: AbortSignal): Promise<SendReceipt> {
    const driver = this.#driver;
    const posted = this.#memory.posted(key);
    if (!driver.confirm) return this.#postMissing(key, posted, to, text, signal);
    const before = posted.length;
    try {
      const receipt = await this.#postMissing(key, posted, to, text, signal);
      await driver.confirm(to.target);
      return receipt;
    } catch (error) {
      // Nobody knows whether it arrived: the next attempt posts it again, since a reply twice is better than none.
      posted.length = before;
      throw error;
    }
  }

  async #postMissing(
    key: string,
    posted: PostedPart[],
    to: Recipient,
    text: string,
    signal: AbortSignal,
  ): Promise<SendReceipt> {
    const driver = this.#driver;
    const { target } = to;
    const texts = driver.compose(text, to);
    for (const [i, wanted] of texts.entries()) {
      signal.throwIfAborted();
      this.#live();
      let part = posted[i];
      if (part === undefined) {
        const reply = i === 0 ? { replyTo: to.inReplyTo } : {};
        const { id, text: standing = wanted } = await driver.post(target, wanted, {
          nonce: nonceOf(key, i),
          signal,
          ...reply,
        });
        part = { id, text: standing.trim() === wanted.trim() ? wanted : standing };
        posted[i] = part;
      }
      if (driver.edit && part.text !== wanted) {
        await driver.edit(target, part.id, wanted);
        part.text = wanted;
      }
    }
    // A draft that was longer than what came of it.
    while (driver.remove && posted.length > texts.length) {
      const surplus = posted.at(-1);
      if (surplus) await driver.remove(target, surplus.id);
      posted.pop();
    }
    return { ids: posted.map(({ id }) => id) };
  }

  async #editParts({ ids }: SendReceipt, out: OutboundMessage): Promise<void> {
    const to = recipientOf(out.target);
    const texts = this.#driver.compose(out.reply.message.content, to);
    for (const [i, id] of ids.entries()) {
      const text = texts[i];
      if (text !== undefined) await this.#driver.edit?.(to.target, id, text);
    }
  }

  #live(): Session {
    if (this.#session) return this.#session;
    throw asOrreryError(undefined, 'ORRERY_CHANNEL_CLOSED', `The ${this.type} channel is not connected`);
  }
}

/** The same for every attempt to post the same part: 24 characters, as networks allow 25. */
export function nonceOf(key: string, index: number): string {
  return createHash('sha256').update(`${key}\n${index}`).digest('base64url').slice(0, 24);
}
