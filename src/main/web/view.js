/** Owns how turns are drawn. Text of messages only ever becomes text nodes. */

/** Draws one turn: what was said, and below it the answer, its beginning, or what went wrong. */
export class TurnView {
  #answer;
  #agent;
  #onRetry;

  constructor(log, turn, agent, onRetry) {
    this.#agent = agent;
    this.#onRetry = onRetry;
    const said = line('user', 'You');
    fill(said.querySelector('.text'), turn.text);
    this.#answer = line('agent', agent);
    log.append(said, this.#answer);
    this.draw(turn);
  }

  /** Draws the turn as it is now. */
  draw(turn) {
    const pending = turn.reply === undefined && turn.error === undefined;
    const stopped = turn.error?.code === 'ORRERY_CANCELLED';
    this.#answer.className = `line agent${pending ? ' pending' : ''}${stopped ? ' stopped' : ''}`;
    this.#answer.setAttribute('aria-busy', String(pending));
    const text = element('div', 'text');
    fill(text, turn.reply ?? turn.partial ?? '', pending);
    const parts = [element('p', 'who', this.#agent), text];
    if (pending && turn.stopping) parts.push(element('p', 'note', 'Stopping'));
    if (stopped) parts.push(element('p', 'note', 'Stopped.'));
    else if (turn.error !== undefined) {
      if (!turn.partial) text.remove();
      parts.splice(
        turn.partial ? 2 : 1,
        parts.length,
        failure(turn.error, () => this.#onRetry(turn)),
      );
    }
    this.#answer.replaceChildren(...parts);
  }

  /** Draws more of a running answer without drawing it anew: screen readers hear only what is new. */
  append(text) {
    const paragraph = this.#answer.querySelector('.text p:last-child');
    if (paragraph?.firstChild) paragraph.firstChild.appendData(text);
  }
}

function line(kind, who) {
  const item = element('li', `line ${kind}`);
  item.append(element('p', 'who', who), element('div', 'text'));
  return item;
}

/** Says what went wrong in words, what to do about it, and the code for who looks after the host. */
function failure({ message, hint, code }, onRetry) {
  const box = element('div', 'failure');
  box.append(element('p', 'what', message));
  if (hint) box.append(element('p', 'hint', hint));
  const row = element('div', 'row');
  const again = element('button', 'plain', 'Try again');
  again.type = 'button';
  again.addEventListener('click', onRetry);
  row.append(again);
  if (code) row.append(element('code', '', code));
  box.append(row);
  return box;
}

/** Draws text, with fenced blocks as code. A running answer is one paragraph, to which more can be appended. */
function fill(target, text, running = false) {
  const pieces = running ? [text] : text.split(/^```[^\n]*\n?/m);
  const nodes = pieces.map((piece, i) => {
    if (i % 2 === 1) {
      const block = element('pre', '');
      block.tabIndex = 0; // wide code scrolls by keyboard too
      block.append(element('code', '', piece.replace(/\n$/, '')));
      return block;
    }
    const paragraph = element('p', '');
    paragraph.append(document.createTextNode(running ? piece : piece.trim()));
    return paragraph;
  });
  target.replaceChildren(...(running ? nodes : nodes.filter((node) => node.textContent !== '')));
}

function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}
