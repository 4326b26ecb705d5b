/** The chat page in headless Chromium: it streams, lets one pick the agent, shows errors in words, survives a reload. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadPage } from '../../src/main/channels/gateway/page.ts';
import { launchBrowser } from '../support/gateway-browser.ts';
import { type GatewayUnderTest, raw, startGateway, until } from '../support/gateway.ts';

describe('the files', () => {
  test('come with a policy that allows nothing from elsewhere and nothing inline', async () => {
    await using g = await startGateway({ config: { token: 'secret-token' } });
    for (const { path, type } of await loadPage()) {
      const answer = await raw(`${g.url}${path}`);
      expect([path, answer.status, answer.headers['content-type']]).toEqual([path, 200, type]);
      const policy = String(answer.headers['content-security-policy']);
      expect(policy).toContain("default-src 'none'");
      expect(policy).not.toContain('unsafe');
      expect(answer.headers['x-content-type-options']).toBe('nosniff');
      const { etag } = answer.headers;
      expect((await raw(`${g.url}${path}`, { headers: { 'if-none-match': String(etag) } })).status).toBe(304);
    }
  });

  test('name nothing outside the gateway, and never write HTML', async () => {
    for (const { path, body } of await loadPage()) {
      const text = body.toString('utf8').replaceAll('http://www.w3.org/2000/svg', '');
      expect([path, /https?:\/\//.test(text)]).toEqual([path, false]);
      expect([path, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\bstyle="/.test(text)]).toEqual([
        path,
        false,
      ]);
    }
  });
});

describe('the page', () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await launchBrowser();
  });

  afterAll(async () => {
    await browser.close();
  });

  /** Opens the page; nothing may go wrong on it that a person would not be told. */
  async function open(g: GatewayUnderTest): Promise<Page & AsyncDisposable> {
    const page = await browser.newPage();
    page.setDefaultTimeout(20_000);
    page.on('pageerror', (error) => {
      throw error;
    });
    await page.goto(g.url);
    return Object.assign(page, { [Symbol.asyncDispose]: () => page.close() });
  }

  async function say(page: Page, text: string): Promise<void> {
    await page.getByText('Connected').waitFor();
    await page.getByLabel('Message').fill(text);
    await page.keyboard.press('Enter');
  }

  test('streams the answer, and text that looks like HTML stays text', async () => {
    await using g = await startGateway();
    await using page = await open(g);
    await page.getByLabel('Agent').selectOption('held');
    await say(page, '<img src=x onerror="document.title=1">');
    const turn = await g.host.turn();
    expect(turn.inbound).toMatchObject({
      agent: 'held',
      message: { content: '<img src=x onerror="document.title=1">' },
    });
    turn.delta('<b>one');
    await page.getByText('<b>one', { exact: true }).waitFor();
    turn.delta('</b> two');
    await page.getByText('<b>one</b> two').waitFor();
    await turn.reply('<b>one</b> two three');
    await page.getByText('<b>one</b> two three').waitFor();
    expect(await page.locator('#log b, #log img').count()).toBe(0);
    expect(await page.locator('.line.pending').count()).toBe(0);
    expect(await page.locator('#log .line.user .text').textContent()).toContain('<img src=x');
  });

  test('lists the agents, starts with the default, and keeps a conversation for each', async () => {
    await using g = await startGateway({
      agents: { loud: (turn) => turn.reply(turn.inbound.message.content.toUpperCase()) },
    });
    await using page = await open(g);
    const picker = page.getByLabel('Agent');
    expect(await picker.locator('option').allTextContents()).toEqual(['echo', 'held', 'fails', 'loud']);
    expect(await picker.inputValue()).toBe('echo');
    await say(page, 'to echo');
    await page.locator('.line.agent', { hasText: 'to echo' }).waitFor();
    await picker.selectOption('loud');
    await say(page, 'to loud');
    await page.getByText('TO LOUD', { exact: true }).waitFor();
    expect(await page.locator('#log').getByText('to echo').count()).toBe(0);
    await picker.selectOption('echo');
    await page.locator('.line.agent', { hasText: 'to echo' }).waitFor();
    expect(g.host.received.map((m) => m.agent)).toEqual(['echo', 'loud']);
    expect(g.host.received[0]?.namespace).not.toBe(g.host.received[1]?.namespace);
  });

  test('shows a failure in words with its hint and code, and tries again as a new message', async () => {
    await using g = await startGateway();
    await using page = await open(g);
    await page.getByLabel('Agent').selectOption('fails');
    await say(page, 'x');
    const failure = page.locator('.failure');
    await failure.getByText('The agent threw: no luck').waitFor();
    expect(await failure.locator('.hint').textContent()).not.toBe('');
    expect(await failure.locator('code').textContent()).toBe('ORRERY_AGENT_FAILED');
    await failure.getByRole('button', { name: 'Try again' }).click();
    await until(() => g.host.received.length === 2);
    await failure.waitFor();
    expect(await page.locator('.line.user').count()).toBe(1);
    expect(g.host.received[0]?.id).not.toBe(g.host.received[1]?.id);
  });

  test('survives a reload: the conversation is there and the session goes on', async () => {
    await using g = await startGateway();
    await using page = await open(g);
    await say(page, 'before the reload');
    await page.locator('.line.agent', { hasText: 'before the reload' }).waitFor();
    await page.reload();
    await page.locator('.line.agent', { hasText: 'before the reload' }).waitFor();
    await say(page, 'after it');
    await page.locator('.line.agent', { hasText: 'after it' }).waitFor();
    const [before, after] = g.host.received;
    expect(g.host.received).toHaveLength(2);
    expect(after?.namespace).toBe(before?.namespace);
  });

  test('survives a reload in the middle of an answer, which runs once and can still be stopped', async () => {
    await using g = await startGateway();
    await using page = await open(g);
    await page.getByLabel('Agent').selectOption('held');
    await say(page, 'first');
    const first = await g.host.turn();
    first.delta('half of ');
    await page.getByText('half of').waitFor();
    await page.reload();
    await until(() => g.host.received.length > 1); // the page asked for it again
    await first.reply('half of it');
    await page.getByText('half of it').waitFor();
    await say(page, 'second');
    const second = await g.host.turn();
    await page.reload();
    const asked = g.host.received.length;
    await until(() => g.host.received.length > asked);
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByText('Stopped.').waitFor();
    expect(g.host.cancelled).toEqual([second.delivery.id]);
  });

  test('stops a running answer and keeps what came of it', async () => {
    await using g = await startGateway();
    await using page = await open(g);
    await page.getByLabel('Agent').selectOption('held');
    await say(page, 'x');
    const turn = await g.host.turn();
    turn.delta('as far as this');
    await page.getByText('as far as this').waitFor();
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByText('Stopped.').waitFor();
    expect(g.host.cancelled).toEqual([turn.delivery.id]);
    expect(await page.getByText('as far as this').count()).toBe(1);
    await page.getByRole('button', { name: 'Send' }).waitFor();
  });

  test('takes back the text of an attempt that failed', async () => {
    await using g = await startGateway();
    await using page = await open(g);
    await page.getByLabel('Agent').selectOption('held');
    await say(page, 'x');
    const turn = await g.host.turn();
    turn.delta('wrong');
    await page.getByText('wrong').waitFor();
    turn.reset();
    turn.delta('right');
    await page.getByText('right').waitFor();
    expect(await page.getByText('wrong').count()).toBe(0);
    await turn.reply('right');
  });

  test('shows that the line is lost, and gets the answer when it is back', async () => {
    await using g = await startGateway();
    await using page = await open(g);
    await page.getByLabel('Agent').selectOption('held');
    await say(page, 'x');
    const turn = await g.host.turn();
    g.dropConnections();
    await page.getByText('Reconnecting').waitFor();
    await turn.reply('answered meanwhile');
    await page.getByText('Connected').waitFor();
    await page.locator('.line.agent', { hasText: 'answered meanwhile' }).waitFor();
    expect(await page.locator('.line.pending').count()).toBe(0);
  });

  test('asks for the token when one is needed, says when it is wrong, and logs out', async () => {
    await using g = await startGateway({ config: { token: 'right-token' } });
    await using page = await open(g);
    const token = page.getByLabel('Token');
    await token.fill('wrong-token');
    await page.keyboard.press('Enter');
    await page.getByText('This is not the token').waitFor();
    await token.fill('right-token');
    await page.keyboard.press('Enter');
    await page.getByText('Connected').waitFor();
    await say(page, 'hello');
    await page.locator('.line.agent', { hasText: 'hello' }).waitFor();
    const kept = await page.evaluate('JSON.stringify(localStorage) + document.cookie');
    expect(kept).not.toContain('right-token');
    await page.reload();
    await page.getByText('Connected').waitFor();
    await page.getByRole('button', { name: 'Log out' }).click();
    await token.waitFor();
    expect(g.host.received).toHaveLength(1);
  });

  test('says that the gateway is draining', async () => {
    await using g = await startGateway();
    await using page = await open(g);
    await page.getByText('Connected').waitFor();
    g.channel.shutdown();
    await say(page, 'x');
    await page.locator('.failure').getByText('The gateway takes in nothing new').waitFor();
    expect(g.host.received).toEqual([]);
  });

  test('starts a new conversation in a session of its own', async () => {
    await using g = await startGateway();
    await using page = await open(g);
    await say(page, 'old');
    await page.locator('.line.agent', { hasText: 'old' }).waitFor();
    await page.getByRole('button', { name: 'New conversation' }).click();
    await page.getByText('Talk to echo').waitFor();
    await say(page, 'new');
    await page.locator('.line.agent', { hasText: 'new' }).waitFor();
    expect(await page.getByText('old').count()).toBe(0);
    expect(g.host.received[0]?.namespace).not.toBe(g.host.received[1]?.namespace);
  });

  test('may not be imitated by a page of another origin', async () => {
    await using g = await startGateway();
    const elsewhere = createServer((_request, response) => {
      response.setHeader('content-type', 'text/html').end('<!doctype html><title>elsewhere</title>');
    });
    elsewhere.listen(0, '127.0.0.1');
    await once(elsewhere, 'listening');
    const page = await browser.newPage();
    await page.goto(`http://localhost:${(elsewhere.address() as AddressInfo).port}`);
    const got = await page.evaluate(`(async () => {
      const body = '{"message":"x"}';
      const json = { 'content-type': 'application/json' };
      const ask = (init) => fetch('${g.url}/api/chat', { method: 'POST', body, ...init }).then((r) => r.type, () => 'refused');
      const socket = new Promise((resolve) => {
        const ws = new WebSocket('${g.url.replace('http', 'ws')}/ws');
        ws.onopen = () => resolve('open');
        ws.onerror = () => resolve('refused');
      });
      const read = fetch('${g.url}/v1/models').then((r) => r.text(), () => 'refused');
      return [await ask({ mode: 'no-cors' }), await ask({ headers: json }), await read, await socket];
    })()`);
    expect(got).toEqual(['opaque', 'refused', 'refused', 'refused']);
    expect(g.host.received).toEqual([]);
    await page.close();
    elsewhere.closeAllConnections();
    elsewhere.close();
  });
});
