/** Owns scales, their ticks and the frame of a plot. */
import { svg } from './dom.js';

export function linearScale([from, to], [start, end]) {
  const span = to - from || 1;
  const scale = (value) => start + ((value - from) / span) * (end - start);
  return Object.assign(scale, { ticks: (most) => linearTicks(from, to, most) });
}

export function logScale([from, to], [start, end]) {
  const [low, high] = [Math.log10(from), Math.log10(to)];
  const span = high - low || 1;
  const scale = (value) => start + ((Math.log10(Math.max(value, from)) - low) / span) * (end - start);
  return Object.assign(scale, { ticks: (most) => logTicks(from, to, most) });
}

/** A domain of whole decades' parts around values above 0. */
export function logDomain(values) {
  const above = values.filter((value) => value > 0);
  const low = Math.min(...above);
  const high = Math.max(...above);
  if (!Number.isFinite(low)) return [1, 10];
  const step = (value, round) => {
    const decade = 10 ** Math.floor(Math.log10(value));
    const parts = [1, 2, 5, 10].map((part) => part * decade);
    return round === 'down' ? parts.findLast((part) => part <= value) : parts.find((part) => part >= value);
  };
  const domain = [step(low, 'down') ?? low, step(high, 'up') ?? high];
  return domain[0] === domain[1] ? [domain[0] / 2, domain[1] * 2] : domain;
}

function linearTicks(from, to, most) {
  const raw = (to - from) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(raw || 1));
  const step = [1, 2, 5, 10].map((part) => part * power).find((size) => size >= raw - 1e-12) ?? power;
  const ticks = [];
  for (let i = Math.ceil(from / step - 1e-9) || 0; i * step <= to + step * 1e-9; i++) ticks.push(i * step);
  return ticks;
}

function logTicks(from, to, most) {
  const decades = Math.log10(to / from);
  const parts = decades * 3 <= most ? [1, 2, 5] : decades <= most ? [1] : null;
  const ticks = [];
  const stride = parts === null ? Math.ceil(decades / most) : 1;
  for (let power = Math.floor(Math.log10(from)); 10 ** power <= to * 1.001; power += stride) {
    for (const part of parts ?? [1]) {
      const tick = part * 10 ** power;
      if (tick >= from * 0.999 && tick <= to * 1.001) ticks.push(tick);
    }
  }
  return ticks;
}

/** Draws grid, ticks and names of the axes around an area `{ left, top, right, bottom }`. */
export function frame({ area, x, y, xTicks, yTicks, xText, yText, xName, yName }) {
  const { left, top, right, bottom } = area;
  return svg(
    'g',
    { class: 'axes', 'aria-hidden': 'true' },
    yTicks.map((tick) => [
      svg('line', { class: 'grid', x1: left, x2: right, y1: y(tick), y2: y(tick) }),
      svg('text', { x: left - 8, y: y(tick) + 4, 'text-anchor': 'end' }, yText(tick)),
    ]),
    xTicks.map((tick) => [
      svg('line', { class: 'grid', x1: x(tick), x2: x(tick), y1: top, y2: bottom }),
      svg('text', { x: x(tick), y: bottom + 18, 'text-anchor': 'middle' }, xText(tick)),
    ]),
    svg('line', { class: 'base', x1: left, x2: right, y1: bottom, y2: bottom }),
    svg('text', { class: 'name', x: right, y: bottom + 36, 'text-anchor': 'end' }, xName),
    yName && svg('text', { class: 'name', x: left, y: top - 10, 'text-anchor': 'start' }, yName),
  );
}
