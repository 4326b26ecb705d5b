/**
 * Owns what a run does, as a function of its options and its seed: which messages go to which session by which way, and
 * which faults come after how many of them. It does nothing itself.
 */
import { Random } from './random.ts';

/** `count`, `other` and `lone` are one module, on shared threads and on a dedicated one; `model` asks a model server. */
export type AgentName = 'count' | 'other' | 'lone' | 'echo' | 'model';
export const AGENT_NAMES: readonly AgentName[] = ['count', 'other', 'lone', 'echo', 'model'];

/**
 * `chat` and `completions` are the gateway's HTTP routes, `socket` its WebSocket; `keyed` and `keyless` are channels inside
 * of the host's process, of a network with idempotency keys and of one without.
 */
export type Way = 'chat' | 'completions' | 'socket' | 'keyed' | 'keyless';
export const WAYS: readonly Way[] = ['chat', 'completions', 'socket', 'keyed', 'keyless'];

/** What a message asks of its agent: an answer, an error at every attempt, or one at the first attempt only. */
/** `held`: it answers like the others, and begins its work when the run lets all of them. */
export type Act = 'answer' | 'fail' | 'flaky' | 'held';

export interface PlannedMessage {
  readonly id: string;
  readonly act: Act;
  /** Milliseconds that its turn takes at least. */
  readonly workMs: number;
}

export interface PlannedSession {
  readonly number: number;
  readonly agent: AgentName;
  readonly way: Way;
  /** Messages that its client has under way at once, in order. */
  readonly window: number;
  /** False: every message brings its whole history, and nothing is kept. */
  readonly kept: boolean;
  readonly messages: readonly PlannedMessage[];
}

/** Where a process or a thread is killed: in main at a step of a delivery, in a thread around its turn and its commit. */
export const MAIN_POINTS = [
  'before-append',
  'written',
  'after-append',
  'dispatched',
  'retrying',
  'committed',
  'answered',
  'dead',
] as const;
export const THREAD_POINTS = ['turn', 'before-commit', 'after-commit'] as const;
export type MainPoint = (typeof MAIN_POINTS)[number];
export type ThreadPoint = (typeof THREAD_POINTS)[number];
/** `recovery`: a second kill while the next process takes over what the first one left. */
export type ProcessPoint = MainPoint | ThreadPoint | 'recovery' | 'random';

export const THREAD_ENDS = ['terminate', 'exit', 'throw', 'spin', 'heap'] as const;
export type ThreadEnd = (typeof THREAD_ENDS)[number];

export type Fault =
  | { readonly kind: 'thread'; readonly end: ThreadEnd; readonly point: ThreadPoint | 'random'; readonly nth: number }
  | { readonly kind: 'process'; readonly point: ProcessPoint; readonly nth: number; readonly delayMs: number }
  | { readonly kind: 'journal-thread' }
  | { readonly kind: 'drop'; readonly share: number }
  | { readonly kind: 'stall'; readonly ms: number }
  | { readonly kind: 'model-errors'; readonly calls: number }
  | { readonly kind: 'disk'; readonly ms: number; readonly kill: boolean };

export interface Phase {
  readonly fault: Fault;
  /** Share of the phase's messages after which the fault comes. */
  readonly after: number;
}

export interface PlanOptions {
  readonly seed: number;
  readonly messages: number;
  readonly killThreads: number;
  readonly killProcess: number;
  readonly drops: number;
  readonly stalls: number;
  readonly modelErrors: number;
  readonly disks: number;
  readonly journalThreads: number;
}

export interface Plan {
  readonly sessions: readonly PlannedSession[];
  readonly phases: readonly Phase[];
}

const SESSION_MESSAGES = { min: 10, max: 50 };
/** Messages in one session under way at once: its mailbox holds more. */
const MAX_WINDOW = 6;
/** Of the turns, so many take long enough to be found under way by any fault. */
const SLOW_SHARE = 0.05;
const SLOW_MS = 250;
const FAIL_SHARE = 0.01;
const FLAKY_SHARE = 0.02;
/** How long a step that was marked is on its way to the disk, in milliseconds, and some more. */
const WRITTEN_MS = 40;

export function planOf(options: PlanOptions): Plan {
  const random = new Random(options.seed);
  return { sessions: sessionsOf(options.messages, random), phases: phasesOf(options, random) };
}

function sessionsOf(messages: number, random: Random): readonly PlannedSession[] {
  const sessions: PlannedSession[] = [];
  for (let left = messages; left > 0;) {
    const size = Math.min(left, random.whole(SESSION_MESSAGES.min, SESSION_MESSAGES.max));
    sessions.push(sessionOf(sessions.length, size, random));
    left -= size;
  }
  return sessions;
}

function sessionOf(number: number, size: number, random: Random): PlannedSession {
  // The first ones go through every pair of agent and way, so that a short run has them all.
  const agent = AGENT_NAMES[number % AGENT_NAMES.length] ?? 'echo';
  const way = WAYS[Math.floor(number / AGENT_NAMES.length) % WAYS.length] ?? 'chat';
  // Requests of their own have no order among each other.
  const ordered = way !== 'chat' && way !== 'completions';
  return {
    number,
    agent,
    way,
    window: ordered ? random.whole(1, MAX_WINDOW) : 1,
    kept: way !== 'completions' || random.chance(0.7),
    messages: Array.from({ length: size }, (_, i) => messageOf(`s${number}-${i + 1}`, agent, random)),
  };
}

function messageOf(id: string, agent: AgentName, random: Random): PlannedMessage {
  const turn = random.next();
  const act = turn < FAIL_SHARE ? 'fail' : turn < FAIL_SHARE + FLAKY_SHARE ? 'flaky' : 'answer';
  const workMs = random.chance(SLOW_SHARE) ? random.whole(SLOW_MS / 2, SLOW_MS) : random.whole(0, 15);
  // The built-in echo does nothing but echo.
  return agent === 'echo' ? { id, act: 'answer', workMs: 0 } : { id, act, workMs };
}

function phasesOf(options: PlanOptions, random: Random): readonly Phase[] {
  const faults: Fault[] = [
    ...threadFaults(options.killThreads, random),
    ...processFaults(options.killProcess, random),
    ...times(options.journalThreads, (): Fault => ({ kind: 'journal-thread' })),
    ...times(options.drops, (): Fault => ({ kind: 'drop', share: 0.2 + random.next() * 0.8 })),
    ...times(options.stalls, (): Fault => ({ kind: 'stall', ms: random.whole(300, 1_500) })),
    ...times(options.modelErrors, (): Fault => ({ kind: 'model-errors', calls: random.whole(1, 20) })),
    ...times(options.disks, (i): Fault => ({
      kind: 'disk',
      ms: random.whole(300, 1_500),
      // A process that dies while the disk takes no writes: whatever it had not written is done again.
      kill: options.killProcess > 0 && i % 2 === 1,
    })),
  ];
  return random.shuffled(faults).map((fault) => ({ fault, after: 0.1 + random.next() * 0.5 }));
}

function threadFaults(count: number, random: Random): readonly Fault[] {
  const ends = cycle(THREAD_ENDS, count, random);
  const points = cycle(['random', ...THREAD_POINTS] as const, count, random);
  return ends.map((end, i) => ({ kind: 'thread', end, point: points[i] ?? 'random', nth: random.whole(1, 10) }));
}

function processFaults(count: number, random: Random): readonly Fault[] {
  // Two of three at a step, the others at random; the steps of a run differ by its seed until it has enough for all.
  const points = cycle([...MAIN_POINTS, ...THREAD_POINTS, 'recovery'] as const, count, random);
  return times(count, (i): Fault => {
    const point = i % 3 === 2 ? 'random' : (points[i - Math.floor(i / 3)] ?? 'random');
    // Few messages are tried again or given up, and few are left to be taken over.
    const nth = ['retrying', 'dead', 'recovery'].includes(point) ? random.whole(1, 2) : random.whole(1, 20);
    // At once, before anything of the step is written, or when it has been.
    return { kind: 'process', point, nth, delayMs: random.chance(0.5) ? 0 : WRITTEN_MS };
  });
}

/** So many values, each as often as every other, in random order. */
function cycle<T>(values: readonly T[], count: number, random: Random): T[] {
  const all: T[] = [];
  while (all.length < count) all.push(...random.shuffled(values));
  return all.slice(0, count);
}

function times<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i));
}

/** What a message says; its agent reads it back. */
export function textOf({ id, act, workMs }: PlannedMessage): string {
  return `${act} ${workMs} ${id}`;
}

/** Reads what a message says; undefined for a text that is none of a run's. */
export function readText(
  text: string,
): { readonly act: string; readonly workMs: number; readonly id: string } | undefined {
  const match = /^(\w+) (\d+) (s\d+-\d+)$/.exec(text);
  return match ? { act: match[1] ?? '', workMs: Number(match[2]), id: match[3] ?? '' } : undefined;
}

/** What an agent that keeps count answers: how many messages of its session were committed, this one included. */
export function countedReply(count: number, id: string): string {
  return `n${count} ${id}`;
}
