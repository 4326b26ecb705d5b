/** Owns the plots: each is drawn for the width it has, and says in a table what it shows. */
import { frame, linearScale, logDomain, logScale } from './axes.js';
import { el, seriesClass, svg, swatch, withTip } from './dom.js';
import { dollars, duration, milliseconds, score, short } from './format.js';
import { dataTable } from './table.js';

const HEIGHT = 300;
/** Lines beyond this many cannot be told apart by their names at the end. */
const MAX_TAGS_DRAWN = 24;

/** A figure whose drawing follows its width. */
function plot(title, note, draw, data) {
  const canvas = el('div', { class: 'canvas' });
  let drawn = 0;
  const observer = new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (width === drawn || width < 40) return;
    drawn = width;
    canvas.replaceChildren(draw(width));
  });
  observer.observe(canvas);
  return el('figure', { class: 'plot' }, el('figcaption', {}, el('h3', {}, title), el('p', {}, note)), canvas, data);
}

function legend(agents) {
  return el(
    'ul',
    { class: 'legend' },
    agents.map(({ agent }, i) => el('li', {}, swatch(i), agent)),
  );
}

export function drawPlots({ manifest, summary }) {
  const { agents, throughput, tags } = summary;
  const figures = [
    latencyPlot(agents),
    summary.agents.some(({ score }) => score !== null) && costPlot(agents),
    throughput && throughputPlot(agents, throughput),
    tags.length > 0 && tagPlot(agents, tags, summary.tagsLeftOut),
  ].filter(Boolean);
  return [manifest.agents.length > 1 && legend(agents), el('div', { class: 'plots' }, figures)];
}

function latencyPlot(agents) {
  const timed = agents.map((agent, i) => ({ ...agent, i })).filter(({ latency }) => latency !== null);
  if (timed.length === 0) return undefined;
  const draw = (width) => {
    const area = { left: 52, top: 26, right: width - 28, bottom: HEIGHT - 46 };
    const x = logScale(logDomain(timed.flatMap(({ latency }) => [latency.percentiles[1], latency.max])), [
      area.left,
      area.right,
    ]);
    const y = linearScale([0, 1], [area.bottom, area.top]);
    const lines = timed.map(({ i, latency }) => {
      const points = latency.percentiles.map((ms, p) => `${x(ms).toFixed(1)},${y(p / 100).toFixed(1)}`);
      return svg('polyline', { class: `line ${seriesClass(i)}`, points: points.join(' ') });
    });
    const marks = timed.flatMap(({ agent, i, latency }) =>
      [
        ['median', latency.p50, 0.5],
        ['95th percentile', latency.p95, 0.95],
      ].map(([name, ms, p]) =>
        withTip(
          svg('circle', { class: `dot ${seriesClass(i)}`, cx: x(ms), cy: y(p), r: 5 }),
          `${agent}: ${name} ${milliseconds(ms)}`,
        ),
      ),
    );
    return canvasSvg(width, HEIGHT, 'Latency: the share of replies that came within a time, for each agent', [
      frame({
        area,
        x,
        y,
        xTicks: x.ticks(Math.floor(width / 70)),
        yTicks: [0, 0.25, 0.5, 0.75, 1],
        xText: milliseconds,
        yText: (tick) => `${tick * 100} %`,
        xName: 'time to the whole reply (logarithmic)',
        yName: 'replies within',
      }),
      lines,
      marks,
    ]);
  };
  const rows = timed.map(({ agent, latency, firstToken }) => [
    agent,
    milliseconds(latency.p50),
    milliseconds(latency.p95),
    milliseconds(latency.max),
    milliseconds(firstToken?.p50),
    milliseconds(firstToken?.p95),
  ]);
  const heads = ['Agent', 'Median', '95 %', 'Longest', 'First text, median', 'First text, 95 %'];
  return plot(
    'Latency',
    'The share of replies that came within a time; further left is faster. Dots: median and 95th percentile.',
    draw,
    dataTable('As a table', heads, rows),
  );
}

function costPlot(agents) {
  const hasCost = agents.some(({ costPerResult }) => costPerResult !== null);
  const [key, write, name] = hasCost
    ? ['costPerResult', dollars, 'US dollars a result']
    : ['tokensPerResult', short, 'tokens a result'];
  const shown = agents
    .map((agent, i) => ({ ...agent, i, spent: agent[key] }))
    .filter(({ score, spent }) => score !== null && spent !== null);
  if (shown.length === 0) return undefined;
  const draw = (width) => {
    const area = { left: 52, top: 26, right: width - 24, bottom: HEIGHT - 46 };
    const most = Math.max(...shown.map(({ spent }) => spent.interval?.high ?? spent.value));
    const x = linearScale([0, most > 0 ? most * 1.08 : 1], [area.left, area.right]);
    const y = linearScale([0, 1], [area.bottom, area.top]);
    const marks = shown.map(({ agent, i, score: value, spent }) => {
      const [cx, cy] = [x(spent.value), y(value.value)];
      const isRight = cx > (area.left + area.right) / 2;
      return svg(
        'g',
        { class: seriesClass(i) },
        bar(x(spent.interval?.low ?? spent.value), cy, x(spent.interval?.high ?? spent.value), cy),
        bar(cx, y(value.interval?.low ?? value.value), cx, y(value.interval?.high ?? value.value)),
        withTip(
          svg('circle', { class: `dot ${seriesClass(i)}`, cx, cy, r: 6 }),
          `${agent}: score ${score(value.value)}${between(value.interval, score)}, ${write(spent.value)}${between(spent.interval, write)} a result`,
        ),
        svg(
          'text',
          { class: 'label', x: cx + (isRight ? -11 : 11), y: cy - 9, 'text-anchor': isRight ? 'end' : 'start' },
          cut(agent, 24),
        ),
      );
    });
    return canvasSvg(width, HEIGHT, `Score against ${name}, for each agent`, [
      frame({
        area,
        x,
        y,
        xTicks: x.ticks(Math.floor(width / 110)),
        yTicks: [0, 0.25, 0.5, 0.75, 1],
        xText: write,
        yText: (tick) => tick.toFixed(2),
        xName: name,
        yName: 'score',
      }),
      marks,
    ]);
  };
  const rows = shown.map(({ agent, score: value, spent }) => [
    agent,
    score(value.value),
    between(value.interval, score),
    write(spent.value),
    between(spent.interval, write),
  ]);
  const title = hasCost ? 'Cost against score' : 'Tokens against score';
  const note = `Higher is better, further left is cheaper; lines are 95 % intervals.${hasCost ? '' : ' Costs are not known: the configuration has no prices.'}`;
  return plot(title, note, draw, dataTable('As a table', ['Agent', 'Score', '95 %', name, '95 %'], rows));
}

function throughputPlot(agents, { binMs, totalMs, pauses, counts }) {
  const rates = counts.map((list) => list.map((number) => (number * 1_000) / binMs));
  const most = Math.max(...rates.flat(), 0.001);
  const draw = (width) => {
    const area = { left: 52, top: 26, right: width - 28, bottom: HEIGHT - 46 };
    const bins = counts[0]?.length ?? 1;
    const x = linearScale([0, bins * binMs], [area.left, area.right]);
    const y = linearScale([0, most * 1.05], [area.bottom, area.top]);
    const lines = rates.map((list, i) =>
      svg('polyline', {
        class: `line ${seriesClass(i)}`,
        points: list
          .flatMap((rate, bin) => [bin, bin + 1].map((at) => `${x(at * binMs).toFixed(1)},${y(rate).toFixed(1)}`))
          .join(' '),
      }),
    );
    const columns = (rates[0] ?? []).map((_, bin) => {
      const text = agents.map(({ agent }, i) => `${agent} ${short(rates[i]?.[bin] ?? 0)}/s`).join('\n');
      const span = `${duration(bin * binMs)} to ${duration((bin + 1) * binMs)}`;
      return withTip(
        svg('rect', {
          class: 'column',
          x: x(bin * binMs),
          y: area.top,
          width: Math.max(1, x((bin + 1) * binMs) - x(bin * binMs)),
          height: area.bottom - area.top,
        }),
        `${span}\n${text}`,
      );
    });
    // Sixty stops would be in the way of whoever goes by keyboard: the table says the same.
    for (const column of columns) column.removeAttribute('tabindex');
    return canvasSvg(width, HEIGHT, 'Throughput: results a second over the time of the run, for each agent', [
      frame({
        area,
        x,
        y,
        xTicks: x.ticks(Math.floor(width / 90)),
        yTicks: y.ticks(5),
        xText: duration,
        yText: short,
        xName: 'time of the run',
        yName: 'results a second',
      }),
      lines,
      columns,
    ]);
  };
  const rows = (counts[0] ?? []).map((_, bin) => [duration(bin * binMs)].concat(rates.map((list) => short(list[bin]))));
  const cutOut = pauses === 0 ? '' : ` ${pauses} ${pauses === 1 ? 'pause is' : 'pauses are'} left out.`;
  const note = `Results a second, in steps of ${duration(binMs)} over ${duration(totalMs)}.${cutOut}`;
  return plot(
    'Throughput',
    note,
    draw,
    dataTable('As a table', ['From', ...agents.map(({ agent }) => `${agent}, a second`)], rows),
  );
}

function tagPlot(agents, tags, leftOut) {
  const shown = tags.slice(0, MAX_TAGS_DRAWN);
  const lane = Math.max(24, 11 * agents.length + 8);
  const draw = (width) => {
    const room = Math.min(160, Math.round(width * 0.32));
    const height = shown.length * lane + 70;
    const area = { left: room, top: 22, right: width - 16, bottom: height - 44 };
    const x = linearScale([0, 1], [area.left, area.right]);
    const rows = shown.map(({ tag, cases, agents: found }, row) => {
      const middle = area.top + (row + 0.5) * lane;
      return svg(
        'g',
        {},
        svg('line', { class: 'grid', x1: area.left, x2: area.right, y1: middle, y2: middle }),
        svg('text', { x: room - 10, y: middle + 4, 'text-anchor': 'end' }, cut(tag, Math.floor(room / 7.5))),
        found.map(
          (one, i) => one && tagMark(x, middle + (i - (agents.length - 1) / 2) * 11, one, i, agents[i], tag, cases),
        ),
      );
    });
    return canvasSvg(width, height, 'Score by tag, for each agent', [
      frame({
        area,
        x,
        y: (value) => value,
        xTicks: x.ticks(width < 420 ? 2 : 4),
        yTicks: [],
        xText: (tick) => tick.toFixed(2),
        yText: String,
        xName: 'score',
      }),
      rows,
    ]);
  };
  const rows = tags.map(({ tag, cases, agents: found }) => [
    tag,
    String(cases),
    ...found.map((one) => (one === null ? '–' : `${score(one.value)}${between(one.interval, score)}`)),
  ]);
  const more =
    tags.length > shown.length ? ` The ${shown.length} largest of ${tags.length} tags; the table has all.` : '';
  const others = leftOut > 0 ? ` More tags than ${tags.length} are not counted.` : '';
  return plot(
    'Score by tag',
    `The mean score of the cases with each tag; lines are 95 % intervals.${more}${others}`,
    draw,
    dataTable('As a table', ['Tag', 'Cases', ...agents.map(({ agent }) => agent)], rows),
  );
}

function tagMark(x, y, { value, interval, results }, i, { agent }, tag, cases) {
  return svg(
    'g',
    { class: seriesClass(i) },
    bar(x(interval?.low ?? value), y, x(interval?.high ?? value), y),
    withTip(
      svg('circle', { class: `dot ${seriesClass(i)}`, cx: x(value), cy: y, r: 4.5 }),
      `${tag}, ${agent}: ${score(value)}${between(interval, score)} (${results} results of ${cases} cases)`,
    ),
  );
}

function bar(x1, y1, x2, y2) {
  return svg('line', { class: 'whisker', x1, y1, x2, y2 });
}

function between(interval, write) {
  return interval === null || interval === undefined ? '' : ` (${write(interval.low)} to ${write(interval.high)})`;
}

function canvasSvg(width, height, label, children) {
  return svg(
    'svg',
    { class: 'drawing', width, height, viewBox: `0 0 ${width} ${height}`, role: 'group', 'aria-label': label },
    children,
  );
}

function cut(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** A small drawing of an interval on the way from 0 to 1, for a cell. */
export function intervalBar({ value, interval }, i, label) {
  const x = (share) => 2 + Math.min(1, Math.max(0, share)) * 96;
  return svg(
    'svg',
    {
      class: `interval ${seriesClass(i)}`,
      viewBox: '0 0 100 12',
      role: 'img',
      'aria-label': label,
      preserveAspectRatio: 'none',
    },
    svg('line', { class: 'track', x1: 2, x2: 98, y1: 6, y2: 6 }),
    interval && svg('line', { class: 'whisker', x1: x(interval.low), x2: x(interval.high), y1: 6, y2: 6 }),
    svg('line', { class: 'value', x1: x(value), x2: x(value), y1: 1, y2: 11 }),
  );
}

export function differenceBar({ difference, interval }, reach) {
  const x = (value) => 50 + (Math.min(reach, Math.max(-reach, value)) / reach) * 48;
  return svg(
    'svg',
    { class: 'interval difference', viewBox: '0 0 100 12', 'aria-hidden': 'true', preserveAspectRatio: 'none' },
    svg('line', { class: 'track', x1: 2, x2: 98, y1: 6, y2: 6 }),
    svg('line', { class: 'zero', x1: 50, x2: 50, y1: 0, y2: 12 }),
    interval && svg('line', { class: 'whisker', x1: x(interval.low), x2: x(interval.high), y1: 6, y2: 6 }),
    svg('line', { class: 'value', x1: x(difference), x2: x(difference), y1: 1, y2: 11 }),
  );
}
