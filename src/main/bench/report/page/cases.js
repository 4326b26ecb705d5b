/** Owns the list of cases: filtered, sorted, and a page at a time, so that ten thousand cases are as quick as ten. */
import { drawDetails } from './details.js';
import { el, section, swatch } from './dom.js';
import { plural, score, whole } from './format.js';
import { sortRows } from './table.js';

const PAGE_SIZE = 50;
/** Milliseconds after the last key before the list is searched. */
const TYPING_MS = 120;

const STATES = [
  ['all', 'any result'],
  ['right', 'passed'],
  ['wrong', 'failed'],
  ['error', 'an error'],
  ['differs', 'agents differ'],
];

export function drawCases({ manifest, cases }) {
  const { agents } = manifest;
  const entries = cases.rows.map((row, order) => entryOf(row, order, agents.length));
  const state = { text: '', agent: -1, result: 'all', tag: '', page: 0, column: null, down: false, open: new Set() };
  const body = el('tbody');
  const count = el('p', { class: 'count', role: 'status' });
  const pager = el('nav', { class: 'pager', 'aria-label': 'Pages of cases' });
  const columns = columnsOf(agents);
  const heads = columns.map((column) => head(column, () => sortBy(column)));
  let found = entries;

  function sortBy(column) {
    state.down = state.column === column ? !state.down : column.numeric === true;
    state.column = column;
    refresh();
  }

  function refresh() {
    state.page = 0;
    const matching = entries.filter((entry) => matches(entry, state));
    found = state.column === null ? matching : sortRows(matching, state.column.value, state.down);
    for (const [i, column] of columns.entries()) {
      if (!column.value) continue;
      const order = state.column === column ? (state.down ? 'descending' : 'ascending') : 'none';
      heads[i].setAttribute('aria-sort', order);
    }
    draw();
  }

  function draw() {
    const from = state.page * PAGE_SIZE;
    const shown = found.slice(from, from + PAGE_SIZE);
    body.replaceChildren(...shown.flatMap((entry) => rowsOf(entry, agents, columns, state.open, draw)));
    if (shown.length === 0) {
      body.append(el('tr', {}, el('td', { colspan: columns.length, class: 'empty' }, 'No case fits.')));
    }
    count.textContent =
      found.length === entries.length
        ? plural(entries.length, 'case')
        : `${whole(found.length)} of ${plural(entries.length, 'case')}`;
    drawPager(pager, state.page, Math.ceil(found.length / PAGE_SIZE), (page) => {
      state.page = page;
      draw();
      table.scrollIntoView({ block: 'start' });
    });
  }

  const filters = drawFilters(cases.rows, agents, state, refresh);
  const table = el(
    'div',
    { class: 'scroll cases', tabindex: '0', role: 'region', 'aria-label': 'Cases' },
    el('table', {}, el('caption', { class: 'visually-hidden' }, 'Cases'), el('thead', {}, el('tr', {}, heads)), body),
  );
  openLinked(entries, state);
  draw();
  return section('cases', 'Cases', introOf(cases), filters, count, table, pager);
}

/** What the list is searched and sorted by. */
function entryOf(row, order, agents) {
  const results = Array.from({ length: agents }, () => []);
  for (const result of row.results) results[result.agent]?.push(result);
  const means = results.map(meanScore);
  const known = means.filter((mean) => mean !== null);
  const states = results.map(stateOf);
  const judged = new Set(states.filter((one) => one !== undefined));
  return {
    row,
    order,
    results,
    means,
    states,
    differs: judged.size > 1 || new Set(known).size > 1,
    spread: known.length > 1 ? Math.max(...known) - Math.min(...known) : null,
    haystack: undefined,
  };
}

function meanScore(results) {
  const scores = results.map(({ score }) => score).filter((value) => value !== null);
  return scores.length === 0 ? null : scores.reduce((sum, value) => sum + value, 0) / scores.length;
}

/** One word for an agent's results of a case: an error in any, else failed in any, else passed. */
function stateOf(results) {
  if (results.some(({ error }) => error)) return 'error';
  if (results.some(({ passed }) => passed === false)) return 'wrong';
  return results.some(({ passed }) => passed === true) ? 'right' : undefined;
}

function matches(entry, { text, agent, result, tag }) {
  if (tag !== '' && !(entry.row.tags ?? []).includes(tag)) return false;
  if (result === 'differs' && !entry.differs) return false;
  if (result !== 'all' && result !== 'differs') {
    const states = agent < 0 ? entry.states : [entry.states[agent]];
    if (!states.includes(result)) return false;
  }
  if (agent >= 0 && entry.results[agent].length === 0) return false;
  return text === '' || haystackOf(entry).includes(text);
}

function haystackOf(entry) {
  const { id, input, expected = [], tags = [], results } = entry.row;
  entry.haystack ??= [
    id,
    input,
    ...expected,
    ...tags,
    ...results.map(({ output, error }) => `${output}\n${error?.code ?? ''} ${error?.message ?? ''}`),
  ]
    .join('\n')
    .toLowerCase();
  return entry.haystack;
}

function columnsOf(agents) {
  return [
    { label: 'Case', class: 'id', value: ({ order }) => order },
    { label: 'Input', class: 'input' },
    ...agents.map((agent, i) => ({
      label: agent,
      agent: i,
      numeric: true,
      class: 'verdict',
      value: ({ means }) => means[i],
    })),
    ...(agents.length > 1
      ? [
          {
            label: 'Spread',
            hint: 'Best score less worst',
            class: 'number spread',
            numeric: true,
            value: ({ spread }) => spread,
          },
        ]
      : []),
  ];
}

function head(column, onSort) {
  if (!column.value) return el('th', { scope: 'col', class: column.class }, column.label);
  const label = [column.agent === undefined ? null : swatch(column.agent), column.label];
  const button = el('button', { type: 'button', class: 'sort', title: column.hint, onclick: onSort }, label);
  return el('th', { scope: 'col', class: column.class }, button);
}

function rowsOf(entry, agents, columns, open, draw) {
  const { row } = entry;
  const isOpen = open.has(entry);
  const toggle = () => {
    if (isOpen) open.delete(entry);
    else open.add(entry);
    remember(isOpen ? undefined : row.id);
    draw();
    // The button was drawn anew: whoever goes by keyboard stays where they were.
    document.getElementById(`case-${entry.order}`)?.focus();
  };
  const button = el(
    'button',
    { type: 'button', class: 'open', id: `case-${entry.order}`, 'aria-expanded': String(isOpen), onclick: toggle },
    el('span', { class: 'arrow', 'aria-hidden': 'true' }),
    row.id,
  );
  const cells = [
    el(
      'td',
      { class: 'id' },
      button,
      row.tags &&
        el(
          'span',
          { class: 'tags' },
          row.tags.map((tag) => el('span', {}, tag)),
        ),
    ),
    el('td', { class: 'input' }, el('span', { class: 'clip' }, row.input.slice(0, 240))),
    entry.states.map((state, i) => el('td', { class: 'verdict' }, cellOf(state, entry.means[i], agents[i]))),
    agents.length > 1 && el('td', { class: 'number spread' }, entry.spread === null ? '–' : score(entry.spread)),
  ];
  const line = el('tr', { class: isOpen ? 'is-open' : null }, cells);
  line.addEventListener('click', (event) => {
    if (event.target.closest('button') === null && getSelection().isCollapsed) toggle();
  });
  return isOpen
    ? [line, el('tr', { class: 'more' }, el('td', { colspan: columns.length }, drawDetails(row, agents)))]
    : [line];
}

function cellOf(state, mean, agent) {
  const [sign, word, tone] = {
    right: ['✓', 'passed', 'right'],
    wrong: ['✗', 'failed', 'wrong'],
    error: ['!', 'error', 'error'],
  }[state] ?? ['', 'not judged', ''];
  return el(
    'span',
    { class: `chip ${tone}` },
    el('span', { 'aria-hidden': 'true' }, sign),
    el('span', { class: 'visually-hidden' }, `${agent}: ${word}`),
    mean === null ? (state === 'error' ? ' error' : ' –') : ` ${mean.toFixed(2)}`,
  );
}

function drawFilters(rows, agents, state, refresh) {
  let timer;
  const search = el('input', { type: 'search', placeholder: 'Search ids, inputs and outputs', 'aria-label': 'Search' });
  search.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      state.text = search.value.trim().toLowerCase();
      refresh();
    }, TYPING_MS);
  });
  const choose = (label, options, apply) => {
    const select = el(
      'select',
      { 'aria-label': label },
      options.map(([value, text]) => el('option', { value }, text)),
    );
    select.addEventListener('change', () => {
      apply(select.value);
      refresh();
    });
    return select;
  };
  const tags = [...new Set(rows.flatMap(({ tags = [] }) => tags))].toSorted((a, b) => (a < b ? -1 : 1));
  const states = agents.length > 1 ? STATES : STATES.filter(([value]) => value !== 'differs');
  return el(
    'div',
    { class: 'filters', role: 'search' },
    search,
    agents.length > 1 &&
      choose('Agent', [['-1', 'any agent'], ...agents.map((agent, i) => [String(i), agent])], (value) => {
        state.agent = Number(value);
      }),
    choose('Result', states, (value) => {
      state.result = value;
    }),
    tags.length > 0 &&
      choose('Tag', [['', 'any tag'], ...tags.map((tag) => [tag, tag])], (value) => {
        state.tag = value;
      }),
  );
}

function drawPager(pager, page, pages, go) {
  if (pages <= 1) {
    pager.replaceChildren();
    return;
  }
  const step = (text, to, isOff) =>
    el('button', { type: 'button', class: 'plain', disabled: isOff, onclick: () => go(to) }, text);
  pager.replaceChildren(
    step('First', 0, page === 0),
    step('Previous', page - 1, page === 0),
    el('span', {}, `Page ${whole(page + 1)} of ${whole(pages)}`),
    step('Next', page + 1, page >= pages - 1),
    step('Last', pages - 1, page >= pages - 1),
  );
}

/** A link to the page with a case's id opens that case. */
function openLinked(entries, state) {
  const id = linkedCase();
  const at = id === undefined ? -1 : entries.findIndex(({ row }) => row.id === id);
  if (at < 0) return;
  state.open.add(entries[at]);
  state.page = Math.floor(at / PAGE_SIZE);
}

export function linkedCase() {
  const { hash } = location;
  if (!hash.startsWith('#case=')) return undefined;
  try {
    return decodeURIComponent(hash.slice('#case='.length));
  } catch {
    return undefined; // somebody wrote it by hand
  }
}

function remember(id) {
  const hash = id === undefined ? location.pathname : `#case=${encodeURIComponent(id)}`;
  try {
    history.replaceState(null, '', hash);
  } catch {
    // A page in a frame may not.
  }
}

function introOf({ rows, total, cut, outputChars, repeatsLeftOut }) {
  const parts = [];
  if (rows.length < total) {
    parts.push(
      `${whole(rows.length)} of ${whole(total)} cases are listed: those with an error first, then those on which the agents differ, then those that failed, then others. All figures above cover every case.`,
    );
  }
  if (cut > 0)
    parts.push(`${plural(cut, 'output')} cut, most to ${whole(outputChars)} characters: results.jsonl has them whole.`);
  if (repeatsLeftOut > 0) parts.push('Of each case the first five repeats are shown.');
  return (
    parts.join(' ') ||
    'A line opens to the replies side by side; words that the reply shares with the expectation are marked.'
  );
}
