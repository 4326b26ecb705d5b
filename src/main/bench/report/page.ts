/**
 * Owns how a report becomes one HTML file: the page's own files and the data, put together so that the file asks the network for nothing. What agents and
 * users said goes in as JSON and is made into text nodes by the page: it never is HTML, nor part of a script that runs.
 */
import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { VERSION } from '../../ops/version.ts';
import { escapeText } from '../html.ts';
import type { RunManifest } from '../manifest.ts';
import type { CaseRows } from './rows.ts';
import type { ReportSummary } from './summary.ts';

/** What the page draws. */
export interface PageData {
  /** Without paths of this machine: a report is passed on. */
  readonly manifest: Omit<RunManifest, 'config' | 'suite'> & { readonly suite: Omit<RunManifest['suite'], 'path'> };
  readonly summary: ReportSummary;
  readonly cases: CaseRows;
  readonly madeAt: string;
  readonly madeBy: string;
}

const FOLDER: URL = new URL('./page/', import.meta.url);
/** In the order in which each needs only what stands before it. */
const SCRIPTS: readonly string[] = [
  'dom.js',
  'format.js',
  'table.js',
  'axes.js',
  'plots.js',
  'overview.js',
  'pairs.js',
  'diff.js',
  'details.js',
  'cases.js',
  'app.js',
];

/** Makes the file's text. */
export async function renderPage(data: Omit<PageData, 'madeAt' | 'madeBy'>): Promise<string> {
  const read = (name: string): Promise<string> => readFile(new URL(name, FOLDER), 'utf8');
  const [html, css, ...scripts] = await Promise.all(['index.html', 'report.css', ...SCRIPTS].map(read));
  const script = joinScripts(scripts);
  const style = css ?? '';
  const policy = [
    "default-src 'none'",
    `script-src '${digest(script)}'`,
    `style-src '${digest(style)}'`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  const full: PageData = { ...data, madeAt: new Date().toISOString(), madeBy: `Orrery ${VERSION}` };
  const parts: Readonly<Record<string, string>> = {
    policy,
    title: escapeText(`${data.manifest.suite.name}: ${data.manifest.agents.join(', ')}`),
    style: `<style>${style}</style>`,
    script: `<script>${script}</script>`,
    data: `<script type="application/json" id="data">${scriptJson(full)}</script>`,
  };
  // A function: `$&` in a text must not mean anything.
  const part = (_: string, inText: string | undefined, inMarkup: string | undefined): string =>
    parts[inText ?? inMarkup ?? ''] ?? '';
  return (html ?? '').replaceAll(/\{\{(\w+)\}\}|<!-- (\w+) -->/g, part);
}

/**
 * The page's modules as one: inline scripts cannot import each other, so what they export stands in one scope. Their imports name only each
 * other, and no name twice.
 */
export function joinScripts(scripts: readonly string[]): string {
  const joined = scripts
    .map((text) =>
      text.replaceAll(/^import\s[^;]*;\n/gm, '').replaceAll(/^export (?=(?:async )?function|const|class)/gm, ''),
    )
    .join('\n');
  return `'use strict';\n(() => {\n${joined}\n})();`;
}

/**
 * JSON that may stand in a script element whatever is in it: no `<`, so neither `</script>` nor `<!--` can be; no `>` and `&`, for
 * parsers that read it as XML; no line separators that older JavaScript takes for ends of lines. `JSON.stringify` itself escapes lone surrogates.
 */
export function scriptJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function digest(text: string): string {
  return `sha256-${hash('sha256', text, 'base64')}`;
}
