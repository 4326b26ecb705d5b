/** Owns what the page keeps on this device: one conversation for each agent, and a few choices. It draws nothing. */

const PREFIX = 'orrery:';
/** Turns kept of one conversation; the server keeps its own history. */
const MAX_TURNS = 200;

/** Works in insecure contexts too, where `crypto.randomUUID` is missing. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}

/**
 * A conversation is `{ namespace, turns }`; a turn is `{ id, text }` and, once it ended, `reply` or `error`. The namespace
 * names the server's session, so that it goes on after a reload.
 */
export function loadConversation(agent) {
  const stored = read(conversationKey(agent));
  if (stored !== null && typeof stored.namespace === 'string' && Array.isArray(stored.turns)) {
    return { namespace: stored.namespace, turns: stored.turns.filter(isTurn) };
  }
  return newConversation();
}

export function newConversation() {
  return { namespace: `page:${randomId()}`, turns: [] };
}

export function saveConversation(agent, { namespace, turns }) {
  const kept = turns.slice(-MAX_TURNS).map(({ id, text, reply, error }) => ({ id, text, reply, error }));
  write(conversationKey(agent), { namespace, turns: kept });
}

/** Tells the agent whose conversation another tab changed. */
export function onConversationChanged(listener) {
  const start = conversationKey('');
  addEventListener('storage', (event) => {
    if (event.key?.startsWith(start)) listener(event.key.slice(start.length));
  });
}

export function loadChoice(name) {
  const value = read(PREFIX + name);
  return typeof value === 'string' ? value : undefined;
}

export function saveChoice(name, value) {
  write(PREFIX + name, value);
}

function conversationKey(agent) {
  return `${PREFIX}conversation:${agent}`;
}

function isTurn(turn) {
  return turn !== null && typeof turn === 'object' && typeof turn.id === 'string' && typeof turn.text === 'string';
}

function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? 'null');
  } catch {
    return null; // storage is switched off, or holds what is not ours
  }
}

function write(key, value) {
  try {
    if (value === undefined) localStorage.removeItem(key);
    else localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Storage is full or switched off: the conversation then lasts as long as the page.
  }
}
