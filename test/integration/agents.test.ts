/** Runs the agents that come with the project: built-in ones, the examples, and every code block of docs/agents.md. */
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { LLMock } from '@copilotkit/aimock';
import JSON5 from 'json5';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { ModelSpec } from '../../src/protocol/contract.ts';
import type { ChatMessage } from '../../src/protocol/messages.ts';
import { type AgentDefinition, Namespace, type Turn } from '../../src/worker/agent.ts';
import { builtinAgent } from '../../src/worker/builtin/builtins.ts';
import { loadAgent } from '../../src/worker/load.ts';
import { agentContext } from '../support/agent-context.ts';

const context = agentContext();

function turnOf(content: string, rest: Partial<Turn> = {}): Turn {
  return {
    ...context,
    id: 'd1',
    attempt: 1,
    message: { role: 'user', content },
    namespace: Namespace.parse('web:alice'),
    history: [],
    search: () => [],
    metadata: {},
    signal: new AbortController().signal,
    streamed: true,
    report: () => undefined,
    ...rest,
  };
}

async function deltas(agent: AgentDefinition, turn: Turn): Promise<string[]> {
  const answer = agent.respond(turn);
  if (!(Symbol.asyncIterator in answer)) return [await answer];
  const read: string[] = [];
  for await (const text of answer) read.push(text);
  return read;
}

async function reply(agent: AgentDefinition, turn: Turn): Promise<string> {
  return (await deltas(agent, turn)).join('');
}

function builtin(name: string): AgentDefinition {
  const agent = builtinAgent(name);
  if (agent === undefined) throw new Error(`There is no ${name}`);
  return agent;
}

describe('builtin:echo', () => {
  it('answers with the text, in one piece', async () => {
    expect(await deltas(builtin('echo'), turnOf('a\nb 😀'))).toEqual(['a\nb 😀']);
  });
});

describe('builtin:eliza', () => {
  const eliza = builtin('eliza');

  /** Keeps the session as the host does. */
  async function talk(texts: readonly string[], history: ChatMessage[] = []): Promise<string[]> {
    const replies: string[] = [];
    for (const text of texts) {
      const said = await reply(eliza, turnOf(text, { history }));
      history.push({ role: 'user', content: text }, { role: 'assistant', content: said });
      replies.push(said);
    }
    return replies;
  }

  it('answers in pieces of a few words', async () => {
    const pieces = await deltas(eliza, turnOf('I am sad'));
    expect(pieces.length).toBeGreaterThan(1);
    expect(pieces.join('')).toBe('I am sorry that you are sad. When did it begin?');
  });

  it('says something else when the same subject comes again, and remembers, out of the history alone', async () => {
    const replies = await talk(['I am sad', 'today I am sad', 'my cat is ill', 'what a day', 'zzz']);
    expect(replies[0]).not.toBe(replies[1]);
    expect(replies[4]).toMatch(/animal/);
  });

  it('sessions know nothing of each other, and a cleared one is forgotten', async () => {
    const first = await talk(['my cat is ill', 'I am sad']);
    expect(await talk(['my cat is ill', 'I am sad'])).toEqual(first);
  });

  it('a retried turn gets the same answer', async () => {
    const history: ChatMessage[] = [{ role: 'user', content: 'I am sad' }];
    const turn = turnOf('I am still sad', { history });
    expect(await reply(eliza, turn)).toBe(await reply(eliza, { ...turn, attempt: 2 }));
  });

  it('does not repeat itself from one message to the next in a long session', async () => {
    const replies = await talk(Array.from({ length: 120 }, (_, i) => `zzz ${i}`));
    // The count begins anew with a block of the history, so once in a while two that follow are alike.
    const repeated = replies.filter((text, i) => i > 0 && text === replies[i - 1]);
    expect(repeated.length).toBeLessThanOrEqual(Math.floor(120 / 16));
  });

  it('answers a megabyte', async () => {
    expect(await reply(eliza, turnOf('I feel '.repeat(150_000)))).not.toBe('');
  });
});

describe('examples', () => {
  const folder = new URL('../../examples/agents/', import.meta.url);
  const example = (name: string): Promise<AgentDefinition> =>
    loadAgent({ kind: 'module', url: new URL(name, folder).href });

  it('every one loads and is listed in the README', async () => {
    const names = (await readdir(folder)).filter((name) => name.endsWith('.ts'));
    const readme = await readFile(new URL('../README.md', folder), 'utf8');
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) {
      expect(await example(name)).toMatchObject({ respond: expect.any(Function) });
      expect(readme).toContain(`agents/${name}`);
    }
  });

  it('hello - answers', async () => {
    expect(await reply(await example('hello.ts'), turnOf('hi'))).toBe('Hello! You said: hi');
  });

  it('countdown - counts piece by piece, and ends when it is aborted', async () => {
    const agent = await example('countdown.ts');
    expect(await deltas(agent, turnOf('2'))).toEqual(['2... ', '1... ', 'lift-off!']);
    expect(await reply(agent, turnOf('x'))).toContain('Give me a number');
    const controller = new AbortController();
    const answer = agent.respond(turnOf('9', { signal: controller.signal }));
    if (!(Symbol.asyncIterator in answer)) throw new Error('Expected a stream');
    const iterator = answer[Symbol.asyncIterator]();
    await iterator.next();
    controller.abort();
    await expect(iterator.next()).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('notes - reads its notes out of the history', async () => {
    const agent = await example('notes.ts');
    const history: ChatMessage[] = [
      { role: 'user', content: 'note: buy bread' },
      { role: 'assistant', content: 'note: not this' },
    ];
    expect(await reply(agent, turnOf('list'))).toContain('no notes yet');
    expect(await reply(agent, turnOf('note: call Ada', { history }))).toBe('Noted, that makes 2: call Ada');
    expect(await reply(agent, turnOf('list', { history }))).toBe('1. buy bread');
  });

  it('site-check - refuses to start without sites, and tells of each', async () => {
    const server = createServer((_, response) => response.writeHead(204).end()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const site = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const agent = await example('site-check.ts');
    expect(() => agent.start?.(context)).toThrow('SITES');
    await agent.start?.({ ...context, env: { SITES: `${site}, http://127.0.0.1:1/` } });
    const said = await reply(agent, turnOf('check'));
    expect(said).toContain(`${site}: 204`);
    expect(said).toContain('http://127.0.0.1:1/: no answer');
    await agent.stop?.(context);
    expect(await reply(agent, turnOf('check'))).toBe('');
  });
});

interface Block {
  readonly language: string;
  readonly text: string;
}

async function blocksOf(path: string): Promise<Block[]> {
  const text = await readFile(new URL(`../../${path}`, import.meta.url), 'utf8');
  return Array.from(text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm), ([, language = '', body = '']) => ({
    language,
    text: body,
  }));
}

describe.each(['docs/agents.md', 'examples/README.md'])('%s', (page) => {
  let dir = '';
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'orrery-docs-'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  it('every code block is an agent or a configuration', async () => {
    const languages = (await blocksOf(page)).map(({ language }) => language);
    expect(languages).toContain('ts');
    expect(languages.filter((language) => language !== 'ts' && language !== 'json5')).toEqual([]);
  });

  it('every agent loads, starts, answers and stops', async () => {
    const mock = new LLMock({ port: 0 });
    await mock.start();
    onTestFinished(() => mock.stop());
    mock.onMessage('hello', { content: 'Hello!' });
    const env = { MODEL_URL: `${mock.url}/v1` };
    // A checkout that was never built has no `orrery-host/agent` to import.
    const source = JSON.stringify(new URL('../../src/worker/agent.ts', import.meta.url).href);
    const blocks = (await blocksOf(page)).filter(({ language }) => language === 'ts');
    for (const [index, { text }] of blocks.entries()) {
      const path = join(dir, `block-${index}.ts`);
      // And a temporary directory has no packages.
      const found = text.replace(/'(ai|zod)'/g, (_, name: string) => JSON.stringify(import.meta.resolve(name)));
      await writeFile(path, found.replaceAll("'orrery-host/agent'", source));
      const agent = await loadAgent({ kind: 'module', url: pathToFileURL(path).href });
      await agent.start?.({ ...context, env });
      expect(await reply(agent, turnOf('hello', { attempt: 2, env }))).not.toBe('');
      await agent.stop?.(context);
    }
  });

  it('every configuration parses, and its built-in agents and models load', async () => {
    const blocks = (await blocksOf(page)).filter(({ language }) => language === 'json5');
    for (const { text } of blocks) {
      const { agents } = JSON5.parse<{ agents: Record<string, ModelSpec & { use?: string }> }>(text);
      for (const { use, ...spec } of Object.values(agents)) {
        if (use !== undefined && !use.startsWith('builtin:')) continue;
        const source =
          use === undefined ? ({ kind: 'model', spec } as const) : ({ kind: 'builtin', name: use.slice(8) } as const);
        expect(await loadAgent(source)).toMatchObject({ respond: expect.any(Function) });
      }
    }
  });
});
