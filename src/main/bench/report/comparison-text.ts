/** Owns how a comparison of runs is written for people: a table for the terminal, Markdown for a pull request. */
import type { ChangedCase, CompareReport, ComparedSide, RunComparison } from './compare.ts';

/** Heads and rows of the table on a terminal. */
export function comparisonTable({ comparisons }: CompareReport): {
  readonly heads: readonly string[];
  readonly rows: readonly (readonly string[])[];
} {
  const heads = ['AGENT', 'RUN', 'CASES', 'SCORE', 'CHANGE (95 %)', 'PASSED', 'REGRESSED', 'FIXED', 'P'];
  const rows = comparisons.map((one) => [
    agentText(one),
    one.after.run,
    String(one.inBoth),
    `${scoreText(one.before)} > ${scoreText(one.after)}`,
    changeText(one),
    `${one.before.passed} > ${one.after.passed}`,
    String(one.regressed),
    String(one.fixed),
    one.test === null ? '-' : pText(one.adjusted ?? one.test.pValue),
  ]);
  return { heads, rows };
}

/** What the table leaves open, a line each. */
export function comparisonNotes({ warnings, comparisons }: CompareReport): readonly string[] {
  const lines = warnings.map((warning) => `Warning: ${warning}`);
  for (const one of comparisons) {
    if (one.onlyBefore + one.onlyAfter > 0) {
      lines.push(
        `${agentText(one)}: left out, because one run alone has them: ${one.onlyBefore} of ${one.before.run}, ${one.onlyAfter} of ${one.after.run}.`,
      );
    }
    const errors = one.before.errors + one.after.errors;
    if (errors > 0) {
      lines.push(
        `${agentText(one)}: ${one.before.errors} errors before and ${one.after.errors} after; they score 0 here, and did not pass.`,
      );
    }
    if (one.regressed > 0)
      lines.push(`${agentText(one)}: no longer passed in ${one.after.run}: ${list(one.regressions, one.regressed)}`);
  }
  if (comparisons.length > 1) lines.push(`P is adjusted for ${comparisons.length} comparisons (Holm).`);
  return lines;
}

/** A section for a pull request. */
export function comparisonMarkdown(report: CompareReport): string {
  const { suite, runs, warnings, comparisons } = report;
  const [first, ...others] = runs;
  const lines = [
    `### ${cell(suite.name)}: ${others.map(({ id }) => code(id)).join(', ')} against ${code(first?.id ?? '')}`,
    '',
    ...warnings.flatMap((warning) => [`> **Warning:** ${cell(warning)}`, '']),
    '| agent | run | cases | score | change (95 %) | passed | regressed | fixed | p |',
    '|---|---|--:|--:|--:|--:|--:|--:|--:|',
    ...comparisons.map(markdownRow),
    '',
  ];
  for (const one of comparisons) {
    lines.push(...details(`${agentText(one)}: ${one.regressed} regressed`, one.regressions, one.regressed));
    lines.push(...details(`${agentText(one)}: ${one.fixed} fixed`, one.fixes, one.fixed));
  }
  const tests = new Set(comparisons.flatMap(({ test }) => (test ? [test.method] : [])));
  const methods = [
    ...(tests.has('exact') ? ['exact binomial'] : []),
    ...(tests.has('chi-squared') ? ['chi-squared with continuity correction'] : []),
  ];
  const holm = comparisons.length > 1 ? `, adjusted for ${comparisons.length} comparisons (Holm)` : '';
  lines.push(
    `Scores count an error as 0. Change: mean of the differences case by case, interval from the paired bootstrap. p: McNemar's test on passed and not passed (${methods.join('; ') || 'none'})${holm}.`,
  );
  return lines.join('\n');
}

function markdownRow(one: RunComparison): string {
  const { before, after, inBoth, regressed, fixed, test, adjusted } = one;
  const isSure = one.interval !== null && (one.interval.low > 0 || one.interval.high < 0);
  const change = changeText(one);
  return `| ${[
    cell(agentText(one)),
    code(after.run),
    String(inBoth),
    `${scoreText(before)} → ${scoreText(after)}`,
    isSure ? `**${change}**` : change,
    `${before.passed} → ${after.passed}`,
    String(regressed),
    String(fixed),
    test === null ? '-' : pText(adjusted ?? test.pValue),
  ].join(' | ')} |`;
}

function details(title: string, cases: readonly ChangedCase[], count: number): readonly string[] {
  if (count === 0) return [];
  const items = cases.map((one) => `- ${code(nameOf(one))}`);
  const more = count > cases.length ? [`- and ${count - cases.length} more`] : [];
  return [`<details><summary>${cell(title)}</summary>`, '', ...items, ...more, '', '</details>', ''];
}

function agentText({ before, after }: RunComparison): string {
  return before.agent === after.agent ? after.agent : `${before.agent} > ${after.agent}`;
}

function scoreText({ score }: ComparedSide): string {
  return score === null ? '-' : score.toFixed(4);
}

function changeText({ difference, interval }: RunComparison): string {
  if (difference === null) return '-';
  const around = interval === null ? '' : ` [${signed(interval.low)}, ${signed(interval.high)}]`;
  return `${signed(difference)}${around}`;
}

function signed(value: number): string {
  const text = value.toFixed(4);
  return value > 0 ? `+${text}` : text;
}

/** A p-value in as many digits as mean something. */
export function pText(p: number): string {
  return p < 0.001 ? '<0.001' : p.toFixed(3);
}

function list(cases: readonly ChangedCase[], count: number): string {
  const names = cases.map((one) => printable(nameOf(one))).join(', ');
  return count > cases.length ? `${names} and ${count - cases.length} more` : names;
}

function nameOf({ caseId, repeat }: ChangedCase): string {
  return repeat === 0 ? caseId : `${caseId} #${repeat + 1}`;
}

/** Without what would move a terminal's cursor. */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]/gu, '?');
}

/** Text in a cell or a heading of Markdown: nothing of it is markup, and it stays on its line. */
function cell(text: string): string {
  return printable(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll(/[\\`*_[\]|#~!>@]/g, (char) => `\\${char}`);
}

/** Code in Markdown, whatever its text: the fence is longer than any run of backticks in it. */
function code(text: string): string {
  const plain = printable(text).replaceAll('|', '\\|');
  const longest = Math.max(0, ...[...plain.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  const pad = /^`|`$|^ .* $/.test(plain) ? ' ' : '';
  return plain === '' ? '(empty)' : `${fence}${pad}${plain}${pad}${fence}`;
}
