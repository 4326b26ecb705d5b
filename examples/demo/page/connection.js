/** Owns the page's one WebSocket to the gateway: frames out, answers back to who asked, reconnecting when it drops. */

const RECONNECT_MS = 500;

export class Connection extends EventTarget {
  #socket;
  #url;
  #asks = new Map();
  #next = 0;
  #prefix = crypto.randomUUID();

  constructor(url) {
    super();
    this.#url = url;
    this.#open();
  }

  get isOpen() {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  /**
   * Asks an agent; resolves to the response's frame, rejects with the error's. `onText` hears the whole text so far, each
   * time that it grows or is taken back.
   */
  ask({ agent, message, namespace, onText }) {
    if (!this.isOpen) return Promise.reject({ code: 'DISCONNECTED', message: 'There is no connection to the gateway' });
    this.#next += 1;
    const id = `${this.#prefix}-${this.#next}`;
    this.#socket.send(JSON.stringify({ type: 'chat', id, agent, message, namespace }));
    return new Promise((resolve, reject) => {
      this.#asks.set(id, { resolve, reject, onText, text: '' });
    });
  }

  #open() {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    let opened = false;
    socket.addEventListener('open', () => {
      opened = true;
      this.dispatchEvent(new Event('open'));
    });
    socket.addEventListener('message', ({ data }) => this.#receive(JSON.parse(data)));
    socket.addEventListener('close', () => {
      const asks = [...this.#asks.values()];
      this.#asks.clear();
      for (const { reject } of asks) reject({ code: 'DISCONNECTED', message: 'The connection dropped' });
      if (opened) this.dispatchEvent(new Event('drop'));
      setTimeout(() => this.#open(), RECONNECT_MS);
    });
  }

  #receive(frame) {
    const ask = this.#asks.get(frame.id);
    if (ask === undefined) return;
    switch (frame.type) {
      case 'text_delta':
        ask.text += frame.text;
        ask.onText?.(ask.text);
        break;
      case 'reset':
        ask.text = '';
        ask.onText?.('');
        break;
      case 'response':
        this.#asks.delete(frame.id);
        ask.resolve(frame);
        break;
      case 'error':
        this.#asks.delete(frame.id);
        ask.reject(frame.error);
        break;
    }
  }
}
