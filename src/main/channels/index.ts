export type { Channel, ChannelContext, SendOptions, SendReceipt } from './channel.ts';
export {
  type AcceptOptions,
  type AgentRef,
  type ChannelHost,
  ChannelManager,
  type ChannelManagerOptions,
  type ChannelState,
} from './manager.ts';
