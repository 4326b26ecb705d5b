/**
 * Owns the answer to "whose code was that?" when a thread or process dies of an uncaught error or an exit: the asynchronous
 * context of an agent carries its number and its turns', and the dying one writes them into its slot's words, the one thing it
 * can still do.
 */
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';
import { SLOT_WORD } from '../protocol/index.ts';
import type { Words } from './words.ts';

/** Whose code runs. */
interface Author {
  readonly agent: number;
  /** Places of the turns that run in this context, as the slot's words count them; 0 outside of turns. */
  readonly from: number;
  to: number;
}

const current = new AsyncLocalStorage<Author>();

/**
 * Runs code as that of one agent, and of one turn as far as that costs nothing: a context is a new Map, three times what it costs to
 * enter one. So turns that begin before the loop turns again share theirs; they came together, and the next ones have another.
 */
export class Authorship {
  readonly #agent: number;
  readonly #own: AsyncResource;
  #turns: AsyncResource;
  #author: Author;
  #loop = -1;

  /** `agent` is the number that its spec has. */
  constructor(agent: number) {
    this.#agent = agent;
    this.#author = { agent, from: 0, to: 0 };
    this.#own = contextOf(this.#author);
    this.#turns = this.#own;
  }

  /** Runs what is given, and everything that this starts, as the agent's, and as no turn's. */
  run<T>(work: () => T): T {
    return this.#own.runInAsyncScope(work);
  }

  /** As {@link run}, as the code of the turn that was begun at this place; `loop` differs whenever the loop has turned. */
  runTurn<T>(place: number, loop: number, work: () => T): T {
    if (loop === this.#loop) this.#author.to = place;
    else {
      this.#loop = loop;
      this.#author = { agent: this.#agent, from: place, to: place };
      this.#turns = contextOf(this.#author);
    }
    return this.#turns.runInAsyncScope(work);
  }
}

/** The resource itself, and not a snapshot, which is such a one behind two functions that copy their arguments. */
function contextOf(author: Author): AsyncResource {
  return current.run(author, () => new AsyncResource('OrreryAgent'));
}

/** The words of the present generation: a thread that was stopped as asked runs the next one too. */
let present: Words | undefined;

/** Writes whose code it was into the slot's words when the thread throws or exits. */
export function installBlame(words: Words): void {
  const installed = present !== undefined;
  present = words;
  if (installed) return;
  const blame = (): void => {
    const author = current.getStore();
    if (!author) return;
    present?.store(SLOT_WORD.blamed, author.agent);
    present?.store(SLOT_WORD.blamedFrom, author.from);
    present?.store(SLOT_WORD.blamedTo, author.to);
  };
  process.on('uncaughtExceptionMonitor', blame);
  const exit = process.exit.bind(process);
  process.exit = (code?: number | string | null): never => {
    blame();
    return exit(code);
  };
}
