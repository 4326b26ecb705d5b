/** Owns a reply that is shown while it is being written: text gathers, and is shown at the network's pace until the reply itself takes over. */

/** What stands at the end of a text that goes on. */
const GOES_ON = ' …';

export class Draft {
  readonly #paceMs: number;
  readonly #show: (key: string, text: string) => Promise<void>;
  #key: string | undefined;
  #text = '';
  #shown = '';
  #timer: NodeJS.Timeout | undefined;
  #showing: Promise<void> = Promise.resolve();
  #ended = false;

  /** `show` brings the text to the network; a failure is its own affair, the reply follows in any case. */
  constructor(paceMs: number, show: (key: string, text: string) => Promise<void>) {
    this.#paceMs = paceMs;
    this.#show = show;
  }

  /** Names the delivery: what is shown before the reply must be posted under its key. */
  begin(key: string): void {
    this.#key = key;
    if (this.#text !== '') this.#schedule();
  }

  delta(text: string): void {
    this.#text += text;
    this.#schedule();
  }

  /** Takes the text back: the next one replaces what is shown. */
  reset(): void {
    this.#text = '';
  }

  /** Shows nothing more; resolves when what was on its way has arrived. */
  end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#timer);
    return this.#showing;
  }

  #schedule(): void {
    if (this.#ended || this.#timer !== undefined || this.#key === undefined) return;
    this.#timer = setTimeout(() => this.#tick(), this.#paceMs);
    this.#timer.unref();
  }

  #tick(): void {
    const key = this.#key;
    const text = this.#text;
    if (key === undefined || text.trim() === '' || text === this.#shown) {
      this.#timer = undefined;
      return;
    }
    this.#showing = this.#show(key, text + GOES_ON)
      .then(
        () => {
          this.#shown = text;
        },
        () => undefined,
      )
      .then(() => {
        this.#timer = undefined;
        // Text that came meanwhile waits for its own turn: a slow network is not given work faster than it does it.
        if (this.#text !== this.#shown) this.#schedule();
      });
  }
}
