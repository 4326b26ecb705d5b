/** Owns how a message of Discord's API is read. Pure functions: what the connection knows of rooms and of itself is passed in. */
import type { APIMessage, APIUser, GatewayMessageCreateDispatchData } from 'discord.js';
import type { MessagePart } from '../../../protocol/index.ts';
import type { NetworkMessage, Place } from '../network/message.ts';

/** A message as the gateway sends it, or as the history gives it. */
export type RawMessage = APIMessage & Partial<Pick<GatewayMessageCreateDispatchData, 'guild_id' | 'member'>>;

export interface ReadContext {
  readonly selfId: string;
  /** Of the room, where the message itself does not say it. */
  readonly guildId?: string;
  /** The room that a thread hangs on. */
  readonly parentId?: string;
  /** The role that Discord gives to the bot alone. */
  readonly botRoleId?: string;
}

/** Types that people write: 0 is a message, 19 a reply. The others are notices of the system. */
const WRITTEN: ReadonlySet<number> = new Set([0, 19]);

/** Reads a message; undefined for a notice of the system. */
export function readMessage(raw: RawMessage, context: ReadContext): NetworkMessage | undefined {
  if (!WRITTEN.has(raw.type)) return undefined;
  const { author } = raw;
  const { selfId, botRoleId } = context;
  const mentions = raw.mentions.map(({ id }) => id);
  const parts = raw.attachments.map(partOf);
  const replyTo = raw.message_reference?.message_id;
  const isForMe =
    mentions.includes(selfId) ||
    raw.referenced_message?.author.id === selfId ||
    (botRoleId !== undefined && raw.mention_roles.includes(botRoleId));
  return {
    id: raw.id,
    at: Date.parse(raw.timestamp),
    place: placeOf(raw, context),
    author: {
      id: author.id,
      name: raw.member?.nick ?? author.global_name ?? author.username,
      isBot: author.bot === true || raw.webhook_id !== undefined,
      isSelf: author.id === selfId,
    },
    text: readText(raw.content, raw.mentions, selfId, botRoleId),
    ...(parts.length === 0 ? {} : { parts }),
    isForMe,
    ...(mentions.length === 0 ? {} : { mentions }),
    ...(replyTo === undefined ? {} : { replyTo }),
  };
}

/** Compares two ids by their age: negative when `a` is the older one. */
export function compareIds(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a === b ? 0 : a < b ? -1 : 1;
}

function placeOf(raw: RawMessage, { guildId = raw.guild_id, parentId }: ReadContext): Place {
  const target = raw.channel_id;
  if (guildId === undefined) return { kind: 'dm', target, room: target };
  if (parentId === undefined) return { kind: 'room', target, guild: guildId, room: target };
  return { kind: 'room', target, guild: guildId, room: parentId, thread: target };
}

/** Takes the mention away that addresses the bot, and writes the others as names. */
function readText(content: string, users: readonly APIUser[], selfId: string, botRoleId: string | undefined): string {
  const role = botRoleId === undefined ? '' : `|<@&${botRoleId}>`;
  const text = content.replace(new RegExp(`^\\s*(?:(?:<@!?${selfId}>${role})[\\s,:]*)+`), '');
  return text
    .replaceAll(/<@!?(\d+)>/g, (written, id: string) => {
      const user = users.find((u) => u.id === id);
      return user ? `@${user.username}` : written;
    })
    .trim();
}

function partOf({ url, filename, content_type: mediaType }: APIMessage['attachments'][number]): MessagePart {
  const type = mediaType === undefined ? {} : { mediaType };
  return mediaType?.startsWith('image/') === true
    ? { type: 'image', url, ...type }
    : { type: 'file', url, name: filename, ...type };
}
