/** Owns Debian's ngircd as a server for tests: on free ports of loopback, without its brakes, with TLS beside. It ends with its test. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type TemporaryDirectory, temporaryDirectory } from '../temporary.ts';

const PROGRAM =
  ['/usr/sbin/ngircd', '/usr/bin/ngircd', '/opt/homebrew/sbin/ngircd'].find((path) => existsSync(path)) ?? 'ngircd';
const TLS = fileURLToPath(new URL('../../fixtures/tls/', import.meta.url));
/** Looks, 25 ms apart: generous, since each ends at once when all is well. */
const LOOKS = 1200;
/** A port that was free may be taken a moment later. */
const TRIES = 3;

export interface NgircdOptions {
  /** A password that every client must give. */
  readonly password?: string;
  /** Seconds of silence before the server sends a PING. Default 120. */
  readonly pingSeconds?: number;
}

/** Tells how to get the program where it is missing; a test without it would pass without having looked. */
export function requireNgircd(): void {
  if (spawnSync(PROGRAM, ['--version']).error === undefined) return;
  throw new Error('ngircd is not installed, and the tests of the IRC channel need it: `apt-get install ngircd`');
}

export class Ngircd implements AsyncDisposable {
  readonly port: number;
  readonly tlsPort: number;
  readonly #dir: TemporaryDirectory;
  readonly #options: NgircdOptions;
  #child: ChildProcess | undefined;

  private constructor(dir: TemporaryDirectory, [port, tlsPort]: readonly [number, number], options: NgircdOptions) {
    this.#dir = dir;
    this.port = port;
    this.tlsPort = tlsPort;
    this.#options = options;
  }

  static async start(options: NgircdOptions = {}): Promise<Ngircd> {
    requireNgircd();
    for (let i = 1; ; i++) {
      const ngircd = new Ngircd(temporaryDirectory(), await freePorts(), options);
      try {
        await ngircd.start();
        return ngircd;
      } catch (error) {
        await ngircd[Symbol.asyncDispose]();
        if (i === TRIES) throw error;
      }
    }
  }

  /** Runs the server; it may have been stopped before. */
  async start(): Promise<void> {
    const file = join(this.#dir.path, 'ngircd.conf');
    writeFileSync(file, this.#config());
    const child = spawn(PROGRAM, ['--nodaemon', '--config', file], { stdio: 'ignore' });
    this.#child = child;
    for (let i = 0; i < LOOKS; i++) {
      if (child.exitCode !== null) throw new Error(`ngircd ended with ${child.exitCode}: is one of its ports taken?`);
      if (await answers(this.port)) return;
      await delay(25);
    }
    throw new Error('ngircd does not listen');
  }

  /** Ends the server at once, with all connections. */
  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    this.#dir[Symbol.dispose]();
  }

  #config(): string {
    const { password, pingSeconds = 120 } = this.#options;
    return [
      '[Global]',
      'Name = irc.example.test',
      'Info = A server for tests',
      'Listen = 127.0.0.1',
      `Ports = ${this.port}`,
      'MotdPhrase = Hello',
      ...(password === undefined ? [] : [`Password = ${password}`]),
      '[Limits]',
      'MaxConnectionsIP = 0',
      'MaxPenaltyTime = 0',
      'MaxNickLength = 20',
      `PingTimeout = ${pingSeconds}`,
      '[Options]',
      'DNS = no',
      'Ident = no',
      'PAM = no',
      'SyslogFacility = local1',
      '[SSL]',
      `CertFile = ${join(TLS, 'cert.pem')}`,
      `KeyFile = ${join(TLS, 'key.pem')}`,
      `Ports = ${this.tlsPort}`,
      '',
    ].join('\n');
  }
}

/** The server takes no port 0. Two are asked of the system together, and given back. */
async function freePorts(): Promise<readonly [number, number]> {
  const servers = [createServer(), createServer()];
  const ports = await Promise.all(
    servers.map(async (server) => {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      return (server.address() as AddressInfo).port;
    }),
  );
  for (const server of servers) server.close();
  return [ports[0] ?? 0, ports[1] ?? 0];
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
