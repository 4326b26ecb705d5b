/** Owns how a network's message becomes an {@link InboundMessage}, and how the answer finds the way back. Pure functions. */
import { type InboundMessage, Namespace, type OutboundTarget } from '../../../protocol/index.ts';
import type { Recipient } from './driver.ts';
import type { NetworkMessage, Place } from './message.ts';

export interface Origin {
  /** The channel's name in the configuration. */
  readonly channel: string;
  readonly account: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * The session of a message: `NAME:dm:USER` in private, `NAME:GUILD:ROOM:USER` in a room, and `NAME:GUILD:ROOM:THREAD` in a thread, which all
 * who talk there share. A network without guilds has none.
 */
export function namespaceOf(channel: string, { place, author }: NetworkMessage): string {
  if (place.kind === 'dm') return new Namespace(channel, 'dm', author.id).key;
  const guild = place.guild === undefined ? [] : [place.guild];
  return new Namespace(channel, ...guild, place.room, place.thread ?? author.id).key;
}

export function toInbound(message: NetworkMessage, origin: Origin): InboundMessage {
  const { id, author, place, parts = [], mentions = [], replyTo } = message;
  const metadata: Record<string, string> = {
    ...origin.metadata,
    peer: author.id,
    author: author.name,
    kind: place.kind,
    room: place.room,
    target: place.target,
  };
  if (place.guild !== undefined) metadata['guild'] = place.guild;
  if (place.thread !== undefined) metadata['thread'] = place.thread;
  if (replyTo !== undefined) metadata['replyTo'] = replyTo;
  if (mentions.length > 0) metadata['mentions'] = mentions.join(',');
  return {
    id,
    channel: origin.channel,
    account: origin.account,
    namespace: namespaceOf(origin.channel, message),
    message: { role: 'user', content: message.text, ...(parts.length === 0 ? {} : { parts }) },
    metadata,
    receivedAt: message.at,
  };
}

/** Reads back to whom an answer goes. */
export function recipientOf({ metadata, inReplyTo }: OutboundTarget): Recipient {
  const kind: Place['kind'] = metadata['kind'] === 'room' ? 'room' : 'dm';
  return { kind, target: metadata['target'] ?? '', author: metadata['author'] ?? '', inReplyTo };
}
