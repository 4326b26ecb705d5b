/** Owns how figures are written. */

const NONE = '–';
const count = new Intl.NumberFormat('en');

export function whole(value) {
  return value === null || value === undefined ? NONE : count.format(Math.round(value));
}

export function score(value) {
  return value === null || value === undefined ? NONE : value.toFixed(3);
}

export function signedScore(value) {
  if (value === null || value === undefined) return NONE;
  return `${value > 0 ? '+' : value < 0 ? '−' : '±'}${Math.abs(value).toFixed(3)}`;
}

export function percent(value) {
  if (value === null || value === undefined) return NONE;
  return `${(value * 100).toFixed(value === 0 || value === 1 ? 0 : 1)} %`;
}

export function milliseconds(value) {
  if (value === null || value === undefined) return NONE;
  if (value === 0) return '0';
  if (value < 1) return `${value.toFixed(2)} ms`;
  if (value < 100) return `${trim(value.toFixed(1))} ms`;
  if (value < 1_000) return `${Math.round(value)} ms`;
  if (value < 100_000) return `${trim((value / 1_000).toFixed(value < 10_000 ? 2 : 1))} s`;
  return duration(value);
}

export function duration(value) {
  const seconds = Math.round(value / 1_000);
  if (value < 1_000) return milliseconds(value);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`;
}

export function dollars(value) {
  if (value === null || value === undefined) return NONE;
  if (value === 0) return '$0';
  if (value >= 1) return `$${value.toFixed(2)}`;
  return `$${trim(value.toFixed(value < 0.001 ? 6 : 4))}`;
}

export function short(value) {
  if (value === null || value === undefined) return NONE;
  if (value < 10_000) return count.format(Math.round(value * 10) / 10);
  if (value < 1_000_000) return `${trim((value / 1_000).toFixed(1))} k`;
  return `${trim((value / 1_000_000).toFixed(2))} M`;
}

/** A p-value in as many digits as mean something. */
export function pValue(value) {
  if (value === null || value === undefined) return NONE;
  return value < 0.001 ? '< 0.001' : value.toFixed(3);
}

export function interval(range, write) {
  return range === null || range === undefined ? '' : `${write(range.low)} to ${write(range.high)}`;
}

export function moment(iso) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return NONE;
  return date.toISOString().slice(0, 16).replace('T', ' ') + ' UTC';
}

export function plural(number, one, many = `${one}s`) {
  return `${whole(number)} ${number === 1 ? one : many}`;
}

function trim(text) {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
