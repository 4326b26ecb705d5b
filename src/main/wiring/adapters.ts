/** Owns how a configured channel becomes an adapter, and what a network's adapters of one channel remember together. */
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Channel } from '../channels/index.ts';
import { DiscordDriver } from '../channels/discord/driver.ts';
import { GatewayChannel, type GatewayHost } from '../channels/gateway/index.ts';
import { IrcDriver } from '../channels/irc/driver.ts';
import type { NetworkDriver } from '../channels/network/driver.ts';
import { openMemory } from '../channels/network/memory-file.ts';
import type { ChannelMemory } from '../channels/network/memory.ts';
import { NetworkChannel } from '../channels/network/network-channel.ts';
import type { ChannelConfig, DiscordConfig, IrcConfig } from '../config/types.ts';
import { VERSION } from '../ops/version.ts';

export interface AdaptersOptions {
  readonly gatewayHost: GatewayHost;
  readonly dataDir: string;
  readonly log: Logger;
}

/** Returns what makes the adapter of a configured channel; a new one for each start. */
export function adaptersFor(options: AdaptersOptions): (name: string, config: ChannelConfig) => Channel {
  const adapters = new Adapters(options);
  return (name, config) => adapters.create(name, config);
}

class Adapters {
  readonly #options: AdaptersOptions;
  /** By channel: it outlives the adapters, so that a restart repeats and loses nothing. */
  readonly #memories = new Map<string, { readonly type: string; readonly memory: ChannelMemory }>();

  constructor(options: AdaptersOptions) {
    this.#options = options;
  }

  create(name: string, config: ChannelConfig): Channel {
    if (config.type === 'gateway') {
      return new GatewayChannel(config, this.#options.gatewayHost, { name, version: VERSION });
    }
    const stream = config.type === 'discord' && config.stream;
    return new NetworkChannel(driverOf(config), { ...config, stream }, this.#memoryOf(name, config.type));
  }

  #memoryOf(name: string, type: string): ChannelMemory {
    const { dataDir, log } = this.#options;
    const known = this.#memories.get(name);
    // A channel of another network under the same name has read other rooms.
    if (known?.type === type) return known.memory;
    const memory = openMemory(join(dataDir, 'channels', `${name}.json`), type, log);
    this.#memories.set(name, { type, memory });
    return memory;
  }
}

function driverOf(config: DiscordConfig | IrcConfig): NetworkDriver {
  return config.type === 'discord' ? new DiscordDriver(config) : new IrcDriver(config);
}
