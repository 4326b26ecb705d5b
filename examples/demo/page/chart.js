/** Owns the chart: round-trip times over the last minute on a logarithmic scale, and marks where something was broken. */
import { WINDOW_MS } from './stream.js';

const MIN_MS = 0.5;
const MAX_MS = 10_000;
const LINES = [
  [1, '1 ms'],
  [10, '10 ms'],
  [100, '100 ms'],
  [1_000, '1 s'],
  [10_000, '10 s'],
];
const LEFT = 50;
const TOP = 16;
const BOTTOM = 6;

export class Chart {
  #canvas;
  #marks = [];

  constructor(canvas) {
    this.#canvas = canvas;
  }

  mark(label) {
    this.#marks.push({ at: performance.now(), label });
  }

  /** Draws `{ color, width, stream }` in order, the last on top. */
  draw(series) {
    const now = performance.now();
    const { width, height, context } = this.#context();
    const style = getComputedStyle(this.#canvas);
    const soft = style.getPropertyValue('--soft');
    const x = (at) => LEFT + (width - LEFT) * (1 - (now - at) / WINDOW_MS);
    const y = (ms) => {
      const share = Math.log(Math.min(MAX_MS, Math.max(MIN_MS, ms)) / MIN_MS) / Math.log(MAX_MS / MIN_MS);
      return TOP + (height - TOP - BOTTOM) * (1 - share);
    };
    context.clearRect(0, 0, width, height);
    context.font = '11.5px system-ui, "DejaVu Sans", sans-serif';
    context.textBaseline = 'middle';
    context.lineWidth = 1;
    for (const [ms, label] of LINES) {
      context.strokeStyle = style.getPropertyValue('--line');
      context.beginPath();
      context.moveTo(LEFT, Math.round(y(ms)) + 0.5);
      context.lineTo(width, Math.round(y(ms)) + 0.5);
      context.stroke();
      context.fillStyle = soft;
      context.textAlign = 'right';
      context.fillText(label, LEFT - 8, y(ms));
    }
    this.#drawMarks(context, x, height, now, style.getPropertyValue('--bad'));
    for (const { color, width: lineWidth, stream } of series) {
      context.strokeStyle = style.getPropertyValue(color);
      context.lineWidth = lineWidth;
      context.lineJoin = 'round';
      context.beginPath();
      let before;
      for (const { at, ms } of stream.points) {
        // A gap of sending is a gap in the line.
        const isGap = before === undefined || at - before > 1_500;
        if (x(at) >= LEFT) {
          if (isGap) context.moveTo(x(at), y(ms ?? now - at));
          else context.lineTo(x(at), y(ms ?? now - at));
          before = at;
        }
      }
      context.stroke();
    }
  }

  #drawMarks(context, x, height, now, color) {
    this.#marks = this.#marks.filter(({ at }) => now - at < WINDOW_MS);
    context.strokeStyle = color;
    context.fillStyle = color;
    context.setLineDash([3, 3]);
    context.textAlign = 'left';
    let free = -Infinity;
    for (const { at, label } of this.#marks) {
      const left = Math.round(x(at)) + 0.5;
      if (left < LEFT) continue;
      context.beginPath();
      context.moveTo(left, TOP - 4);
      context.lineTo(left, height - BOTTOM);
      context.stroke();
      // Labels stay inside, and one that would cover the label before it is left out.
      const labelWidth = context.measureText(label).width;
      const from = Math.min(left, x(now) - labelWidth);
      if (from < free) continue;
      context.fillText(label, from, TOP - 10);
      free = from + labelWidth + 8;
    }
    context.setLineDash([]);
  }

  /** Sizes the canvas to its box in the screen's own pixels. */
  #context() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const ratio = devicePixelRatio;
    const context = this.#canvas.getContext('2d');
    const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.#canvas.width !== wide || this.#canvas.height !== high) {
      this.#canvas.width = wide;
      this.#canvas.height = high;
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    return { width, height, context };
  }
}
