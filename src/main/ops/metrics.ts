/** Owns the Prometheus text: the accounting first, then threads, agents and the loop. Everything is read when it is scraped. */
import { Gauge, Counter, Registry } from 'prom-client';
import type { Status } from '../api.ts';
import type { Journal, JournalTotals } from '../delivery/index.ts';

const COUNTERS = {
  received: 'Messages that came in',
  accepted: 'Messages that were journalled',
  recovered: 'Deliveries taken over from an earlier process',
  replayed: 'Dead letters that were sent in again',
  answered: 'Deliveries whose reply was sent',
} as const;
const GAUGES = {
  inIntake: ['orrery_messages_in_intake', 'Messages between receipt and acceptance'],
  pending: ['orrery_deliveries_pending', 'Deliveries neither answered nor dead'],
} as const;

/** Over the journal's lifetime, whatever processes there were: accepted + replayed = answered + dead + pending. */
const TOTALS = {
  accepted: 'Messages that were accepted',
  replayed: 'Dead letters that were put back',
  answered: 'Deliveries that were answered',
  dead: 'Deliveries that were given up',
} as const;

/** Milliseconds that a scrape waits for the journal. */
const TOTALS_MS = 1_000;

export class Metrics {
  readonly #registry = new Registry();
  readonly #refresh: ((status: Status) => void)[] = [];
  readonly #status: () => Status;
  readonly #journal: Pick<Journal, 'totals'>;
  readonly #refreshTotals: ((totals: JournalTotals) => void)[] = [];

  constructor(status: () => Status, journal: Pick<Journal, 'totals'>) {
    this.#status = status;
    this.#journal = journal;
    this.#accounting();
    this.#lifetime();
    this.#threads();
    this.#loop();
  }

  /** Returns the text in Prometheus' exposition format. */
  async text(): Promise<string> {
    const totals = await this.#totals();
    const status = this.#status();
    for (const refresh of this.#refresh) refresh(status);
    if (totals) for (const refresh of this.#refreshTotals) refresh(totals);
    return await this.#registry.metrics();
  }

  /** They come from the journal's thread, which has them also while its file takes no writes. Where it is gone for now, or cannot read its file, the rest is told all the same. */
  async #totals(): Promise<JournalTotals | undefined> {
    const late = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => late.resolve(undefined), TOTALS_MS);
    const totals = this.#journal.totals().catch(() => undefined);
    const first = await Promise.race([totals, late.promise]);
    clearTimeout(timer);
    return first;
  }

  #accounting(): void {
    for (const [key, help] of Object.entries(COUNTERS)) {
      const counter = this.#counter(`orrery_messages_${key}_total`, help);
      this.#refresh.push(({ messages }) => set(counter, messages[key as keyof typeof COUNTERS]));
    }
    const rejected = this.#counter('orrery_messages_rejected_total', 'Messages refused at intake, by code', ['reason']);
    this.#refresh.push(({ messages }) => setEach(rejected, messages.rejectedBy));
    const dead = this.#counter('orrery_deliveries_dead_total', 'Deliveries given up, by reason', ['reason']);
    this.#refresh.push(({ messages }) => setEach(dead, messages.deadBy));
    for (const [key, [name, help]] of Object.entries(GAUGES)) {
      const gauge = this.#gauge(name, help);
      this.#refresh.push(({ messages }) => gauge.set(messages[key as keyof typeof GAUGES]));
    }
  }

  #lifetime(): void {
    for (const [key, help] of Object.entries(TOTALS)) {
      const counter = this.#counter(`orrery_journal_${key}_total`, `${help}, over the lifetime of the journal`);
      this.#refreshTotals.push((totals) => set(counter, totals[key as keyof typeof TOTALS]));
    }
    const pending = this.#gauge(
      'orrery_journal_pending',
      'Deliveries in the journal that are neither answered nor dead',
    );
    const letters = this.#gauge('orrery_dead_letters', 'Dead letters that are kept');
    this.#refreshTotals.push((totals) => {
      pending.set(totals.pending);
      letters.set(totals.letters);
    });
    const up = this.#gauge('orrery_journal_up', '1 while the journal takes writes');
    const lag = this.#gauge('orrery_journal_lag', 'What waits for the journal', ['what']);
    this.#refresh.push(({ journal }) => {
      up.set(journal.status === 'ok' ? 1 : 0);
      lag.set({ what: 'appends' }, journal.appends);
      lag.set({ what: 'marks' }, journal.marks);
    });
  }

  #threads(): void {
    const state = this.#gauge('orrery_slot_ready', '1 while the slot answers', ['slot']);
    const running = this.#gauge('orrery_slot_turns', 'Turns under way on the slot', ['slot']);
    const utilization = this.#gauge('orrery_slot_utilization', 'Event-loop utilization of the slot, 0 to 1', ['slot']);
    const restarts = this.#counter('orrery_slot_restarts_total', 'Restarts of the slot', ['slot']);
    const waiting = this.#gauge(
      'orrery_quarantine_waiting',
      'Turns that are to be run alone, as they may have ended a slot',
    );
    const runs = this.#counter('orrery_quarantine_runs_total', 'Turns that were run alone');
    const verdicts = this.#counter(
      'orrery_quarantine_verdicts_total',
      'What turns were found to be that were run alone: innocent, or poison, a dead letter for ending its slot',
      ['verdict'],
    );
    const zombies = this.#gauge('orrery_zombie_threads', 'Killed threads that did not end');
    const agents = this.#gauge('orrery_agents', 'Agent runtimes by state', ['state']);
    const channels = this.#gauge('orrery_channel_connected', '1 while the channel is open', ['channel', 'type']);
    this.#refresh.push((status) => {
      for (const gauge of [state, running, utilization, agents, channels]) gauge.reset();
      restarts.reset();
      for (const slot of status.slots) {
        state.set({ slot: slot.slot }, slot.state.status === 'ready' ? 1 : 0);
        running.set({ slot: slot.slot }, slot.running);
        utilization.set({ slot: slot.slot }, slot.utilization);
        restarts.inc({ slot: slot.slot }, slot.restarts);
      }
      for (const agent of status.agents)
        for (const replica of agent.replicas) agents.inc({ state: replica.state.status });
      for (const channel of status.channels) {
        channels.set({ channel: channel.name, type: channel.type }, channel.connected ? 1 : 0);
      }
      waiting.set(status.quarantine.waiting);
      set(runs, status.quarantine.runs);
      setEach(verdicts, { innocent: status.quarantine.innocent, poison: status.quarantine.poison }, 'verdict');
      zombies.set(status.zombies);
    });
  }

  #loop(): void {
    const delay = this.#gauge('orrery_loop_delay_seconds', "Delay of the main thread's loop", ['quantile']);
    this.#refresh.push(({ loopDelayMs }) => {
      delay.set({ quantile: '0.5' }, loopDelayMs.p50 / 1000);
      delay.set({ quantile: '0.99' }, loopDelayMs.p99 / 1000);
      delay.set({ quantile: '1' }, loopDelayMs.max / 1000);
    });
    const memory = this.#gauge('process_resident_memory_bytes', 'Resident memory of the process');
    this.#refresh.push(() => memory.set(process.memoryUsage.rss()));
  }

  #counter(name: string, help: string, labelNames: string[] = []): Counter {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }

  #gauge(name: string, help: string, labelNames: string[] = []): Gauge {
    return new Gauge({ name, help, labelNames, registers: [this.#registry] });
  }
}

/** The accounting counts by itself: a scrape copies its number. */
function set(counter: Counter, value: number): void {
  counter.reset();
  counter.inc(value);
}

function setEach(counter: Counter, values: Readonly<Record<string, number>>, label = 'reason'): void {
  counter.reset();
  for (const [name, value] of Object.entries(values)) counter.inc({ [label]: name }, value);
}
