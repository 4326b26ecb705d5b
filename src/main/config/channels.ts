/** Owns how a channel's configuration gets its defaults. Its shape was checked before. */
import * as defaults from './defaults.ts';
import type {
  ChannelInput,
  DiscordChannelConfig,
  GatewayChannelConfig,
  IrcChannelConfig,
  QueueInput,
} from './input.ts';
import type { ChannelConfig, DiscordConfig, GatewayConfig, IrcConfig, NetworkConfig, QueueConfig } from './types.ts';

export function fillChannel(channel: ChannelInput): ChannelConfig {
  switch (channel.type) {
    case 'gateway':
      return fillGateway(channel);
    case 'discord':
      return fillDiscord(channel);
    case 'irc':
      return fillIrc(channel);
  }
}

/** Says of every network channel that answers nobody: it is allowed, and hardly meant. */
export function deafChannels(channels: Readonly<Record<string, ChannelInput>>): readonly string[] {
  return Object.entries(channels).flatMap(([name, channel]) =>
    channel.type !== 'gateway' && (channel.allow ?? []).length === 0
      ? [`channels.${name}.allow: nobody is allowed to talk to this channel; '*' would be everyone`]
      : [],
  );
}

function fillGateway(channel: GatewayChannelConfig): GatewayConfig {
  const { token, adminToken, rateLimitPerMinute, agent, queue } = channel;
  return {
    type: 'gateway',
    host: channel.host ?? defaults.DEFAULT_GATEWAY_HOST,
    port: channel.port ?? defaults.DEFAULT_GATEWAY_PORT,
    ...(token === undefined ? {} : { token }),
    ...(adminToken === undefined ? {} : { adminToken }),
    maxBodyBytes: channel.maxBodyBytes ?? defaults.DEFAULT_MAX_BODY_BYTES,
    ...(rateLimitPerMinute === undefined ? {} : { rateLimitPerMinute }),
    allowedHosts: channel.allowedHosts ?? [],
    allowedOrigins: channel.allowedOrigins ?? [],
    ...(agent === undefined ? {} : { agent }),
    ...fillQueue(queue),
  };
}

function fillNetwork(channel: DiscordChannelConfig | IrcChannelConfig): NetworkConfig {
  const { account, agent, queue } = channel;
  return {
    allow: channel.allow ?? [],
    respondTo: channel.respondTo ?? 'mentions',
    rateLimitPerMinute: channel.rateLimitPerMinute ?? defaults.DEFAULT_USER_RATE_PER_MINUTE,
    ...(account === undefined ? {} : { account }),
    ...(agent === undefined ? {} : { agent }),
    ...fillQueue(queue),
  };
}

function fillDiscord(channel: DiscordChannelConfig): DiscordConfig {
  const { token, apiUrl, stream = true } = channel;
  return { ...fillNetwork(channel), type: 'discord', token, ...(apiUrl === undefined ? {} : { apiUrl }), stream };
}

function fillIrc(channel: IrcChannelConfig): IrcConfig {
  const { host, nick, tls = true, password, sasl, flood = {} } = channel;
  return {
    ...fillNetwork(channel),
    type: 'irc',
    host,
    port: channel.port ?? (tls ? defaults.DEFAULT_IRC_TLS_PORT : defaults.DEFAULT_IRC_PORT),
    tls,
    tlsVerify: channel.tlsVerify ?? true,
    nick,
    username: channel.username ?? nick,
    realname: channel.realname ?? nick,
    channels: channel.channels ?? [],
    ...(password === undefined ? {} : { password }),
    ...(sasl === undefined ? {} : { sasl }),
    flood: {
      burst: flood.burst ?? defaults.DEFAULT_FLOOD_BURST,
      intervalMs: flood.intervalMs ?? defaults.DEFAULT_FLOOD_INTERVAL_MS,
    },
    formatting: channel.formatting ?? 'plain',
  };
}

function fillQueue(queue: QueueInput | undefined): { readonly queue?: QueueConfig } {
  return queue === undefined ? {} : { queue: { mode: queue.mode ?? 'followup', sessions: queue.sessions ?? {} } };
}
