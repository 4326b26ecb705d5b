/** Owns the head of the page, the leaderboard, and what was run. */
import { el, section, swatch } from './dom.js';
import { dollars, duration, interval, milliseconds, moment, percent, plural, score, short, whole } from './format.js';
import { intervalBar } from './plots.js';
import { sortableTable } from './table.js';

const STATUS = {
  done: ['good', 'complete'],
  running: ['wait', 'under way, or ended without a word'],
  interrupted: ['wait', 'interrupted'],
  'cost-limit': ['wait', 'stopped at its cost limit'],
};

export function drawHead({ manifest, summary, madeAt, madeBy }) {
  const { suite, agents, repeats, status, startedAt, endedAt } = manifest;
  const [tone, words] = STATUS[status] ?? ['wait', status];
  const facts = [
    plural(agents.length, 'agent'),
    plural(summary.cases, 'case'),
    repeats > 1 && plural(repeats, 'repeat'),
    moment(startedAt),
    endedAt !== null && `took ${duration(Date.parse(endedAt) - Date.parse(startedAt))}`,
  ].filter(Boolean);
  return el(
    'header',
    { class: 'head' },
    el('p', { class: 'kicker' }, `Benchmark report, ${madeBy}`),
    el('h1', {}, suite.name),
    el('p', { class: 'facts' }, facts.join(' · '), ' ', el('span', { class: `pill ${tone}` }, words)),
    ...banners(manifest, summary, madeAt),
  );
}

function banners({ status, totals, suite, agents, repeats }, { results, agents: summaries }, madeAt) {
  const found = [];
  const planned = suite.cases === null ? null : suite.cases * repeats * agents.length;
  if (status !== 'done' && planned !== null) {
    found.push(
      `${whole(results)} of ${whole(planned)} results are there. The figures are of those; orrery bench with --resume runs the rest.`,
    );
  } else if (totals.skipped > 0) found.push(`${plural(totals.skipped, 'result')} were not run.`);
  if (status === 'running') found.push(`The page shows what there was at ${moment(madeAt)}.`);
  if (results > 0 && summaries.every(({ scored }) => scored === 0)) {
    found.push(
      summaries.every(({ errors, results }) => errors === results)
        ? 'Every case ended with an error: there is no score.'
        : 'No scorer had anything to compare: there is no score. Give the cases what is expected, or name another scorer.',
    );
  }
  if (results === 0) found.push('There are no results yet.');
  return found.map((text) => el('p', { class: 'banner' }, text));
}

export function drawLeaderboard({ summary }) {
  const rows = summary.agents.map((agent, i) => ({ ...agent, i }));
  const columns = leaderboardColumns(rows);
  const first = columns.find(({ isFirst }) => isFirst);
  const table = sortableTable({
    caption: 'Leaderboard',
    columns,
    rows,
    sort: rows.some(({ gradedScore }) => gradedScore !== null) ? { column: first, down: true } : {},
  });
  table.classList.add('leaderboard');
  const intro =
    'Score: mean over the results that have one, with its 95 % interval (bootstrap over cases). Passed: an error counts as not passed. The order is by score with 0 for each error.';
  return section('leaderboard', 'Leaderboard', intro, table);
}

function leaderboardColumns(rows) {
  const scorers = [...new Set(rows.flatMap(({ scorers }) => Object.keys(scorers)))];
  const hasCost = rows.some(({ cost }) => cost !== null);
  return [
    {
      label: 'Agent',
      value: ({ agent }) => agent,
      cell: ({ agent, source, i }) => [
        el('span', { class: 'agent' }, swatch(i), el('strong', {}, agent)),
        source && source !== agent && el('span', { class: 'sub' }, source),
      ],
    },
    {
      label: 'Score',
      isFirst: true,
      numeric: true,
      class: 'wide',
      value: ({ gradedScore }) => gradedScore,
      cell: scoreCell,
    },
    ...(scorers.length > 1
      ? scorers.map((name) => ({
          label: name,
          numeric: true,
          value: ({ scorers }) => scorers[name] ?? null,
          cell: ({ scorers }) => score(scorers[name]),
        }))
      : []),
    {
      label: 'Passed',
      numeric: true,
      value: ({ passRate }) => passRate?.value ?? null,
      cell: ({ passRate, passed, judged }) =>
        passRate === null
          ? '–'
          : [
              percent(passRate.value),
              el('span', { class: 'sub' }, `${whole(passed)} of ${whole(judged)}`),
              el('span', { class: 'sub' }, interval(passRate.interval, percent)),
            ],
    },
    {
      label: 'Errors',
      numeric: true,
      value: ({ errors }) => errors,
      cell: ({ errors, errorCodes }) => [
        el('span', { class: errors > 0 ? 'bad' : null }, whole(errors)),
        ...Object.entries(errorCodes)
          .slice(0, 3)
          .map(([code, number]) =>
            el('span', { class: 'sub code' }, `${code.replace('ORRERY_', '')} ${whole(number)}`),
          ),
      ],
    },
    ...(hasCost
      ? [
          {
            label: 'Cost',
            numeric: true,
            value: ({ cost }) => cost,
            cell: ({ cost, costPerResult }) => [
              dollars(cost),
              costPerResult && el('span', { class: 'sub' }, `${dollars(costPerResult.value)} a result`),
            ],
          },
        ]
      : []),
    {
      label: 'Tokens',
      hint: 'Of prompts and of replies, as the provider counts them, else as the tokenizer does',
      numeric: true,
      value: ({ inputTokens, outputTokens }) => inputTokens + outputTokens,
      cell: ({ inputTokens, outputTokens, isExact }) => [
        `${isExact ? '' : '≈ '}${short(inputTokens + outputTokens)}`,
        el('span', { class: 'sub' }, `${short(inputTokens)} in, ${short(outputTokens)} out`),
      ],
    },
    latencyColumn('p50', 'Median latency'),
    latencyColumn('p95', '95th percentile of the latency'),
  ];
}

function latencyColumn(key, hint) {
  return {
    label: key,
    hint: `${hint}; of the replies, without errors`,
    numeric: true,
    smallFirst: true,
    value: ({ latency }) => latency?.[key] ?? null,
    cell: ({ latency }) => milliseconds(latency?.[key]),
  };
}

function scoreCell({ agent, score: found, gradedScore, errors, scored, results, i }) {
  if (found === null) return '–';
  const range = interval(found.interval, score);
  return [
    el('span', { class: 'big' }, score(found.value)),
    intervalBar(found, i, `${agent}: score ${score(found.value)}${range && `, 95 % from ${range}`}`),
    el('span', { class: 'sub' }, range || 'too few cases for an interval'),
    errors > 0 && el('span', { class: 'sub' }, `${score(gradedScore)} with 0 for errors`),
    scored + errors < results && el('span', { class: 'sub' }, `${whole(scored)} of ${whole(results)} results have one`),
  ];
}

export function drawAbout({ manifest, summary, cases, madeAt, madeBy }) {
  const { id, suite, scorers, repeats, seed, options, environment, git, startedAt, endedAt, prices } = manifest;
  const rows = [
    ['Run', id],
    ['Suite', `${suite.name}, ${plural(suite.cases ?? summary.cases, 'case')} taken`],
    ['SHA-256 of the suite', el('code', {}, suite.sha256)],
    ['Scorers', scorers.join(', ')],
    ['Repeats, seed', `${repeats}, ${seed}`],
    ['Taken of the suite', selectionText(options)],
    ['Concurrency', `${options.concurrencyPerAgent} an agent, ${options.concurrency} in all`],
    ['Rates', ratesText(options)],
    ['Turn timeout', duration(options.turnTimeoutMs)],
    ['Started, ended', `${moment(startedAt)}, ${endedAt === null ? 'not yet' : moment(endedAt)}`],
    [
      'Git',
      git.revision === null
        ? 'no revision'
        : [el('code', {}, git.revision.slice(0, 12)), git.dirty ? ', with changes that are not committed' : ''],
    ],
    [
      'Machine',
      `Node ${environment.node}, Orrery ${environment.orrery}, ${environment.os}, ${plural(environment.cpus, 'core')}, ${whole(environment.memoryMb / 1024)} GiB`,
    ],
    ['Prices, a million tokens', pricesText(prices)],
    ['Page', `made ${moment(madeAt)} by ${madeBy}; texts are cut to ${whole(cases.outputChars)} characters`],
  ];
  return section(
    'run',
    'What was run',
    null,
    el(
      'dl',
      { class: 'about' },
      rows.map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value))),
    ),
  );
}

function selectionText({ tags, sample, limit }) {
  const parts = [
    tags.length > 0 && `cases with the tag ${tags.join(' or ')}`,
    sample !== null && `a sample of ${whole(sample)}`,
    limit !== null && `the first ${whole(limit)}`,
  ].filter(Boolean);
  return parts.length === 0 ? 'all cases' : parts.join(', ');
}

function ratesText({ rpm, tpm, maxCost }) {
  const parts = [
    rpm !== null && `${whole(rpm)} requests a minute`,
    tpm !== null && `${whole(tpm)} tokens a minute`,
    maxCost !== null && `at most ${dollars(maxCost)}`,
  ].filter(Boolean);
  return parts.length === 0 ? 'no limit' : parts.join(', ');
}

function pricesText(prices) {
  const list = Object.entries(prices).map(
    ([name, { inputPerMTok, outputPerMTok }]) => `${name}: ${dollars(inputPerMTok)} in, ${dollars(outputPerMTok)} out`,
  );
  return list.length === 0 ? 'none known' : list.join('; ');
}
