/** Owns how a connection of discord.js is ended for certain: its own `destroy` leaves an attempt to reconnect under way. */
import { setImmediate as nextTurn } from 'node:timers/promises';
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
  #ended = false;

  constructor({ SimpleShardingStrategy }: typeof Library) {
    this.buildStrategy = (manager) => {
      const strategy = new SimpleShardingStrategy(manager);
      const connect = strategy.connect.bind(strategy);
      // Race: the client is destroyed while its `login` still asks for the gateway's address. There is no shard yet that could be destroyed,
      // `login` goes on when the answer comes, and a connection that nobody knows stays open.
      strategy.connect = () => (this.#ended ? Promise.reject(new Error('The connection was ended')) : connect());
      this.#strategy = strategy;
      return strategy;
    };
  }

  /** Ends the client and all of its sockets. Never rejects. */
  async end(client: Client): Promise<void> {
    this.#ended = true;
    const shards = this.#list();
    const sockets = shards.flatMap(hold);
    const timer = setTimeout(() => cut(sockets), CLOSE_GRACE_MS);
    await client.destroy().catch(() => undefined);
    clearTimeout(timer);
    cut(sockets);
    // Race: a shard that was about to open its socket when it was held has opened it since.
    await nextTurn();
    cut(shards.flatMap(hold));
  }

  #list(): readonly object[] {
    const shards: unknown = this.#strategy && Reflect.get(this.#strategy, 'shards');
    return shards instanceof Map ? [...shards.values()].filter((shard) => typeof shard === 'object') : [];
  }
}

/** Keeps a shard from connecting again, and returns its socket. */
function hold(shard: object): readonly Socket[] {
  // Race: a lost shard sleeps half a second and then connects again. `destroy` takes the sleeping one for idle and does nothing, and
  // a second later a socket that nobody knows is open and identified, with the token of a channel that was stopped.
  Reflect.set(shard, 'internalConnect', () => Promise.resolve());
  const socket: unknown = Reflect.get(shard, 'connection');
  if (!isSocket(socket)) return [];
  // Race: `destroy` takes the listeners off a socket that is still connecting. Its failure would be an error that nobody hears, and end the process.
  socket.on('error', () => undefined);
  return [socket];
}

function cut(sockets: readonly Socket[]): void {
  for (const socket of sockets) socket.terminate();
}

function isSocket(value: unknown): value is Socket {
  return typeof value === 'object' && value !== null && 'terminate' in value && 'on' in value;
}
