/** Owns what a server sees of its connections: a relay before a server in another process, and the sockets that servers of this one accepted. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';

/** The accepted sockets of every server in this process, by the port that they came to. */
export class Accepted implements Disposable {
  readonly #byPort = new Map<number, Socket[]>();
  readonly #hear = (message: unknown): void => {
    const { socket } = message as { socket: Socket };
    const port = socket.localPort ?? 0;
    this.#byPort.set(port, [...(this.#byPort.get(port) ?? []), socket]);
  };

  constructor() {
    subscribe('net.server.socket', this.#hear);
  }

  /** All that were ever accepted there, in order. */
  at(port: number): readonly Socket[] {
    return this.#byPort.get(port) ?? [];
  }

  [Symbol.dispose](): void {
    unsubscribe('net.server.socket', this.#hear);
  }
}

/** Passes bytes on to a server of another process, so that its connections can be looked at here. */
export class Relay implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async to(port: number): Promise<Relay> {
    const server = createServer();
    const relay = new Relay(server);
    server.on('connection', (near) => relay.#join(near, connect(port, '127.0.0.1')));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return relay;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(near: Socket, far: Socket): void {
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.on('error', () => undefined);
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  }
}
