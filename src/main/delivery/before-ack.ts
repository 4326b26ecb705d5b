/**
 * Owns what the sender of a message must not hear before its acceptance, when its turn began before that: text, replies, errors and the typing indicator wait here.
 *
 *   written -> the turn begins -> text, reply, ... wait -> acked   -> all of it, in order
 *                                                       -> refused -> nothing: the sender was told that the journal failed. What it asked for is kept
 *                                                                     under its id, as that of any sender who is gone
 */
export class BeforeAck {
  /** Of the present attempt; what an attempt took back before anybody heard it is nothing to take back. */
  text = '';
  #waiting: (() => void)[] | undefined;

  /** Keeps work for the acceptance. */
  later(work: () => void): void {
    (this.#waiting ??= []).push(work);
  }

  release(): void {
    for (const work of this.#waiting ?? []) work();
  }
}
