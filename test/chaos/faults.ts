/** Owns how each fault of a plan is done to the process under test, and how many of them hit work in flight. */
import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { HostLink } from './host-link.ts';
import type { Ledger } from './ledger.ts';
import type { ModelServer } from './model-server.ts';
import type { Fault, ProcessPoint } from './plan.ts';
import type { FromHost } from './protocol.ts';

const run = promisify(execFile);

export interface InjectorOptions {
  readonly link: HostLink;
  readonly ledger: Ledger;
  readonly model: ModelServer;
  /** Cuts off a share of the clients' connections; returns how many messages were under way on them. */
  readonly drop: (share: number) => number;
  /** Lets some more messages begin: a fault must not wait for work that nobody may send. */
  readonly feed: () => void;
  readonly say: (what: string) => void;
}

export interface FaultFigures {
  readonly threadKills: number;
  readonly processKills: number;
  /** Kills of either kind that found turns of their thread, or messages of the process, under way. */
  readonly killsInFlight: number;
  /** Kills at a step of a delivery, by the step. */
  readonly atPoint: Readonly<Record<string, number>>;
  /** Steps that nobody came to in time: the kill was a random one then. */
  readonly pointsMissed: number;
  readonly connectionsDropped: number;
  readonly stalls: number;
  readonly modelErrors: number;
  readonly diskFaults: number;
  readonly journalThreads: number;
  /** From the death of the process until it serves again, in milliseconds. */
  readonly backMs: readonly number[];
}

/** How long somebody may take to come to a point, in milliseconds. */
const POINT_MS = 6_000;
const READY_MS = 20_000;
const LOOK_MS = 25;
const BUSY_LOOKS = 40;
/** Messages that are kept under way while a step of one of them is waited for. */
const MIN_OUTSTANDING = 10;
/** A turn may be tried so often while the disk takes no writes. */
const DISK_TRIES = 3;

export class Injector {
  readonly #options: InjectorOptions;
  readonly #figures = {
    threadKills: 0,
    processKills: 0,
    killsInFlight: 0,
    atPoint: {} as Record<string, number>,
    pointsMissed: 0,
    connectionsDropped: 0,
    stalls: 0,
    modelErrors: 0,
    diskFaults: 0,
    journalThreads: 0,
    backMs: [] as number[],
  };
  #onHit: ((hit: Extract<FromHost, { readonly type: 'hit' }>) => void) | undefined;

  constructor(options: InjectorOptions) {
    this.#options = options;
  }

  get figures(): FaultFigures {
    return this.#figures;
  }

  /** A thread came to the point that was armed. */
  hit(hit: Extract<FromHost, { readonly type: 'hit' }>): void {
    this.#onHit?.(hit);
  }

  /** Does a fault; resolves when what it hit is back. */
  async inject(fault: Fault): Promise<void> {
    const { ledger, model, drop } = this.#options;
    switch (fault.kind) {
      case 'thread':
        return this.#endThread(fault);
      case 'process':
        return this.#killProcess(fault);
      case 'journal-thread': {
        const { ended } = await this.#options.link.ask('endJournalThread', {});
        if (ended) this.#figures.journalThreads += 1;
        return;
      }
      case 'drop':
        this.#figures.connectionsDropped += drop(fault.share);
        return;
      case 'stall':
        this.#figures.stalls += 1;
        return model.stall(fault.ms);
      case 'model-errors':
        this.#figures.modelErrors += fault.calls;
        model.fail(fault.calls);
        return;
      case 'disk':
        ledger.excuseBegins(DISK_TRIES);
        ledger.refusing(true);
        await this.#stopDisk(fault);
        ledger.refusing(false);
        ledger.excuseEnds(DISK_TRIES);
    }
  }

  async #endThread({ end, point, nth }: Extract<Fault, { readonly kind: 'thread' }>): Promise<void> {
    const { link, ledger } = this.#options;
    ledger.excuseBegins();
    this.#figures.threadKills += 1;
    if (point !== 'random') {
      const hit = Promise.withResolvers<boolean>();
      this.#onHit = () => hit.resolve(true);
      await link.ask('arm', { point, nth, ending: end, delayMs: 0 });
      const timer = setTimeout(hit.resolve, POINT_MS, false);
      const isHit = await this.#fed(hit.promise);
      clearTimeout(timer);
      this.#onHit = undefined;
      if (isHit) {
        // Who comes to a step is under way.
        this.#count(point, true);
        // Its end takes a while to be noticed.
        await delay(LOOK_MS);
        await link.ask('ready', {});
        ledger.excuseEnds();
        return;
      }
      await link.ask('disarm', {});
      this.#figures.pointsMissed += 1;
    }
    const { running } = await this.#fed(link.ask('endThread', { end }));
    if (running > 0) this.#figures.killsInFlight += 1;
    ledger.excuseEnds();
  }

  async #killProcess({ point, nth, delayMs }: Extract<Fault, { readonly kind: 'process' }>): Promise<void> {
    const { link, ledger } = this.#options;
    ledger.excuseBegins();
    const hit = await this.#atPoint(point, nth, delayMs);
    if (!hit) await this.#busy();
    const inFlight = hit || ledger.outstanding > 0;
    if (!hit) await link.kill();
    this.#killed(hit ? point : 'random', inFlight);
    await this.#back(point === 'recovery' ? nth : 0);
    ledger.excuseEnds();
  }

  /** True when the process killed itself where it was told to. */
  async #atPoint(point: ProcessPoint, nth: number, delayMs: number): Promise<boolean> {
    const { link } = this.#options;
    if (point === 'random' || point === 'recovery') return false;
    // It may end before it answers.
    link.ask('arm', { point, nth, ending: 'process', delayMs }).catch(() => undefined);
    const ended = await this.#fed(link.endsWithin(POINT_MS));
    if (!ended) this.#figures.pointsMissed += 1;
    return ended;
  }

  #killed(point: string, inFlight: boolean): void {
    this.#figures.processKills += 1;
    this.#options.ledger.processKilled();
    this.#count(point, inFlight);
  }

  #count(point: string, inFlight: boolean): void {
    if (inFlight) this.#figures.killsInFlight += 1;
    if (point !== 'random') this.#figures.atPoint[point] = (this.#figures.atPoint[point] ?? 0) + 1;
  }

  /** Starts the process again; at `recovery` it dies once more while it takes over what was left. */
  async #back(recovery = 0): Promise<void> {
    const { link, ledger } = this.#options;
    const from = performance.now();
    if (recovery > 0) {
      ledger.excuseBegins();
      const died = link.start(recovery);
      if ((await link.endsWithin(POINT_MS)) || !link.isUp) this.#killed('recovery', true);
      await died;
      ledger.excuseEnds();
    }
    if (!link.isUp) await link.start();
    this.#figures.backMs.push(Math.round(performance.now() - from));
  }

  /** Keeps work under way while something is waited for. */
  async #fed<T>(waited: Promise<T>): Promise<T> {
    const { ledger, feed } = this.#options;
    const timer = setInterval(() => {
      if (ledger.outstanding < MIN_OUTSTANDING) feed();
    }, LOOK_MS);
    return waited.finally(() => clearInterval(timer));
  }

  /** Resolves when messages are under way, or after a while without any. */
  async #busy(): Promise<void> {
    const { ledger, feed } = this.#options;
    for (let looks = 0; looks < BUSY_LOOKS && ledger.outstanding === 0; looks++) {
      feed();
      await delay(LOOK_MS);
    }
  }

  /** Every write that makes a file longer fails with EFBIG, in the whole process. */
  async #stopDisk({ ms, kill }: Extract<Fault, { readonly kind: 'disk' }>): Promise<void> {
    const { link, ledger } = this.#options;
    this.#figures.diskFaults += 1;
    const pid = String(link.pid);
    await run('prlimit', ['--pid', pid, '--fsize=0:']);
    await delay(ms);
    if (kill) {
      const inFlight = ledger.outstanding > 0;
      await link.kill();
      this.#killed('disk', inFlight);
      await this.#back();
      return;
    }
    await run('prlimit', ['--pid', pid, '--fsize=unlimited:']);
    await this.#untilReady();
  }

  async #untilReady(): Promise<void> {
    const { link, say } = this.#options;
    const url = await link.url;
    const from = performance.now();
    for (;;) {
      const response = await fetch(`${url}/readyz`);
      const text = await response.text();
      if (response.ok) return;
      if (performance.now() - from > READY_MS)
        return say(`it was not ready ${READY_MS} ms after the disk was: ${text}`);
      await delay(LOOK_MS);
    }
  }
}
