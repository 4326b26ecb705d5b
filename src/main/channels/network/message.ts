/** Owns what a chat network's driver says of a message. Plain data. */
import type { MessagePart } from '../../../protocol/index.ts';

/** Where a message was said. */
export interface Place {
  readonly kind: 'room' | 'dm';
  /** Where an answer is posted: the network's id of the room, thread or conversation. */
  readonly target: string;
  /** The server that the room belongs to, where the network has such a thing. */
  readonly guild?: string;
  /** The room that may be named in `allow`; a thread's is the room that it hangs on. Same as `target` in a conversation. */
  readonly room: string;
  readonly thread?: string;
}

export interface Author {
  /** The network's id of the user; it names the session and the `peer` of routing. */
  readonly id: string;
  readonly name: string;
  readonly isBot: boolean;
  /** True for what the bot's own account said. */
  readonly isSelf: boolean;
  /** Further `KIND:VALUE` names by which `allow` may mean this user. */
  readonly aliases?: readonly string[];
}

/** A message of the network, as its driver read it. */
export interface NetworkMessage {
  /** The network's own id, or a generated one where it has none. */
  readonly id: string;
  /** Unix time in milliseconds, by the network's clock where it tells. */
  readonly at: number;
  readonly place: Place;
  readonly author: Author;
  /** What was said, without the mention that addresses the bot. */
  readonly text: string;
  readonly parts?: readonly MessagePart[];
  /** True when the bot is addressed: by a mention or by a reply to it. */
  readonly isForMe: boolean;
  /** Ids of the users that are mentioned. */
  readonly mentions?: readonly string[];
  /** Id of the message that this one replies to. */
  readonly replyTo?: string;
}
