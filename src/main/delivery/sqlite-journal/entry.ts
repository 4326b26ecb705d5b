/**
 * Owns the journal's thread: it answers requests one after another, and keeps the file up when there are none. After a write
 * that failed it refuses all others until a probe went well: a batch that follows a failed one must not overtake it.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { OrreryError, type WireError, fromWire, toWire } from '../../../protocol/index.ts';
import { databaseError } from '../../../lib/sqlite.ts';
import { JournalFile, WHAT } from './file.ts';
import { Presence } from './presence.ts';
import { SyncedAnswers, type Wrote } from './synced-answers.ts';
import { APPEND_PLACES } from './packed-work.ts';
import {
  type Answer,
  type AskKind,
  type Asks,
  type JournalSetup,
  type Opening,
  type ProbeAnswer,
  type Request,
} from './packed.ts';

/** Milliseconds without a request after which a share of upkeep is done; between two shares; and between two rounds. */
const IDLE_MS = 20;
const SHARE_MS = 5;
const ROUND_MS = 5_000;

const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;

const CHANGES: ReadonlySet<AskKind> = new Set(['work', 'drop', 'compact']);

const port = parentPort;
if (!port) throw new Error('The journal runs in a thread of its own');
const setup = workerData as JournalSetup;

/** Nothing is written while it is set. */
let failure: Extract<Answer, { readonly error: WireError }> | undefined;
let isClosed = false;
let requestedAt = 0;
/** Of the owner's clock before this thread's: by the owner's, messages are accepted and forgotten. */
let ahead = 0;
let upkeepTimer: NodeJS.Timeout | undefined;

const file = open();
/** Of its files. */
const presence = file && new Presence([setup.file, `${setup.file}-wal`]);
if (file) {
  const journal = file;
  const answers = new SyncedAnswers({
    post: (told) => port.postMessage(told),
    sync: () => journal.sync(),
    failed: (error) => (failure = { error: toWire(ours(error)), final: false, unknown: true }),
  });
  port.on('message', (request: Request) => serve(journal, answers, request));
  port.postMessage({ next: journal.next } satisfies Opening);
}

/** Serves a request and all that wait behind it. */
function serve(journal: JournalFile, answers: SyncedAnswers, first: Request): void {
  requestedAt = performance.now();
  for (let request: Request | undefined = first; request; request = waitingRequest()) {
    if ('at' in request) ahead = request.at - Date.now();
    const told = answer(journal, request);
    answers.add(told, wrote(request, told), 'appends' in request ? request.appends.numbers.length / APPEND_PLACES : 0);
    if (request.kind === 'close') isClosed = true;
    else upkeepTimer ??= setTimeout(keepUp, IDLE_MS, journal);
  }
  answers.settle();
  if (isClosed) port?.close();
}

function wrote(request: Request, told: Answer): Wrote {
  if (request.kind === 'replay') return 'some';
  if (request.kind !== 'work' || request.appends.numbers.length === 0)
    return CHANGES.has(request.kind) ? 'changes' : 'nothing';
  return 'value' in told && Array.isArray(told.value) && told.value.length === 0 ? 'messages' : 'some';
}

function waitingRequest(): Request | undefined {
  const received: { readonly message: Request } | undefined | null = port && receiveMessageOnPort(port);
  return received?.message;
}

function open(): JournalFile | undefined {
  try {
    return new JournalFile(setup);
  } catch (error) {
    port?.postMessage({ error: toWire(ours(error)) } satisfies Opening);
    return undefined;
  }
}

function answer(journal: JournalFile, request: Request): Answer {
  try {
    return { value: valueOf(journal, request) };
  } catch (error) {
    const failed = { error: toWire(ours(error)), final: isDamage(error) };
    if (request.kind === 'work') failure ??= failed;
    return failed;
  }
}

function valueOf(journal: JournalFile, request: Request): Asks[AskKind][1] {
  switch (request.kind) {
    case 'work':
      refuse();
      return journal.work(request);
    case 'probe':
      return probe(journal, request);
    case 'check':
      return tried(() => {
        presence?.check(performance.now());
        journal.check();
      });
    case 'look':
      return journal.look(request.appends, request.at);
    case 'find':
      return journal.find(request.key, request.at) ?? null;
    case 'unfinished':
      return journal.unfinished(request.after, request.until);
    case 'letters':
      return journal.letters(request.limit, request.after);
    case 'letter':
      return journal.letter(request.id) ?? null;
    case 'drop':
      refuse();
      return journal.drop(request.id);
    case 'replay':
      refuse();
      return journal.replay(request.id, request.position, request.at) ?? null;
    case 'totals':
      return journal.totals();
    case 'compact':
      refuse();
      return journal.compact(request.at);
    case 'close':
      clearTimeout(upkeepTimer);
      // A file that has no room takes this much; one that is damaged, or whose syncs fail, is left as it is.
      if (failure?.final || failure?.unknown) journal.close();
      else journal.closeClean();
      return null;
  }
}

function refuse(): void {
  if (failure) throw fromWire(failure.error);
  presence?.check(performance.now());
}

/** What was marked may be kept where a new message finds no room: an answered message's text is given up. */
function probe(journal: JournalFile, { marks, at }: Request<'probe'>): ProbeAnswer {
  return tried((kept) => {
    presence?.check(performance.now());
    journal.mend();
    journal.marks(marks, at);
    journal.sync();
    kept();
    journal.probe(at);
    failure = undefined;
  });
}

function tried(work: (kept: () => void) => void): ProbeAnswer {
  let marked = false;
  try {
    work(() => (marked = true));
    return { marked };
  } catch (error) {
    return { marked, error: toWire(ours(error)), final: isDamage(error) };
  }
}

function keepUp(journal: JournalFile): void {
  upkeepTimer = undefined;
  if (failure) return;
  if (performance.now() - requestedAt < IDLE_MS) {
    upkeepTimer = setTimeout(keepUp, IDLE_MS, journal);
    return;
  }
  let more = false;
  try {
    more = journal.upkeep(Date.now() + ahead);
  } catch {
    // Nothing is lost by it; a disk that takes no writes is told of by the next batch.
  }
  upkeepTimer = setTimeout(keepUp, more ? SHARE_MS : ROUND_MS, journal);
}

function ours(error: unknown): OrreryError {
  if (primaryCode(error) === SQLITE_FULL && setup.maxFileBytes !== undefined && file?.isAtBound) {
    return new OrreryError(
      'ORRERY_DATABASE_FAILED',
      `The ${WHAT} ${setup.file} has reached its bound of ${setup.maxFileBytes} bytes`,
      {
        cause: error,
        hint: 'Raise `delivery.maxJournalBytes`; room comes as messages are answered and their retention passes.',
      },
    );
  }
  return databaseError(error, { what: WHAT, file: setup.file });
}

/** Tells whether the file is damaged: no room that is made helps it. */
function isDamage(error: unknown): boolean {
  return primaryCode(error) === SQLITE_CORRUPT;
}

function primaryCode(error: unknown): number | undefined {
  const code = typeof error === 'object' && error !== null && 'errcode' in error ? error.errcode : undefined;
  return typeof code === 'number' ? code & 0xff : undefined;
}
