/** Owns the page: it joins the live line, the chat, the buttons and the chart. */
import { Chart } from './chart.js';
import { Connection } from './connection.js';
import { Stream, WINDOW_MS } from './stream.js';

const $ = (id) => document.getElementById(id);
const MAX_LOG = 60;
const DRAW_MS = 200;
const SHORT = { spin: 'spin', exit: 'exit', throw: 'throw', heap: 'hoard' };

const chart = new Chart($('chart'));
const delays = [];
const rates = [];
let before = new Map();
let gateway;

const events = new EventSource('events');
events.addEventListener('gateway', ({ data }) => {
  const url = JSON.parse(data);
  // The demo was started again, and its gateway is elsewhere.
  if (gateway !== undefined && gateway !== url) location.reload();
  else if (gateway === undefined) run(new Connection(url));
  gateway = url;
});
events.addEventListener('message', ({ data }) => showLine(JSON.parse(data)));
events.addEventListener('error', () => setConnection('lost', 'the demo has ended'));

function run(connection) {
  let drops = 0;
  connection.addEventListener('open', () => setConnection('open', 'connected'));
  connection.addEventListener('drop', () => {
    drops += 1;
    $('drops').textContent = drops;
    setConnection('lost', 'connection lost');
  });
  const eliza = new Stream(connection, 'eliza');
  const neighbour = new Stream(connection, 'neighbour');
  setInterval(() => {
    const now = performance.now();
    chart.draw([
      { color: '--neighbour', width: 1.8, stream: neighbour },
      { color: '--eliza', width: 2.4, stream: eliza },
    ]);
    for (const [name, stream] of Object.entries({ eliza, neighbour })) {
      $(`${name}-now`).textContent = duration(stream.nowMs(now));
      $(`${name}-worst`).textContent = duration(stream.worstMs(now));
    }
    $('lost').textContent = eliza.failed + neighbour.failed;
  }, DRAW_MS);
  runChat(connection);
  for (const button of document.querySelectorAll('.fault')) {
    button.addEventListener('click', () => void sabotage(connection, button));
  }
}

// The live line

function showLine(line) {
  const now = performance.now();
  delays.push({ at: now, ms: line.loopDelayMs });
  rates.push({ at: now, answered: line.answered });
  while (delays[0].at < now - WINDOW_MS) delays.shift();
  while (rates.length > 1 && rates[0].at < now - 3_000) rates.shift();
  const [first] = rates;
  const seconds = (now - first.at) / 1_000;
  $('delay').textContent = line.loopDelayMs.toFixed(1);
  $('delay-worst').textContent = `${Math.max(...delays.map(({ ms }) => ms)).toFixed(1)} ms`;
  $('answered').textContent = line.answered.toLocaleString('en');
  $('rate').textContent = seconds > 0 ? ((line.answered - first.answered) / seconds).toFixed(1) : '–';
  $('restarts').textContent = line.restarts;
  $('dead').textContent = line.dead;
  showSlots(line.slots);
  if (line.state === 'draining') setConnection('lost', 'shutting down');
}

function showSlots(slots) {
  const list = $('slots');
  for (const { slot, status, restarts, generation, agents } of slots) {
    let item = list.querySelector(`[data-slot="${CSS.escape(slot)}"]`);
    if (item === null) {
      item = document.createElement('li');
      item.dataset.slot = slot;
      item.append(span('dot'), span('names'), span('state'));
      list.append(item);
    }
    item.dataset.status = status;
    item.dataset.restarts = restarts;
    const names = agents.map(({ name }) => name).join(', ');
    const code = document.createElement('code');
    code.textContent = slot === names ? 'dedicated' : slot;
    item.querySelector('.names').replaceChildren(names, ' ', code);
    item.querySelector('.names').title = agents.map(({ name, status }) => `${name}: ${status}`).join('\n');
    item.querySelector('.state').textContent = `${status}${restarts > 0 ? ` ×${restarts}` : ''}`;
    showEscalated(item, agents);
    const known = before.get(slot);
    if (known !== undefined && known.generation !== generation) {
      log(`${slot} is back: thread number ${generation}`, 'good');
    }
    before.set(slot, { generation });
  }
}

/** An agent that failed too often stays down until a person asks for it again. */
function showEscalated(item, agents) {
  const down = agents.find(({ status }) => status === 'escalated');
  const button = item.querySelector('button');
  if (down === undefined) {
    button?.remove();
    return;
  }
  if (button !== null) return;
  const again = document.createElement('button');
  again.textContent = 'failed too often: start again';
  again.addEventListener('click', () => {
    again.disabled = true;
    void fetch(`agents/${down.name}/restart`, { method: 'POST' });
  });
  item.append(again);
}

// The chat

function runChat(connection) {
  const namespace = `talk:${crypto.randomUUID()}`;
  const talk = $('talk');
  addLine('hint', 'eliza is a rule-based conversation after Weizenbaum (1966). Say something, then break the others.');
  $('say').addEventListener('submit', async (event) => {
    event.preventDefault();
    const text = $('text').value.trim();
    if (text === '') return;
    $('text').value = '';
    addLine('me', text);
    const line = addLine('agent waiting', '');
    const at = performance.now();
    const onText = (sofar) => {
      line.textContent = sofar;
      talk.scrollTop = talk.scrollHeight;
    };
    try {
      const { message } = await connection.ask({ agent: 'eliza', message: text, namespace, onText });
      line.textContent = message;
      const time = document.createElement('time');
      time.textContent = duration(performance.now() - at);
      line.append(time);
    } catch (error) {
      line.classList.add('failed');
      line.textContent = `${error.message} (${error.code})`;
    }
    line.classList.remove('waiting');
    talk.scrollTop = talk.scrollHeight;
  });
}

function addLine(className, text) {
  const line = document.createElement('li');
  line.className = className;
  line.textContent = text;
  $('talk').append(line);
  $('talk').scrollTop = $('talk').scrollHeight;
  return line;
}

// The buttons

async function sabotage(connection, button) {
  const { agent, fault } = button.dataset;
  button.disabled = true;
  chart.mark(`${agent}: ${SHORT[fault]}`);
  log(`${agent} is told to ${SHORT[fault]}`);
  const at = performance.now();
  try {
    // Each in a session of its own: whatever a message does, it holds up only its own session.
    const namespace = `harm:${crypto.randomUUID()}`;
    const { message } = await connection.ask({ agent, message: fault, namespace });
    log(`${agent} answers after ${duration(performance.now() - at)}: “${message}”`, 'good');
  } catch (error) {
    log(`${agent}, after ${duration(performance.now() - at)}: ${error.message} (${error.code})`, 'bad');
  } finally {
    button.disabled = false;
  }
}

// Small helpers

function log(text, className = '') {
  const list = $('log');
  list.querySelector('.empty')?.remove();
  const item = document.createElement('li');
  item.className = className;
  const time = document.createElement('time');
  time.textContent = new Date().toLocaleTimeString('en-GB');
  const what = document.createElement('span');
  what.textContent = text;
  item.append(time, what);
  list.prepend(item);
  while (list.childElementCount > MAX_LOG) list.lastElementChild.remove();
}

function setConnection(state, text) {
  $('connection').dataset.state = state;
  $('connection').textContent = text;
}

function span(className) {
  const element = document.createElement('span');
  element.className = className;
  return element;
}

function duration(ms) {
  if (ms === undefined) return '–';
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
