/** Owns the reading of server-sent events as chat completions use them: the data of each event, and nothing else of the format. */

/** Characters of one line at most: a server that never ends a line must not fill the memory. */
const MAX_LINE = 4 * 1024 * 1024;

/** Takes text as it comes, and gives what the `data` of each whole event is. */
export class EventReader {
  #rest = '';
  #data: string | undefined;

  /** Throws a `RangeError` for a line beyond 4 MiB. */
  push(text: string): string[] {
    const found: string[] = [];
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > MAX_LINE) throw new RangeError(`a line of an event is longer than ${MAX_LINE} characters`);
    for (const line of lines) {
      const plain = line.endsWith('\r') ? line.slice(0, -1) : line;
      if (plain === '') {
        if (this.#data !== undefined) found.push(this.#data);
        this.#data = undefined;
      } else if (plain.startsWith('data:')) {
        const part = plain.slice(plain[5] === ' ' ? 6 : 5);
        this.#data = this.#data === undefined ? part : `${this.#data}\n${part}`;
      }
    }
    return found;
  }
}
