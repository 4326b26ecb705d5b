export {
  ERRORS,
  type ErrorClass,
  type ErrorCode,
  type ErrorDetails,
  type ErrorEntry,
  OrreryError,
  type WireError,
} from './errors.ts';
export type {
  Accepted,
  ChatMessage,
  DeliveredReply,
  DeliveryId,
  DeliveryListener,
  InboundMessage,
  MessagePart,
  OutboundError,
  OutboundMessage,
  OutboundTarget,
  QueueMode,
  Reply,
  StoredMessage,
  TurnContext,
  Usage,
  UserMessage,
} from './messages.ts';
export { Namespace } from './namespace.ts';
export type { AgentState, ConnectionState, DeadReason, DeliveryState, SlotState } from './states.ts';
