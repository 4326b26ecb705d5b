/** Owns how a connection of discord.js is ended for certain: its own `destroy` leaves an attempt to reconnect under way. */
import type * as Library from 'discord.js';
import type { Client, ClientOptions } from 'discord.js';

type BuildStrategy = NonNullable<NonNullable<ClientOptions['ws']>['buildStrategy']>;

/** Milliseconds that the other side gets to answer a close before the socket is cut. */
const CLOSE_GRACE_MS = 1000;

interface Socket {
  on(event: 'error', listener: () => void): void;
  terminate(): void;
}

/** Keeps hold of the shards of one client, which hides them. */
export class Shards {
  readonly buildStrategy: BuildStrategy;
  #strategy: object | undefined;

  constructor({ SimpleShardingStrategy }: typeof Library) {
    this.buildStrategy = (manager) => {
      const strategy = new SimpleShardingStrategy(manager);
      this.#strategy = strategy;
      return strategy;
    };
  }

  /** Ends the client and all of its sockets. Never rejects. */
  async end(client: Client): Promise<void> {
    const sockets = this.#list().flatMap((shard): Socket[] => {
      // Race: a lost shard sleeps half a second and then connects again. `destroy` takes the sleeping one for idle and does nothing, and
      // a second later a socket that nobody knows is open and identified, with the token of a channel that was stopped.
      Reflect.set(shard, 'internalConnect', () => Promise.resolve());
      const socket: unknown = Reflect.get(shard, 'connection');
      return isSocket(socket) ? [socket] : [];
    });
    // Race: `destroy` takes the listeners off a socket that is still connecting. Its failure would be an error that nobody hears, and end the process.
    for (const socket of sockets) socket.on('error', () => undefined);
    const cut = (): void => {
      for (const socket of sockets) socket.terminate();
    };
    const timer = setTimeout(cut, CLOSE_GRACE_MS);
    await client.destroy().catch(() => undefined);
    clearTimeout(timer);
    cut();
  }

  #list(): readonly object[] {
    const shards: unknown = this.#strategy && Reflect.get(this.#strategy, 'shards');
    return shards instanceof Map ? [...shards.values()].filter((shard) => typeof shard === 'object') : [];
  }
}

function isSocket(value: unknown): value is Socket {
  return typeof value === 'object' && value !== null && 'terminate' in value && 'on' in value;
}
