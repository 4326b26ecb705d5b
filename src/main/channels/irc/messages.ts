/** Owns how a line that somebody said on IRC is read. Pure functions: what the connection knows is passed in. */
import { randomUUID } from 'node:crypto';
import type { MessageEvent } from 'irc-framework';
import type { NetworkMessage } from '../network/message.ts';

export interface ReadContext {
  /** The bot's own name at the moment. */
  readonly nick: string;
  /** Lower case by the server's own rules. */
  readonly lower: (text: string) => string;
  readonly now: number;
}

/** Batches in which a server or a bouncer repeats what was said before. */
const PLAYBACK = /chathistory|playback/;

/**
 * Reads a message; undefined for one that cannot be answered. IRC has no ids: the server's `msgid` is one where it gives it, else one is made
 * up, and then a repetition cannot be told from a message.
 */
export function readMessage(event: MessageEvent, { nick, lower, now }: ReadContext): NetworkMessage | undefined {
  if (event.from_server || event.nick === '') return undefined;
  const { tags, account } = event;
  const msgid = tags['msgid'] ?? tags['draft/msgid'];
  if (event.batch && PLAYBACK.test(event.batch.type) && msgid === undefined) return undefined;
  const isDm = lower(event.target) === lower(nick);
  const user = lower(event.nick);
  const mention = mentionOf(event.message, nick);
  const replyTo = tags['+draft/reply'] ?? tags['+reply'];
  return {
    id: msgid ?? randomUUID(),
    at: event.time ?? now,
    place: isDm
      ? { kind: 'dm', target: event.nick, room: user }
      : { kind: 'room', target: event.target, room: lower(event.target) },
    author: {
      id: user,
      name: event.nick,
      isBot: tags['bot'] !== undefined || tags['draft/bot'] !== undefined,
      isSelf: user === lower(nick),
      aliases: [
        `mask:${event.nick}!${event.ident}@${event.hostname}`,
        ...(account === undefined || account === '' ? [] : [`account:${account}`]),
      ],
    },
    text: plain(event.message.slice(mention)).trim(),
    isForMe: isDm || mention > 0,
    ...(replyTo === undefined ? {} : { replyTo }),
  };
}

/** Length of what addresses the bot at the beginning of a message: `nick: `, `nick, ` or `@nick `; 0 for none. */
function mentionOf(text: string, nick: string): number {
  const escaped = nick.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  return new RegExp(`^\\s*(?:@${escaped}(?![\\w-])[:,]*|${escaped}[:,]+)\\s*`, 'i').exec(text)?.[0].length ?? 0;
}

/** Control characters that begin a colour: by its number, and by its six hexadecimal digits. */
const [COLOUR, HEX_COLOUR] = [String.fromCharCode(3), String.fromCharCode(4)];
const COLOURS = new RegExp(`${COLOUR}(?:\\d{1,2}(?:,\\d{1,2})?)?|${HEX_COLOUR}(?:[\\da-f]{6})?`, 'gi');

/** Takes colours and styles away. */
function plain(text: string): string {
  return text.replaceAll(COLOURS, '').replaceAll(/\p{Cc}/gu, '');
}
