/** Owns the WebSocket to the gateway: it connects, notices a dead line, and connects again. It knows nothing of turns. */

const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 15_000;
/** A line on which nothing came for this long is asked for a sign of life, and given up after as long again. */
const QUIET_MS = 20_000;

/** Dispatches `state` (detail: `connecting`, `open`, `waiting`, `closed`) and `frame` (detail: the frame). */
export class Connection extends EventTarget {
  #socket;
  #attempt = 0;
  #retry;
  #quiet;
  #closed = true;
  /** Asked before each attempt but the first; the connection stays closed when it resolves to false. */
  #mayRetry;

  constructor(mayRetry) {
    super();
    this.#mayRetry = mayRetry;
    addEventListener('online', () => this.#hurry());
    document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && this.#hurry());
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  open() {
    this.#closed = false;
    this.#attempt = 0;
    this.#connect();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#quiet);
    this.#socket?.close();
    this.#tell('closed');
  }

  /** Returns false when the line is not open; then nothing is sent. */
  send(frame) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  #connect() {
    clearTimeout(this.#retry);
    this.#tell('connecting');
    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`);
    this.#socket = socket;
    socket.addEventListener('open', () => {
      this.#attempt = 0;
      this.#heard();
      this.#tell('open');
    });
    socket.addEventListener('message', ({ data }) => {
      this.#heard();
      this.dispatchEvent(new CustomEvent('frame', { detail: JSON.parse(data) }));
    });
    socket.addEventListener('close', () => {
      if (socket === this.#socket) this.#lost();
    });
  }

  #lost() {
    clearTimeout(this.#quiet);
    if (this.#closed) return;
    this.#tell('waiting');
    const longest = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** this.#attempt);
    this.#attempt += 1;
    this.#retry = setTimeout(() => this.#again(), longest * (0.7 + 0.3 * Math.random()));
  }

  async #again() {
    clearTimeout(this.#retry);
    const may = await this.#mayRetry();
    if (this.#closed || this.#socket.readyState !== WebSocket.CLOSED) return;
    if (may) this.#connect();
    else this.close();
  }

  /** The network is back, or somebody looks at the page: no reason to wait out the delay. */
  #hurry() {
    if (this.#closed || this.#socket?.readyState !== WebSocket.CLOSED) return;
    this.#attempt = 0;
    void this.#again();
  }

  #heard() {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => {
      this.send({ type: 'ping' });
      this.#quiet = setTimeout(() => {
        const dead = this.#socket;
        this.#socket = { readyState: WebSocket.CLOSED }; // its late `close` event is of no interest any more
        dead.close();
        this.#lost();
      }, QUIET_MS);
    }, QUIET_MS);
  }

  #tell(state) {
    this.dispatchEvent(new CustomEvent('state', { detail: state }));
  }
}
