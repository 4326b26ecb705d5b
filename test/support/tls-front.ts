/** Owns a TLS front of a server that speaks plain HTTP, with a certificate of its own that no authority of the system signed. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, type Socket, connect } from 'node:net';
import { createServer } from 'node:tls';
import { fileURLToPath } from 'node:url';

const TLS = new URL('../fixtures/tls/', import.meta.url);

export interface TlsFront extends AsyncDisposable {
  readonly url: string;
  /** The file with the authority of its certificate. */
  readonly authority: string;
}

/** Starts it on a free port of 127.0.0.1. What `behind` serves is served under the same path. */
export async function tlsFront(behind: { readonly url: string }): Promise<TlsFront> {
  const { hostname, port, pathname } = new URL(behind.url);
  const sockets = new Set<Socket>();
  const cert = readFileSync(new URL('cert.pem', TLS));
  const server = createServer({ cert, key: readFileSync(new URL('key.pem', TLS)) }, (outer) => {
    const inner = connect(Number(port), hostname);
    for (const [one, other] of [
      [outer, inner],
      [inner, outer],
    ] as const) {
      sockets.add(one);
      one.pipe(other);
      // One that breaks takes the other with it.
      one.on('error', () => other.destroy());
      one.on('close', () => sockets.delete(one));
    }
  });
  // A client that does not trust it hangs up.
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}${pathname}`,
    authority: fileURLToPath(new URL('cert.pem', TLS)),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
