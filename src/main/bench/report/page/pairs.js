/** Owns the comparison of agents with each other. */
import { el, section, swatch } from './dom.js';
import { interval, pValue, plural, signedScore, whole } from './format.js';
import { differenceBar } from './plots.js';
import { sortableTable } from './table.js';

const LEVEL = 0.05;

export function drawPairs({ manifest, summary }) {
  const { pairs, pairing } = summary;
  if (pairs.length === 0) return undefined;
  const index = new Map(manifest.agents.map((agent, i) => [agent, i]));
  const rows = pairs
    .map(betterSecond)
    .map((pair) => Object.assign(pair, { i: index.get(pair.first), j: index.get(pair.second) }));
  const reach = reachOf(rows);
  const table = sortableTable({
    caption: 'Pairs of agents',
    columns: pairColumns(reach, rows.length > 1),
    rows,
    sort: {},
  });
  table.classList.add('pairs');
  return section(
    'pairs',
    rows.length > 1 ? 'Agent against agent' : `${rows[0].second} against ${rows[0].first}`,
    null,
    rows.length === 1 && el('p', { class: 'verdict' }, verdict(rows[0])),
    rows.length > 2 && pairing === 'all' && matrix(manifest.agents, rows),
    table,
    el('p', { class: 'note' }, explanation(rows, pairing)),
  );
}

/** The pair so that its second agent is the one with the higher score: differences then read as gains. */
function betterSecond(pair) {
  const { first, second, onlyFirst, onlySecond, difference, interval: range } = pair;
  if (difference === null || difference >= 0) return { ...pair };
  return {
    ...pair,
    first: second,
    second: first,
    onlyFirst: onlySecond,
    onlySecond: onlyFirst,
    difference: -difference,
    interval: range && { low: -range.high, high: -range.low },
  };
}

/** In a sentence, what two agents' comparison comes to. */
function verdict({ first, second, difference, interval: range, test, adjusted, onlyFirst, onlySecond, cases }) {
  if (difference === null && test === null) return `${first} and ${second} have no case that both were judged on.`;
  const p = adjusted ?? test?.pValue;
  const isSure = range !== null && (range.low > 0 || range.high < 0);
  const size = difference === null ? '' : ` by ${Math.abs(difference).toFixed(3)} a case`;
  const judged = `On ${plural(cases, 'case')} that both were judged on, ${first} alone passed ${whole(onlyFirst)} and ${second} alone ${whole(onlySecond)} (p ${p !== null && p < 0.001 ? '' : '= '}${pValue(p)}).`;
  if (isSure) return `${second} scores higher than ${first}${size}. ${judged}`;
  return `The scores of ${first} and ${second} do not differ by more than chance can make. ${judged}`;
}

function reachOf(rows) {
  const ends = rows.flatMap(({ interval: range, difference }) => [
    Math.abs(range?.low ?? difference ?? 0),
    Math.abs(range?.high ?? difference ?? 0),
  ]);
  return Math.max(0.05, ...ends);
}

function pairColumns(reach, isMany) {
  return [
    {
      label: 'Pair',
      value: ({ first, second }) => `${first} ${second}`,
      cell: ({ first, second, i, j }) =>
        el(
          'span',
          { class: 'pair' },
          el('span', { class: 'agent' }, swatch(j), second),
          el('span', { class: 'sub' }, 'against'),
          el('span', { class: 'agent' }, swatch(i), first),
        ),
    },
    {
      label: 'Difference of score',
      hint: 'Mean over the cases that both were judged on, with its 95 % interval (paired bootstrap)',
      numeric: true,
      class: 'wide',
      value: ({ difference }) => difference,
      cell: (row) =>
        row.difference === null
          ? '–'
          : [
              el('span', { class: 'big' }, signedScore(row.difference)),
              differenceBar(row, reach),
              el('span', { class: 'sub' }, interval(row.interval, signedScore)),
              el('span', { class: 'sub' }, plural(row.cases, 'case')),
            ],
    },
    {
      label: 'Passed by one alone',
      hint: 'Cases that exactly one of the two passed',
      numeric: true,
      value: ({ onlyFirst, onlySecond }) => onlySecond - onlyFirst,
      cell: ({ first, second, onlyFirst, onlySecond, bothPassed, neitherPassed, i, j }) => [
        el('span', { class: 'alone' }, swatch(j), whole(onlySecond), ' : ', whole(onlyFirst), swatch(i)),
        el('span', { class: 'visually-hidden' }, `${second} ${onlySecond}, ${first} ${onlyFirst}`),
        el('span', { class: 'sub' }, `both ${whole(bothPassed)}, neither ${whole(neitherPassed)}`),
      ],
    },
    {
      label: 'p',
      hint: 'McNemar’s test: how often chance alone would make two equal agents differ by so much',
      numeric: true,
      smallFirst: true,
      value: ({ test }) => test?.pValue ?? null,
      cell: ({ test }) =>
        test === null
          ? '–'
          : [
              pValue(test.pValue),
              el(
                'span',
                { class: 'sub' },
                test.method === 'exact' ? 'exact binomial' : `χ² = ${test.statistic.toFixed(2)}, corrected`,
              ),
            ],
    },
    ...(isMany
      ? [
          {
            label: 'p, adjusted',
            hint: 'Holm’s adjustment for all the pairs together',
            numeric: true,
            smallFirst: true,
            value: ({ adjusted }) => adjusted,
            cell: ({ adjusted }) =>
              adjusted === null
                ? '–'
                : [
                    el('strong', { class: adjusted < LEVEL ? 'good' : null }, pValue(adjusted)),
                    el('span', { class: 'sub' }, adjusted < LEVEL ? 'differ' : 'may be chance'),
                  ],
          },
        ]
      : []),
  ];
}

/** Differences of score of each row's agent to each column's; what is surer than chance stands out. */
function matrix(agents, rows) {
  const cell = (i, j) => {
    if (i === j) return el('td', { class: 'self' }, '');
    const pair = rows.find((row) => (row.i === i && row.j === j) || (row.i === j && row.j === i));
    if (!pair || pair.difference === null) return el('td', {}, '–');
    const value = pair.i === j ? pair.difference : -pair.difference;
    const isSure = pair.adjusted !== null && pair.adjusted < LEVEL;
    const tone = value > 0 ? 'up' : value < 0 ? 'down' : '';
    return el('td', { class: `number ${tone}${isSure ? ' sure' : ''}` }, signedScore(value));
  };
  return el(
    'div',
    { class: 'scroll matrix', tabindex: '0', role: 'region', 'aria-label': 'Differences of score' },
    el(
      'table',
      {},
      el(
        'caption',
        {},
        'Score of the row’s agent less that of the column’s. Strong: differs after Holm’s adjustment (p < 0.05).',
      ),
      el(
        'thead',
        {},
        el(
          'tr',
          {},
          el('td', {}),
          agents.map((agent, j) => el('th', { scope: 'col' }, swatch(j), agent)),
        ),
      ),
      el(
        'tbody',
        {},
        agents.map((agent, i) =>
          el(
            'tr',
            {},
            el('th', { scope: 'row' }, swatch(i), agent),
            agents.map((_, j) => cell(i, j)),
          ),
        ),
      ),
    ),
  );
}

function explanation(rows, pairing) {
  const methods = new Set(rows.flatMap(({ test }) => (test ? [test.method] : [])));
  const names = [
    methods.has('exact') && 'the exact binomial distribution (fewer than 25 cases that one alone passed)',
    methods.has('chi-squared') && 'chi-squared with continuity correction (25 and more)',
  ].filter(Boolean);
  return [
    'Difference: the mean over the cases that both were judged on, with a 95 % interval from the paired bootstrap. An error scores 0 and did not pass. ',
    `p: McNemar’s test on passed and not passed, by ${names.join(' and ')}. `,
    rows.length > 1 && 'Intervals are not adjusted for the number of pairs; the last column is. ',
    pairing === 'best' && 'With so many agents, each is compared with the best one alone. ',
    'A large p does not show that two agents are equal: there may be too few cases to tell.',
  ].filter(Boolean);
}
