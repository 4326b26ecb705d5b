/** Owns tables that are sorted by their heads. */
import { el } from './dom.js';

/**
 * A column is `{ label, hint?, numeric?, value(row), cell(row), class? }`; without `value` it is not sorted by. Null values stand last either way.
 * `down` sorts from the largest on.
 */
export function sortableTable({ caption, columns, rows, sort, rowClass }) {
  let state = sort;
  const body = el('tbody');
  const heads = columns.map((column) => {
    if (!column.value) return el('th', { scope: 'col', class: column.class, title: column.hint }, column.label);
    const button = el('button', { type: 'button', class: 'sort', title: column.hint }, column.label);
    button.addEventListener('click', () => {
      const down = state.column === column ? !state.down : column.numeric === true && column.smallFirst !== true;
      state = { column, down };
      draw();
    });
    return el('th', { scope: 'col', class: classOf(column) }, button);
  });
  function draw() {
    for (const [i, column] of columns.entries()) {
      if (!column.value) continue;
      const order = state.column === column ? (state.down ? 'descending' : 'ascending') : 'none';
      heads[i].setAttribute('aria-sort', order);
    }
    const sorted = state.column ? sortRows(rows, state.column.value, state.down) : rows;
    body.replaceChildren(
      ...sorted.map((row) =>
        el(
          'tr',
          { class: rowClass?.(row) },
          columns.map((column) => el('td', { class: classOf(column) }, column.cell(row))),
        ),
      ),
    );
  }
  draw();
  const table = el(
    'table',
    {},
    el('caption', { class: 'visually-hidden' }, caption),
    el('thead', {}, el('tr', {}, heads)),
    body,
  );
  return el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption }, table);
}

const collator = new Intl.Collator('en', { numeric: true });

/** A sorted copy; rows without a value stand last. */
export function sortRows(rows, value, down) {
  const keyed = rows.map((row) => ({ row, key: value(row) }));
  keyed.sort((a, b) => {
    if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
    const order = typeof a.key === 'number' ? a.key - b.key : collator.compare(a.key, b.key);
    return down ? -order : order;
  });
  return keyed.map(({ row }) => row);
}

/** A plain table of what a plot shows. */
export function dataTable(summary, heads, rows) {
  return el(
    'details',
    { class: 'data' },
    el('summary', {}, summary),
    el(
      'div',
      { class: 'scroll' },
      el(
        'table',
        {},
        el(
          'thead',
          {},
          el(
            'tr',
            {},
            heads.map((head) => el('th', { scope: 'col' }, head)),
          ),
        ),
        el(
          'tbody',
          {},
          rows.map((row) =>
            el(
              'tr',
              {},
              row.map((cell) => el('td', {}, cell)),
            ),
          ),
        ),
      ),
    ),
  );
}

function classOf({ numeric, class: name }) {
  return [numeric === true ? 'number' : '', name ?? ''].join(' ').trim() || null;
}
