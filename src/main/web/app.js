/** Owns the page: which agent, which conversation, what is under way. Drawing, storage and the line are other files'. */
import { Connection } from './connection.js';
import {
  loadChoice,
  loadConversation,
  newConversation,
  onConversationChanged,
  randomId,
  saveChoice,
  saveConversation,
} from './store.js';
import { TurnView } from './view.js';

/** A message that is still being answered elsewhere is asked for again after this long. */
const ASK_AGAIN_MS = 1500;
const STATE_WORDS = {
  connecting: 'Connecting',
  open: 'Connected',
  waiting: 'Reconnecting',
  closed: 'Not connected',
};

const $ = (id) => document.getElementById(id);
const agentSelect = $('agent');
const log = $('log');
const scroll = $('scroll');
const composer = $('composer');
const message = $('message');
const sendButton = $('send');
const stopButton = $('stop');

let agent = '';
let conversation = newConversation();
/** Views of the turns shown, by the turn's id. */
const views = new Map();
/** Turns under way, of every agent's conversation: `{ agent, conversation, turn }` by the turn's id. */
const underWay = new Map();

const connection = new Connection(mayRetry);

connection.addEventListener('state', ({ detail: state }) => {
  $('state').dataset.state = state;
  $('state-text').textContent = STATE_WORDS[state];
  // What was under way when the line broke is asked for again: the same id never runs twice.
  if (state === 'open') for (const id of underWay.keys()) ask(id);
  refreshButtons();
});

connection.addEventListener('frame', ({ detail: frame }) => {
  const entry = underWay.get(frame.id);
  if (entry === undefined) return;
  const { turn } = entry;
  switch (frame.type) {
    case 'text_delta':
      turn.partial = (turn.partial ?? '') + frame.text;
      keepAtEnd(() => views.get(turn.id)?.append(frame.text));
      return;
    case 'reset':
      turn.partial = undefined;
      break;
    case 'response':
      turn.reply = frame.message;
      finish(entry);
      break;
    case 'error':
      if (frame.error.code === 'ORRERY_DUPLICATE_IN_FLIGHT') {
        setTimeout(() => ask(turn.id), ASK_AGAIN_MS);
        return;
      }
      turn.error = frame.error;
      finish(entry);
      break;
    default:
      return;
  }
  redraw(turn);
});

/** Sends a turn's message; its frames come by its id. Sent twice it is answered once. */
function ask(id) {
  const entry = underWay.get(id);
  if (entry === undefined) return;
  const { turn, agent: to, conversation: of } = entry;
  const sent = connection.send({ type: 'chat', id, message: turn.text, namespace: of.namespace, agent: to });
  if (!sent) return; // asked again when the line is back
  if (turn.partial) {
    turn.partial = undefined; // all of the text comes again
    redraw(turn);
  }
}

function finish({ turn, agent: of, conversation: its }) {
  underWay.delete(turn.id);
  if (turn.error === undefined) turn.partial = undefined;
  turn.stopping = undefined;
  saveConversation(of, its);
  refreshButtons();
}

function say(text) {
  const turn = { id: randomId(), text };
  conversation.turns.push(turn);
  saveConversation(agent, conversation);
  underWay.set(turn.id, { agent, conversation, turn });
  show(turn);
  scroll.scrollTop = scroll.scrollHeight;
  refreshButtons();
  ask(turn.id);
}

/** Says a failed turn's text anew, as a new message. */
function retry(failed) {
  if (running() !== undefined) return;
  conversation.turns = conversation.turns.filter((turn) => turn !== failed);
  showConversation();
  say(failed.text);
}

function running() {
  return conversation.turns.find((turn) => underWay.has(turn.id));
}

function refreshButtons() {
  const turn = running();
  sendButton.hidden = turn !== undefined;
  stopButton.hidden = turn === undefined;
  stopButton.disabled = !connection.isOpen || turn?.stopping === true;
  sendButton.disabled = message.value.trim() === '' || !connection.isOpen;
}

function show(turn) {
  $('welcome').hidden = true;
  views.set(turn.id, new TurnView(log, turn, agent, retry));
}

function redraw(turn) {
  keepAtEnd(() => views.get(turn.id)?.draw(turn));
}

/** Follows the text as it grows, unless somebody scrolled up to read. */
function keepAtEnd(change) {
  const atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
  change();
  if (atEnd) scroll.scrollTop = scroll.scrollHeight;
}

function showConversation() {
  views.clear();
  log.replaceChildren();
  $('welcome').hidden = conversation.turns.length > 0;
  $('welcome-title').textContent = `Talk to ${agent}`;
  for (const turn of conversation.turns) show(turn);
  scroll.scrollTop = scroll.scrollHeight;
  refreshButtons();
}

function choose(name) {
  agent = name;
  agentSelect.value = name;
  saveChoice('agent', name);
  document.title = `${name} · Orrery`;
  const open = [...underWay.values()].find((entry) => entry.agent === name)?.conversation;
  conversation = open ?? loadConversation(name);
  for (const turn of conversation.turns) {
    if (turn.reply !== undefined || turn.error !== undefined || underWay.has(turn.id)) continue;
    underWay.set(turn.id, { agent: name, conversation, turn });
    ask(turn.id);
  }
  showConversation();
}

async function call(path, body) {
  const response = await fetch(path, {
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    headers: body === undefined ? {} : { 'content-type': 'application/json' },
    cache: 'no-store',
  });
  const answer = await response.json().catch(() => ({}));
  return { ok: response.ok, status: response.status, answer };
}

/** Before it connects again: the login may have ended meanwhile. */
async function mayRetry() {
  try {
    const { status, answer, ok } = await call('/v1/models');
    if (status === 401) {
      askForToken();
      return false;
    }
    if (ok) offer(answer.data);
  } catch {
    // Nobody answers: the line is tried all the same, and its failure told.
  }
  return true;
}

function offer(models) {
  const names = models.map(({ id }) => id);
  if (agentSelect.options.length === names.length && names.every((name, i) => agentSelect.options[i].value === name))
    return;
  agentSelect.replaceChildren(...names.map((name) => new Option(name, name, false, name === agent)));
}

async function start() {
  let models;
  try {
    const { ok, status, answer } = await call('/v1/models');
    if (status === 401) {
      askForToken();
      return;
    }
    if (!ok) throw new Error(answer.error?.message);
    models = answer.data;
  } catch {
    $('state').dataset.state = 'waiting';
    $('state-text').textContent = STATE_WORDS.waiting;
    setTimeout(start, ASK_AGAIN_MS);
    return;
  }
  for (const id of ['picker', 'fresh', 'composer']) $(id).hidden = false;
  scroll.hidden = false;
  $('login').hidden = true;
  $('logout').hidden = loadChoice('login') !== 'cookie';
  offer(models);
  const before = loadChoice('agent');
  const known = models.find(({ id }) => id === before) ?? models.find((model) => model.default) ?? models[0];
  if (known !== undefined) choose(known.id);
  connection.open();
  message.focus();
}

function askForToken() {
  for (const id of ['picker', 'fresh', 'composer', 'logout', 'welcome']) $(id).hidden = true;
  scroll.hidden = true;
  $('login').hidden = false;
  $('token').focus();
  if (connection.isOpen) connection.close();
  $('state').dataset.state = 'closed';
  $('state-text').textContent = 'Not logged in';
}

$('login').addEventListener('submit', async (event) => {
  event.preventDefault();
  const problem = $('login-problem');
  problem.hidden = true;
  let failure = 'The gateway does not answer.';
  try {
    const { ok, answer } = await call('/api/login', { token: $('token').value });
    if (ok) {
      $('token').value = '';
      saveChoice('login', 'cookie');
      await start();
      return;
    }
    failure = [answer.error?.message, answer.error?.hint].filter(Boolean).join('. ');
  } catch {
    // told below
  }
  problem.textContent = failure;
  problem.hidden = false;
  $('token').select();
});

$('logout').addEventListener('click', async () => {
  connection.close();
  await call('/api/logout', {}).catch(() => undefined);
  saveChoice('login', undefined);
  askForToken();
});

$('fresh').addEventListener('click', () => {
  const turn = running();
  if (turn !== undefined) connection.send({ type: 'cancel', id: turn.id });
  conversation = newConversation();
  saveConversation(agent, conversation);
  showConversation();
  message.focus();
});

$('theme').addEventListener('click', () => {
  const shown =
    document.documentElement.dataset.theme ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
  const theme = shown === 'dark' ? 'light' : 'dark';
  document.documentElement.dataset.theme = theme;
  saveChoice('theme', theme);
});

agentSelect.addEventListener('change', () => {
  choose(agentSelect.value);
  message.focus();
});

message.addEventListener('input', refreshButtons);
message.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  composer.requestSubmit();
});

composer.addEventListener('submit', (event) => {
  event.preventDefault();
  const text = message.value.trim();
  if (text === '' || running() !== undefined || !connection.isOpen) return;
  message.value = '';
  say(text);
});

stopButton.addEventListener('click', () => {
  const turn = running();
  if (turn === undefined || !connection.send({ type: 'cancel', id: turn.id })) return;
  turn.stopping = true;
  redraw(turn);
  refreshButtons();
  message.focus();
});

onConversationChanged((changed) => {
  if (changed === agent && running() === undefined) choose(agent);
});

const theme = loadChoice('theme');
if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
void start();
