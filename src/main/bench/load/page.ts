/** Owns `load.html`: one file that needs no network and runs no script. Its plots are drawn when it is written. */
import { createHash } from 'node:crypto';
import { escapeText } from '../html.ts';
import { type Line, linearTicks, plot } from './plot.ts';
import type { LoadReport, TargetReport } from './report.ts';
import { type FigureTable, failureTable, figureTable, paceWords } from './table.ts';

const STYLE = `
:root{color-scheme:light dark;--ground:light-dark(#f7f6fb,#121120);--surface:light-dark(#fff,#1a182b);--line:light-dark(#e0deec,#322f4d);--text:light-dark(#1c1a2e,#ebe9f7);--faint:light-dark(#625f78,#a5a1c0);--wait:light-dark(#a86400,#f0b35a);font:16px/1.5 ui-sans-serif,system-ui,sans-serif}
body{margin:0 auto;padding:24px;max-width:1000px;background:var(--ground);color:var(--text)}
h1{font-size:1.4rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
p{margin:.25rem 0}.faint,figcaption,.axis,.tick{color:var(--faint);fill:var(--faint)}
.warnings{margin:1rem 0;padding:.75rem 1rem .75rem 2rem;border-left:4px solid var(--wait);background:var(--surface)}
.scroll{overflow-x:auto;background:var(--surface);border:1px solid var(--line);border-radius:8px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .75rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child,table.left td,table.left th{text-align:left;white-space:normal}
tr:last-child td{border-bottom:0}
figure{margin:1rem 0;padding:1rem;background:var(--surface);border:1px solid var(--line);border-radius:8px}
svg{display:block;width:100%;height:auto}.tick{font-size:12px}.axis{font-size:13px}
.grid{stroke:var(--line);stroke-width:1}.line{fill:none;stroke-width:2;stroke-linejoin:round}
.dashed{stroke-dasharray:6 4}.dotted{stroke-dasharray:2 3}
.c0{stroke:light-dark(#4a41b5,#a49cff)}.c1{stroke:light-dark(#b3541e,#ffab73)}.c2{stroke:light-dark(#1f8a4c,#5fd08f)}
.c3{stroke:light-dark(#a3267c,#ff8fd0)}.c4{stroke:light-dark(#0b7a8f,#62d3e6)}.c5{stroke:light-dark(#6b6b00,#d6d25a)}
.legend{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;margin:.5rem 0 0;padding:0;list-style:none;font-size:.85rem}
.legend li{display:flex;align-items:center;gap:.4rem}.key{width:28px}
`;

export function renderPage(report: LoadReport): string {
  const { targets, warnings, driver, machine } = report;
  const failures = failureTable(report);
  const hash = createHash('sha256').update(STYLE).digest('base64');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-${hash}'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width,initial-scale=1">
<link rel="icon" href="data:,">
<title>Load: ${escapeText(targets.map(({ name }) => name).join(', '))}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Load: ${escapeText(targets.map(({ name }) => name).join(' and '))}</h1>
<p>${escapeText(paceWords(report))}${report.status === 'done' ? '' : `; ${report.status}`}</p>
${targets.map(({ name, url, model }) => `<p class="faint">${escapeText(name)}: ${escapeText(model)} at ${escapeText(url)}</p>`).join('\n')}
<p class="faint">${escapeText(`${report.startedAt}, Orrery ${machine.orrery}, Node ${machine.node}, ${machine.platform}, ${machine.cpu}`)}</p>
${warnings.length === 0 ? '' : `<ul class="warnings">${warnings.map((warning) => `<li>${escapeText(warning)}</li>`).join('')}</ul>`}
<h2>Figures</h2>
${table(figureTable(report), '')}
${failures.rows.length === 0 ? '' : `<h2>Failures</h2>\n${table(failures, ' class="left"')}`}
<h2>Latency by percentile</h2>
${percentilePlot(report)}
<h2>Over time</h2>
${timePlot(targets, 'Latency of what arrived then, ms', 'ms', latencyLines)}
${timePlot(targets, 'Requests a second', 'a second', throughputLines)}
<h2>The driver</h2>
<p>${escapeText(driverWords(driver))}</p>
</body>
</html>
`;
}

function table({ heads, rows }: FigureTable, attributes: string): string {
  const head = heads.map((cell) => `<th scope="col">${escapeText(cell)}</th>`).join('');
  const body = rows.map((row) => `<tr>${row.map((cell) => `<td>${escapeText(cell)}</td>`).join('')}</tr>`).join('\n');
  return `<div class="scroll"><table${attributes}><thead><tr>${head}</tr></thead><tbody>\n${body}\n</tbody></table></div>`;
}

/** As HdrHistogram plots it: each step to the right is a tenth of what was left. */
function percentilePlot({ targets }: LoadReport): string {
  const place = (percent: number, count: number): number =>
    Math.log10(1 / Math.max(1 - percent / 100, 1 / Math.max(1, count)));
  const lines = targets.flatMap(({ name, curve, latencyMs }, colour): Line[] => {
    const line = (label: string, points: typeof curve.uncorrected, count: number, style: Line['style']): Line => ({
      label: `${name}, ${label}`,
      colour,
      style,
      points: points.map(([percent, value]) => [place(percent, count), value]),
    });
    const uncorrected = line(
      'uncorrected',
      curve.uncorrected,
      latencyMs.uncorrected.count,
      curve.corrected ? 'dashed' : 'solid',
    );
    if (!curve.corrected || !latencyMs.corrected) return [uncorrected];
    return [line('corrected', curve.corrected, latencyMs.corrected.count, 'solid'), uncorrected];
  });
  const to = Math.max(1, ...lines.flatMap(({ points }) => points.map(([x]) => x)));
  const marks = ['0 %', '90 %', '99 %', '99.9 %', '99.99 %', '99.999 %', '99.9999 %', '99.99999 %'];
  const ticks = marks.map((label, at) => ({ at, label })).filter(({ at }) => at <= to);
  return plot({ title: 'So many percent took at most so long', x: 'percentile', y: 'ms', lines, from: 0, to, ticks });
}

function timePlot(
  targets: readonly TargetReport[],
  title: string,
  y: string,
  linesOf: (target: TargetReport, colour: number) => readonly Line[],
): string {
  const lines = targets.flatMap(linesOf);
  const to = Math.max(1, ...lines.flatMap(({ points }) => points.map(([x]) => x)));
  const ticks = linearTicks(to, 8).filter(({ at }) => at <= to * 1.0001);
  return plot({ title, x: 'seconds', y, lines, from: 0, to, ticks });
}

function latencyLines({ name, series }: TargetReport, colour: number): readonly Line[] {
  const line = (label: 'p50' | 'p99' | 'max', style: Line['style']): Line => ({
    label: `${name}, ${label}`,
    colour,
    style,
    points: series.spans.map((span) => [span.from, span[label]]),
  });
  return [line('p50', 'solid'), line('p99', 'dashed'), line('max', 'dotted')];
}

function throughputLines({ name, series }: TargetReport, colour: number): readonly Line[] {
  const line = (label: 'arrived' | 'answered' | 'failed', style: Line['style']): Line => ({
    label: `${name}, ${label}`,
    colour,
    style,
    points: series.spans.map((span) => [span.from, (span[label] * 1_000) / series.widthMs]),
  });
  const lines = [line('answered', 'solid'), line('arrived', 'dotted')];
  return series.spans.some(({ failed }) => failed > 0) ? [...lines, line('failed', 'dashed')] : lines;
}

/** The driver's own figures in a sentence. */
export function driverWords({ loopDelayMs, cpuShare, utilization }: LoadReport['driver']): string {
  const percent = (share: number): string => `${Math.round(share * 100)} %`;
  return `The driver's event loop was ${loopDelayMs.p99} ms late at p99 and busy ${percent(utilization)} of the time; its process took ${percent(cpuShare)} of a core.`;
}
