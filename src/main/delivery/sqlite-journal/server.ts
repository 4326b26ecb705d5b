/**
 * Owns how the journal's thread answers: requests one after another, and what keeps the file up when there are none. After a write
 * that failed it refuses all others until a probe went well: a batch that follows a failed one must not overtake it. It knows no port.
 */
import { OrreryError, type WireError, fromWire, toWire } from '../../../protocol/index.ts';
import { databaseError } from '../../../lib/sqlite.ts';
import { type JournalFile, WHAT } from './file.ts';
import type { Presence } from './presence.ts';
import { SyncedAnswers, type Wrote } from './synced-answers.ts';
import { APPEND_PLACES } from './packed-work.ts';
import type { Answer, AskKind, Asks, JournalSetup, ProbeAnswer, Request, Written } from './packed.ts';

/** Milliseconds without a request after which a share of upkeep is done; between two shares; and between two rounds. */
const IDLE_MS = 20;
const SHARE_MS = 5;
const ROUND_MS = 5_000;

const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;

const CHANGES: ReadonlySet<AskKind> = new Set(['work', 'drop', 'compact']);

export interface JournalServerOptions {
  readonly file: JournalFile;
  readonly setup: JournalSetup;
  /** Of its files. */
  readonly presence: Pick<Presence, 'check'>;
  readonly post: (told: Answer | Written) => void;
  /** Takes the next of the requests that wait. */
  readonly waiting: () => Request | undefined;
  /** The file was closed, and nothing is asked any more. */
  readonly closed: () => void;
}

export class JournalServer {
  readonly #options: JournalServerOptions;
  readonly #file: JournalFile;
  readonly #answers: SyncedAnswers;
  /** Nothing is written while it is set. */
  #failure: Extract<Answer, { readonly error: WireError }> | undefined;
  #isClosed = false;
  #requestedAt = 0;
  /** Of the owner's clock before this thread's: by the owner's, messages are accepted and forgotten. */
  #ahead = 0;
  #upkeepTimer: NodeJS.Timeout | undefined;

  constructor(options: JournalServerOptions) {
    this.#options = options;
    this.#file = options.file;
    this.#answers = new SyncedAnswers({
      post: options.post,
      sync: () => this.#file.sync(),
      failed: (error) => (this.#failure = { error: this.#wireOf(error), final: false, unknown: true }),
    });
  }

  /** Serves a request and all that wait behind it. */
  serve(first: Request): void {
    const { waiting, closed } = this.#options;
    this.#requestedAt = performance.now();
    for (let request: Request | undefined = first; request; request = waiting()) {
      if ('at' in request) this.#ahead = request.at - Date.now();
      const told = this.#answer(request);
      const messages = 'appends' in request ? request.appends.numbers.length / APPEND_PLACES : 0;
      this.#answers.add(told, wrote(request, told), messages);
      if (request.kind === 'close') this.#isClosed = true;
      else this.#upkeepTimer ??= setTimeout(() => this.#keepUp(), IDLE_MS);
    }
    this.#answers.settle();
    if (this.#isClosed) closed();
  }

  #answer(request: Request): Answer {
    try {
      return { value: this.#valueOf(request) };
    } catch (error) {
      const failed = { error: this.#wireOf(error), final: isDamage(error) };
      if (request.kind === 'work') this.#failure ??= failed;
      return failed;
    }
  }

  #valueOf(request: Request): Asks[AskKind][1] {
    const file = this.#file;
    switch (request.kind) {
      case 'work':
        this.#refuse();
        return file.work(request);
      case 'probe':
        return this.#probe(request);
      case 'check':
        return this.#tried(() => {
          this.#lookForFiles();
          file.check();
        });
      case 'look':
        return file.look(request.appends, request.at);
      case 'find':
        return file.find(request.key, request.at) ?? null;
      case 'unfinished':
        return file.unfinished(request.after, request.until);
      case 'letters':
        return file.letters(request.limit, request.after);
      case 'letter':
        return file.letter(request.id) ?? null;
      case 'drop':
        this.#refuse();
        return file.drop(request.id);
      case 'replay':
        this.#refuse();
        return file.replay(request.id, request.position, request.at) ?? null;
      case 'totals':
        return file.totals();
      case 'compact':
        this.#refuse();
        return file.compact(request.at);
      case 'close':
        clearTimeout(this.#upkeepTimer);
        // A file that has no room takes this much; one that is damaged, or whose syncs fail, is left as it is.
        if (this.#failure?.final || this.#failure?.unknown) file.close();
        else file.closeClean();
        return null;
    }
  }

  #refuse(): void {
    if (this.#failure) throw fromWire(this.#failure.error);
    this.#lookForFiles();
  }

  /** What was marked may be kept where a new message finds no room: an answered message's text is given up. */
  #probe({ marks, at }: Request<'probe'>): ProbeAnswer {
    const file = this.#file;
    return this.#tried((kept) => {
      this.#lookForFiles();
      file.mend();
      file.marks(marks, at);
      file.sync();
      kept();
      file.probe(at);
      this.#failure = undefined;
    });
  }

  #lookForFiles(): void {
    this.#options.presence.check(performance.now());
  }

  #tried(work: (kept: () => void) => void): ProbeAnswer {
    let marked = false;
    try {
      work(() => (marked = true));
      return { marked };
    } catch (error) {
      return { marked, error: this.#wireOf(error), final: isDamage(error) };
    }
  }

  #keepUp(): void {
    this.#upkeepTimer = undefined;
    if (this.#failure) return;
    if (performance.now() - this.#requestedAt < IDLE_MS) {
      this.#upkeepTimer = setTimeout(() => this.#keepUp(), IDLE_MS);
      return;
    }
    let more = false;
    try {
      more = this.#file.upkeep(Date.now() + this.#ahead);
    } catch {
      // Nothing is lost by it; a disk that takes no writes is told of by the next batch.
    }
    this.#upkeepTimer = setTimeout(() => this.#keepUp(), more ? SHARE_MS : ROUND_MS);
  }

  #wireOf(error: unknown): WireError {
    return toWire(fileError(error, this.#options.setup, this.#file));
  }
}

/** Names the file, and its bound where that is what it ran into. */
export function fileError(
  error: unknown,
  { file, maxFileBytes }: JournalSetup,
  opened?: Pick<JournalFile, 'isAtBound'>,
): OrreryError {
  if (primaryCode(error) === SQLITE_FULL && maxFileBytes !== undefined && opened?.isAtBound) {
    return new OrreryError(
      'ORRERY_DATABASE_FAILED',
      `The ${WHAT} ${file} has reached its bound of ${maxFileBytes} bytes`,
      {
        cause: error,
        hint: 'Raise `delivery.maxJournalBytes`; room comes as messages are answered and their retention passes.',
      },
    );
  }
  return databaseError(error, { what: WHAT, file });
}

function wrote(request: Request, told: Answer): Wrote {
  if (request.kind === 'replay') return 'some';
  if (request.kind !== 'work' || request.appends.numbers.length === 0)
    return CHANGES.has(request.kind) ? 'changes' : 'nothing';
  return 'value' in told && Array.isArray(told.value) && told.value.length === 0 ? 'messages' : 'some';
}

/** Tells whether the file is damaged: no room that is made helps it. */
function isDamage(error: unknown): boolean {
  return primaryCode(error) === SQLITE_CORRUPT;
}

function primaryCode(error: unknown): number | undefined {
  const code = typeof error === 'object' && error !== null && 'errcode' in error ? error.errcode : undefined;
  return typeof code === 'number' ? code & 0xff : undefined;
}
