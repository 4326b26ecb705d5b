/** Drives `npm run demo` as a person does: the page in a real browser, every saboteur's button, and the chat meanwhile. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser } from '../support/gateway-browser.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Longer than the longest of the faults takes to be mended, on a machine that is busy. */
const PATIENCE_MS = 30_000;

const FAULTS = [
  { agent: 'quitter', fault: 'exit', slot: 'quitter', said: 'here I am again' },
  { agent: 'thrower', fault: 'throw', slot: 'thrower', said: 'here I am again' },
  { agent: 'hoarder', fault: 'heap', slot: 'hoarder', said: 'ORRERY_WORKER_OUT_OF_MEMORY' },
  { agent: 'rowdy', fault: 'exit', slot: 'shared-1', said: 'here I am again' },
] as const;

const directory = temporaryDirectory();
let demo: ChildProcess;
let browser: Browser | undefined;
let page: Page;
const complaints: string[] = [];

beforeAll(async () => {
  demo = spawn(process.execPath, ['examples/demo/demo.ts', '--port', '0'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ORRERY_DATA_DIR: directory.path },
  });
  const url = await urlOf(demo);
  browser = await launchBrowser();
  page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on('pageerror', (error) => complaints.push(error.message));
  // What the content security policy refuses is told here.
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  await page.goto(url);
  await page.locator('#connection[data-state=open]').waitFor();
  // The first line of the stream has come: before it the page shows a dash.
  await page.locator('#restarts', { hasText: /^0$/ }).waitFor();
});

afterAll(async () => {
  await browser?.close();
  if (demo.exitCode === null) {
    demo.kill('SIGKILL');
    await once(demo, 'exit');
  }
  directory[Symbol.dispose]();
});

describe('the demo', () => {
  it.each(FAULTS)('$agent - its $fault costs its own slot alone, and eliza answers', async (row) => {
    const before = await restarts();
    await buttonOf(row).click();
    await talk(`what about ${row.agent}`);
    expect(await end(row)).toContain(row.said);
    await expect.poll(restarts, { timeout: PATIENCE_MS }).toBe(before + 1);
  });

  it('spinner - eliza answers while it spins, and it is replaced', async () => {
    const row = { agent: 'spinner', fault: 'spin', slot: 'spinner', said: 'ORRERY_WORKER_UNRESPONSIVE' };
    const before = await restarts();
    await buttonOf(row).click();
    await page.locator('#slots [data-slot=spinner][data-status=unresponsive]').waitFor();
    await talk('do you hear me');
    expect(await end(row)).toContain(row.said);
    await expect.poll(restarts, { timeout: PATIENCE_MS }).toBe(before + 1);
  });

  it('no connection dropped, no other message was lost, and no other slot was replaced', async () => {
    const answered = await answeredSoFar();
    await expect.poll(answeredSoFar, { timeout: PATIENCE_MS }).toBeGreaterThan(answered);
    expect(await page.locator('#drops').textContent()).toBe('0');
    expect(await page.locator('#lost').textContent()).toBe('0');
    expect(await page.locator('#slots [data-slot=shared-0]').getAttribute('data-restarts')).toBe('0');
    expect(complaints).toEqual([]);
  });

  it('ends cleanly when it is asked to', async () => {
    demo.kill('SIGTERM');
    const [code] = await once(demo, 'exit');
    expect(code).toBe(0);
  });
});

interface Row {
  readonly agent: string;
  readonly fault: string;
  readonly slot: string;
  /** What the page says of the message's end. */
  readonly said: string;
}

function buttonOf({ agent, fault }: Row): Locator {
  return page.locator(`[data-agent=${agent}][data-fault=${fault}]`);
}

async function restarts(): Promise<number> {
  return Number(await page.locator('#restarts').textContent());
}

/** Waits until the slot was replaced, once, and returns what the page says of the message's end. */
async function end({ agent, slot }: Row): Promise<string> {
  await page.locator(`#slots [data-slot=${slot}][data-status=ready][data-restarts="1"]`).waitFor();
  const line = page.locator('#log li', { hasText: new RegExp(`${agent}(?: answers after|, after) `) }).first();
  return (await line.textContent()) ?? '';
}

/** Sends a line to eliza and waits for the whole answer, which carries its time. */
async function talk(text: string): Promise<void> {
  const answers = page.locator('#talk .agent:not(.waiting) time');
  const before = await answers.count();
  await page.locator('#text').fill(text);
  await page.locator('#text').press('Enter');
  await answers.nth(before).waitFor();
}

async function answeredSoFar(): Promise<number> {
  return Number((await page.locator('#answered').textContent())?.replaceAll(',', ''));
}

async function urlOf(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout as Readable })) {
    const url = /http:\S+/.exec(line)?.[0];
    if (url !== undefined) return url;
  }
  throw new Error('The demo ended before it said where it runs');
}
