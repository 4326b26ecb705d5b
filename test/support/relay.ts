/** Owns a way between a client and a server on loopback that can be cut, mended on the same port, and made to swallow what the server says. */
import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';

export class Relay implements AsyncDisposable {
  /** While it is true nothing that the server says arrives: what a client sent is taken, and the client never hears of it. */
  muted = false;
  /** Connections that were broken as soon as they were made. */
  broken = 0;
  #breaks = false;
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;

  private constructor(target: number) {
    this.#target = target;
  }

  static async start(target: number): Promise<Relay> {
    const relay = new Relay(target);
    await relay.mend();
    return relay;
  }

  get port(): number {
    return this.#port;
  }

  /** Ends all connections, and refuses new ones. */
  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** Ends all connections, and every new one as soon as it is made. */
  break(): void {
    this.#breaks = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Takes connections again, where it took them before. */
  async mend(): Promise<void> {
    this.#breaks = false;
    if (this.#server) return;
    const server = createServer((client) => this.#join(client));
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.cut();
  }

  #join(client: Socket): void {
    if (this.#breaks) {
      this.broken += 1;
      client.destroy();
      return;
    }
    const server = connect(this.#target, '127.0.0.1');
    this.#hold(client, server);
    this.#hold(server, client);
    client.on('data', (data) => server.write(data));
    server.on('data', (data) => {
      if (!this.muted) client.write(data);
    });
  }

  #hold(socket: Socket, other: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    // What was said before the end still arrives.
    socket.on('end', () => other.end());
    socket.on('close', () => {
      this.#sockets.delete(socket);
      if (socket.errored) other.destroy();
      else other.end();
    });
  }
}
