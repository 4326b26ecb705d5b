/** Owns the gateway of a Discord test server: sessions with their sequence, heartbeats, resuming with replay, and every way to lose a connection. */
import type { Server } from 'node:http';
import { type WebSocket, WebSocketServer } from 'ws';
import { type World, guildCreate } from './world.ts';

interface Frame {
  readonly op: number;
  readonly d: unknown;
  readonly s: number | null;
  readonly t: string | null;
}

interface Session {
  readonly id: string;
  sequence: number;
  /** Everything dispatched, for a replay. */
  readonly log: Frame[];
  socket: WebSocket | undefined;
  /** False once it may not be resumed. */
  valid: boolean;
}

export interface GatewayOptions {
  readonly token: string;
  readonly heartbeatMs: number;
  /** Intents that the application does not have: IDENTIFY with one of them is refused. */
  readonly disallowedIntents: number;
}

const OP = { dispatch: 0, heartbeat: 1, identify: 2, resume: 6, reconnect: 7, invalid: 9, hello: 10, ack: 11 } as const;

export class TestGateway {
  /** What clients did, in order: hello, identify, resume, replay N, close CODE. */
  readonly events: string[] = [];
  /** When each heartbeat came, by connection, in milliseconds of `performance.now()`. */
  readonly beats: number[][] = [];
  acks = 0;
  /** Refuses every new connection while it is true. */
  down = false;
  /** The next RESUME is answered with INVALID_SESSION. */
  refuseResume = false;
  /** Heartbeats are answered while it is true. */
  acknowledges = true;
  readonly #world: World;
  readonly #options: GatewayOptions;
  readonly #wss: WebSocketServer;
  readonly #sessions = new Map<string, Session>();

  constructor(server: Server, world: World, options: GatewayOptions) {
    this.#world = world;
    this.#options = options;
    this.#wss = new WebSocketServer({ noServer: true, perMessageDeflate: false });
    server.on('upgrade', (request, socket, head) => {
      if (this.down) {
        socket.destroy();
        return;
      }
      this.#wss.handleUpgrade(request, socket, head, (ws) => this.#connected(ws));
    });
  }

  /** Sessions that are connected and identified. */
  get live(): number {
    return [...this.#sessions.values()].filter((s) => s.socket !== undefined).length;
  }

  /** Milliseconds between each heartbeat and the one before it, on the same connection. */
  gaps(): readonly number[] {
    return this.beats.flatMap((times) => times.slice(1).map((at, i) => at - (times[i] ?? at)));
  }

  /** Sends an event to every session, and keeps it for those that are away. */
  dispatch(t: string, d: unknown): void {
    for (const session of this.#sessions.values()) if (session.valid) this.#to(session, t, d);
  }

  /** Closes every connection; 1006 cuts it without a word. */
  drop(code = 1006): void {
    for (const { socket } of this.#sessions.values()) {
      if (code === 1006) socket?.terminate();
      else socket?.close(code);
    }
  }

  /** Asks every client to connect again (op 7). */
  askToReconnect(): void {
    this.#send(OP.reconnect, null);
  }

  /** Tells every client that its session is not valid (op 9). */
  invalidate(resumable: boolean): void {
    for (const session of this.#sessions.values()) session.valid = resumable;
    this.#send(OP.invalid, resumable);
  }

  /** Forgets all sessions, as Discord does after a while: what is sent then is never replayed. */
  forget(): void {
    for (const session of this.#sessions.values()) session.valid = false;
  }

  async close(): Promise<void> {
    this.down = true;
    for (const ws of this.#wss.clients) ws.terminate();
    await new Promise((resolve) => {
      this.#wss.close(resolve);
    });
  }

  #send(op: number, d: unknown): void {
    for (const { socket } of this.#sessions.values()) socket?.send(JSON.stringify({ op, d, s: null, t: null }));
  }

  #to(session: Session, t: string, d: unknown): void {
    session.sequence += 1;
    const frame: Frame = { op: OP.dispatch, d, s: session.sequence, t };
    session.log.push(frame);
    session.socket?.send(JSON.stringify(frame));
  }

  #connected(ws: WebSocket): void {
    const beats: number[] = [];
    this.beats.push(beats);
    let session: Session | undefined;
    this.events.push('hello');
    ws.send(JSON.stringify({ op: OP.hello, d: { heartbeat_interval: this.#options.heartbeatMs }, s: null, t: null }));
    ws.on('close', (code) => {
      this.events.push(`close ${code}`);
      if (session?.socket === ws) session.socket = undefined;
    });
    ws.on('error', () => undefined);
    ws.on('message', (data: Buffer) => {
      const { op, d } = JSON.parse(data.toString()) as { op: number; d: unknown };
      if (op === OP.heartbeat) {
        beats.push(performance.now());
        if (!this.acknowledges) return;
        this.acks += 1;
        ws.send(JSON.stringify({ op: OP.ack, d: null, s: null, t: null }));
      } else if (op === OP.identify) session = this.#identify(ws, d as { token: string; intents: number });
      else if (op === OP.resume) session = this.#resume(ws, d as { token: string; session_id: string; seq: number });
      else ws.close(4001);
    });
  }

  #identify(ws: WebSocket, { token, intents }: { token: string; intents: number }): Session | undefined {
    this.events.push('identify');
    if (token !== this.#options.token) {
      ws.close(4004);
      return undefined;
    }
    if ((intents & this.#options.disallowedIntents) !== 0) {
      ws.close(4014);
      return undefined;
    }
    const session: Session = { id: `s${this.#sessions.size + 1}`, sequence: 0, log: [], socket: ws, valid: true };
    this.#sessions.set(session.id, session);
    const { self, guild } = this.#world;
    this.#to(session, 'READY', {
      v: 10,
      user: self,
      guilds: [{ id: guild.id, unavailable: true }],
      session_id: session.id,
      resume_gateway_url: this.#resumeUrl(),
      application: { id: self.id, flags: 0 },
      shard: [0, 1],
    });
    this.#to(session, 'GUILD_CREATE', guildCreate(this.#world));
    return session;
  }

  #resume(
    ws: WebSocket,
    { token, session_id: id, seq }: { token: string; session_id: string; seq: number },
  ): Session | undefined {
    const session = this.#sessions.get(id);
    if (token !== this.#options.token || this.refuseResume || session?.valid !== true) {
      this.refuseResume = false;
      this.events.push('resume refused');
      if (session) session.valid = false;
      ws.send(JSON.stringify({ op: OP.invalid, d: false, s: null, t: null }));
      return undefined;
    }
    const missed = session.log.filter((frame) => (frame.s ?? 0) > seq);
    this.events.push(`resume, replay ${missed.length}`);
    session.socket = ws;
    for (const frame of missed) ws.send(JSON.stringify(frame));
    this.#to(session, 'RESUMED', {});
    return session;
  }

  #resumeUrl(): string {
    return this.url;
  }

  /** Where clients connect; known once the server listens. */
  url = '';
}
