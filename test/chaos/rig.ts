/**
 * Owns the parts of a run and how they hang together: the directory, the model server, the supervisor's process, the clients and
 * the ledger. What is done with them is the run's.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { OrreryConfig } from '../../src/main/index.ts';
import type { Client } from './client.ts';
import { HostLink } from './host-link.ts';
import { HttpClient } from './http-client.ts';
import { Ledger } from './ledger.ts';
import { ModelServer } from './model-server.ts';
import { Network } from './network.ts';
import type { Way } from './plan.ts';
import type { FromHost } from './protocol.ts';
import { SocketClient } from './socket-client.ts';

export interface RigOptions {
  readonly config: OrreryConfig;
  readonly execArgv?: readonly string[];
  hit?(hit: Extract<FromHost, { readonly type: 'hit' }>): void;
}

const AGENT = fileURLToPath(new URL('./counting-agent.ts', import.meta.url));

export class Rig {
  readonly directory: string;
  readonly dataDir: string;
  readonly ledger: Ledger;
  readonly model: ModelServer;
  readonly link: HostLink;
  readonly #networks: Readonly<Record<'keyed' | 'keyless', Network>>;
  readonly #http: HttpClient;
  readonly #clients: Client[] = [];
  /** The process ended and nobody had asked it to. */
  readonly unexpectedEnds: string[] = [];
  /** Times that the process aborted: where a thread's heap was full, V8 may do that to all of it. */
  aborts = 0;
  #excused = 0;

  private constructor(options: RigOptions, directory: string, model: ModelServer, ledger: Ledger) {
    this.directory = directory;
    this.dataDir = join(directory, 'data');
    this.ledger = ledger;
    this.model = model;
    this.link = new HostLink({
      config: join(directory, 'orrery.json'),
      directory,
      ...(options.execArgv === undefined ? {} : { execArgv: options.execArgv }),
      heard: (message) => this.#hear(message, options),
      ended: ({ code, signal }, expected) => {
        if (!expected && signal === 'SIGABRT') this.#aborted();
        else if (!expected) this.unexpectedEnds.push(`the process ended by itself: ${signal ?? `exit code ${code}`}`);
        // Their pipe ended with it.
        for (const network of Object.values(this.#networks)) network.hostEnded();
      },
    });
    this.#networks = {
      keyed: new Network('keyed', this.link, ledger),
      keyless: new Network('keyless', this.link, ledger),
    };
    this.#http = new HttpClient(this.link);
    this.#clients.push(this.#http);
  }

  static async open(options: RigOptions): Promise<Rig> {
    const directory = mkdtempSync(join(tmpdir(), 'orrery-chaos-'));
    mkdirSync(join(directory, 'data'));
    const began = performance.now();
    const ledger = new Ledger(() => Math.round(performance.now() - began));
    const model = new ModelServer({
      called: (id) => ledger.modelCalled(id),
      answered: (id) => ledger.modelAnswered(id),
    });
    const baseUrl = await model.listen();
    const config = withAgents(options.config, baseUrl, join(directory, 'data'));
    writeFileSync(join(directory, 'orrery.json'), JSON.stringify(config, null, 2));
    return new Rig(options, directory, model, ledger);
  }

  /** A client for a lane: a socket is the lane's own, all others are shared. */
  client(way: Way): Client {
    if (way === 'keyed' || way === 'keyless') return this.#networks[way];
    if (way !== 'socket') return this.#http;
    const client = new SocketClient(this.link, {
      repeated: (id) => this.ledger.repeated(id, false),
      garbled: (id, pieces, answer) => this.ledger.garbled(id, pieces, answer),
    });
    this.#clients.push(client);
    return client;
  }

  drop(share: number, random: () => number): number {
    return this.#clients.reduce((sum, client) => sum + client.drop(share, random), 0);
  }

  /** Ends whatever still runs. The directory is kept where something is to be looked at in it. */
  close(o: { readonly keep: boolean }): void {
    for (const client of this.#clients) client.close();
    this.link.close();
    this.model.close();
    if (!o.keep) rmSync(this.directory, { recursive: true, force: true });
  }

  /** Aborts that V8 said were over a full heap, by the log. Others are nothing that a full heap explains. */
  get heapAborts(): number {
    const log = readFileSync(join(this.directory, 'host.log'), 'utf8');
    return log.split('FATAL ERROR: Reached heap limit').length - 1;
  }

  /** To the messages it is a kill as any other, until the next process is up. */
  #aborted(): void {
    this.aborts += 1;
    this.#excused += 1;
    this.ledger.processKilled();
    this.ledger.excuseBegins();
  }

  #hear(message: FromHost, options: RigOptions): void {
    if (message.type === 'up' && this.#excused > 0) {
      this.ledger.excuseEnds(this.#excused);
      this.#excused = 0;
    }
    if (message.type === 'hit') options.hit?.(message);
    else if ('channel' in message) this.#networks[message.channel].hear(message);
  }
}

function withAgents(config: OrreryConfig, baseUrl: string, dataDir: string): OrreryConfig {
  const counting = { use: AGENT };
  return {
    ...config,
    agents: {
      count: { ...counting, replicas: 2 },
      other: counting,
      lone: { ...counting, isolation: 'dedicated', limits: { maxHeapMb: 96 } },
      echo: { use: 'builtin:echo' },
      model: { model: 'openai-compatible:chaos', baseUrl },
      ...config.agents,
    },
    defaultAgent: 'count',
    channels: {
      web: { type: 'gateway', port: 0 },
      // Their adapters are replaced by the run's own as soon as the host runs.
      keyed: { type: 'gateway', port: 0 },
      keyless: { type: 'gateway', port: 0 },
    },
    dataDir,
  };
}
