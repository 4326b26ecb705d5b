/** Owns one case in full: what was asked, what was expected, and the agents' replies side by side. */
import { bestDiff } from './diff.js';
import { el, swatch } from './dom.js';
import { dollars, milliseconds, plural, score, short, whole } from './format.js';

export function drawDetails(row, agents) {
  const results = agents.map((_, i) => row.results.filter(({ agent }) => agent === i));
  return el(
    'div',
    { class: 'details' },
    el(
      'div',
      { class: 'asked' },
      block('Input', row.input),
      row.expected && block(row.expected.length > 1 ? 'Expected texts' : 'Expected', ...row.expected),
    ),
    el(
      'div',
      { class: 'side-by-side' },
      results.map((list, i) => agentCard(agents[i], i, list, row.expected)),
    ),
  );
}

function block(title, ...texts) {
  return el(
    'div',
    { class: 'block' },
    el('h4', {}, title),
    texts.map((text) => el('pre', { tabindex: '0' }, text)),
  );
}

function agentCard(agent, i, results, expected) {
  return el(
    'article',
    { class: 'card' },
    el('h4', { class: 'agent' }, swatch(i), agent),
    results.length === 0 && el('p', { class: 'sub' }, 'No result.'),
    results.map((result) => reply(result, expected, results.length > 1)),
  );
}

function reply(result, expected, isOneOfMany) {
  const { repeat, output, cut, score: value, error, ms, tokens, cost, scores } = result;
  const facts = [
    isOneOfMany && `repeat ${repeat + 1}`,
    milliseconds(ms),
    `${short(tokens[1])} tokens`,
    cost !== null && dollars(cost),
  ].filter(Boolean);
  return el(
    'div',
    { class: 'reply' },
    el(
      'p',
      { class: 'line' },
      verdictChip(result),
      value !== null && el('strong', {}, score(value)),
      el('span', { class: 'sub' }, facts.join(' · ')),
    ),
    scores.length > 1 || scores.some(([, , detail]) => detail !== '')
      ? el(
          'ul',
          { class: 'scores' },
          scores.map(([name, one, detail]) => el('li', {}, `${name} ${score(one)}`, detail && `: ${detail}`)),
        )
      : null,
    error && el('p', { class: 'failure' }, el('code', {}, error.code), ' ', error.message),
    (output !== '' || !error) && outputBlock(output, expected),
    cut !== undefined && el('p', { class: 'sub' }, `${plural(cut, 'character')} more in results.jsonl`),
  );
}

function outputBlock(output, expected) {
  if (output === '') return el('p', { class: 'sub' }, 'An empty reply.');
  const diff = expected && bestDiff(expected, output);
  if (!diff) return el('pre', { tabindex: '0' }, output);
  const missing = diff.expected.filter(({ kind }) => kind === 'missing');
  return [
    el('pre', { tabindex: '0' }, marked(diff.output)),
    missing.length > 0 &&
      el(
        'p',
        { class: 'sub missing' },
        'Not in the reply: ',
        missing.slice(0, 30).map(({ text }) => el('del', {}, text)),
        missing.length > 30 && ` and ${whole(missing.length - 30)} more`,
      ),
  ];
}

function marked(pieces) {
  return pieces.map(({ text, kind }) => {
    if (kind === 'same') return el('mark', { class: 'same' }, text);
    return kind === 'extra' ? el('mark', { class: 'extra' }, text) : text;
  });
}

/** What became of a result, in a sign and a word. */
export function verdictChip({ passed, error }) {
  if (error) return el('span', { class: 'chip error' }, el('span', { 'aria-hidden': 'true' }, '!'), ' error');
  if (passed === true)
    return el('span', { class: 'chip right' }, el('span', { 'aria-hidden': 'true' }, '✓'), ' passed');
  if (passed === false)
    return el('span', { class: 'chip wrong' }, el('span', { 'aria-hidden': 'true' }, '✗'), ' failed');
  return el('span', { class: 'chip' }, 'not judged');
}
