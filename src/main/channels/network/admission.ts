/** Owns which messages of a network are for the bot. It decides only; counting and answering are the frame's. */
import { compileAllow } from './allow.ts';
import type { NetworkMessage } from './message.ts';

/** Why a message is passed over in silence. */
export type Ignored = 'own' | 'bot' | 'notAllowed' | 'notAddressed' | 'empty';

export interface AdmissionRules {
  /** See {@link compileAllow}. */
  readonly allow: readonly string[];
  /** What is answered in rooms: messages that address the bot, or all. Direct messages always are. */
  readonly respondTo: 'mentions' | 'all';
}

/** Compiles the rules; the result tells why a message is ignored, or undefined for one that is taken in. */
export function compileAdmission({
  allow,
  respondTo,
}: AdmissionRules): (message: NetworkMessage) => Ignored | undefined {
  const isAllowed = compileAllow(allow);
  return (message) => {
    const { author, place } = message;
    if (author.isSelf) return 'own';
    // Two bots that answer each other would never end.
    if (author.isBot) return 'bot';
    if (place.kind === 'room' && respondTo === 'mentions' && !message.isForMe) return 'notAddressed';
    if (!isAllowed(message)) return 'notAllowed';
    if (message.text.trim() === '' && (message.parts ?? []).length === 0) return 'empty';
    return undefined;
  };
}
