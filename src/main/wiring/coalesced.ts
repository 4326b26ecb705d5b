/**
 * Owns work of which one run at a time is enough: who asks while one runs gets the next one, since the present one may have begun
 * before what they want done. At most one waits, with the latest of what was asked for.
 */
export class Coalesced<T> {
  #running: Promise<T> | undefined;
  #next: Promise<T> | undefined;
  #work: (() => Promise<T>) | undefined;

  run(work: () => Promise<T>): Promise<T> {
    this.#work = work;
    if (!this.#running) return this.#begin();
    this.#next ??= this.#after(this.#running);
    return this.#next;
  }

  async #after(running: Promise<T>): Promise<T> {
    await running.catch(() => undefined); // told to those who asked for it
    this.#next = undefined;
    return this.#begin();
  }

  #begin(): Promise<T> {
    const work = this.#work;
    this.#work = undefined;
    const running = Promise.resolve()
      .then(() => work?.() as Promise<T>)
      .finally(() => {
        if (this.#running === running) this.#running = undefined;
      });
    this.#running = running;
    return running;
  }
}
