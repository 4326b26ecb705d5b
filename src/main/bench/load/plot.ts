/** Owns plots as SVG text: axes, grid and lines, with no script and nothing from elsewhere. Colours are the page's, by class. */
import { escapeText } from '../html.ts';

export interface Line {
  readonly label: string;
  /** Which colour of the page; lines of one target have one. */
  readonly colour: number;
  readonly style: 'solid' | 'dashed' | 'dotted';
  /** In the order of x; a null is a gap. */
  readonly points: readonly (readonly [x: number, y: number | null])[];
}

interface Tick {
  readonly at: number;
  readonly label: string;
}

export interface PlotOptions {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly lines: readonly Line[];
  /** Where the x axis ends; both in the points' own scale. */
  readonly from: number;
  readonly to: number;
  readonly ticks: readonly Tick[];
}

const WIDTH = 920;
const HEIGHT = 340;
const LEFT = 72;
const RIGHT = 32;
const TOP = 16;
const BOTTOM = 48;

/** Colours that the page has; further lines take them again. */
export const COLOURS = 6;

export function plot(options: PlotOptions): string {
  const { title, x, y, lines, from, to } = options;
  const most = Math.max(0, ...lines.flatMap(({ points }) => points.map(([, value]) => value ?? 0)));
  const ticks = linearTicks(most);
  const top = ticks.at(-1)?.at ?? 1;
  const toX = (value: number): number => LEFT + ((value - from) / (to - from || 1)) * (WIDTH - LEFT - RIGHT);
  const toY = (value: number): number => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  return [
    `<figure><figcaption>${escapeText(title)}</figcaption>`,
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeText(title)}">`,
    ...ticks.map(({ at, label }) => horizontal(toY(at), label)),
    ...options.ticks.map(({ at, label }) => vertical(toX(at), label)),
    `<text class="axis" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escapeText(x)}</text>`,
    `<text class="axis" x="14" y="${(TOP + HEIGHT - BOTTOM) / 2}" text-anchor="middle" transform="rotate(-90 14 ${(TOP + HEIGHT - BOTTOM) / 2})">${escapeText(y)}</text>`,
    ...lines.map((line) => path(line, toX, toY)),
    '</svg>',
    legend(lines),
    '</figure>',
  ].join('\n');
}

/** Ticks from 0 at 1, 2 or 5 times a power of ten, the last of them at or above the most. */
export function linearTicks(most: number, about = 5): readonly Tick[] {
  const step = niceStep((most > 0 ? most : 1) / about);
  const count = Math.max(1, Math.ceil((most / step) * (1 - 1e-9)));
  return Array.from({ length: count + 1 }, (_, i) => ({ at: i * step, label: shortNumber(i * step) }));
}

function niceStep(atLeast: number): number {
  const power = 10 ** Math.floor(Math.log10(atLeast));
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= atLeast * (1 - 1e-9)) ?? 10);
}

function horizontal(y: number, label: string): string {
  return `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${fixed(y)}" y2="${fixed(y)}"/><text class="tick" x="${LEFT - 8}" y="${fixed(y + 4)}" text-anchor="end">${label}</text>`;
}

function vertical(x: number, label: string): string {
  return `<line class="grid" x1="${fixed(x)}" x2="${fixed(x)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/><text class="tick" x="${fixed(x)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${escapeText(label)}</text>`;
}

function path({ label, colour, style, points }: Line, toX: (x: number) => number, toY: (y: number) => number): string {
  let d = '';
  let isDown = false;
  for (const [x, y] of points) {
    if (y === null) isDown = false;
    else {
      d += `${isDown ? 'L' : 'M'}${fixed(toX(x))} ${fixed(toY(y))}`;
      isDown = true;
    }
  }
  if (d === '') return '';
  return `<path class="line c${colour % COLOURS} ${style}" d="${d}"><title>${escapeText(label)}</title></path>`;
}

function legend(lines: readonly Line[]): string {
  const items = lines.map(
    ({ label, colour, style }) =>
      `<li><svg class="key" viewBox="0 0 28 8" aria-hidden="true"><path class="line c${colour % COLOURS} ${style}" d="M0 4L28 4"/></svg>${escapeText(label)}</li>`,
  );
  return `<ul class="legend">${items.join('')}</ul>`;
}

function fixed(value: number): string {
  return value.toFixed(1);
}

function shortNumber(value: number): string {
  return value >= 1_000 ? value.toLocaleString('en-US') : String(Number(value.toPrecision(6)));
}
