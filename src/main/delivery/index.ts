export { Account } from './account.ts';
export { DeadLetters } from './dead-letters.ts';
export { DeliveryEngine } from './engine.ts';
export { Intake } from './intake.ts';
export type { TurnHost } from './lanes.ts';
export { sessionKey } from './mailbox.ts';
export { MemoryJournal } from './memory-journal.ts';
export { type Origin, OriginBook } from './origin.ts';
