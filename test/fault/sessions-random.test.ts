/**
 * Real threads on one session file, killed at random points around the commit, with a real model server that counts its calls.
 * The model answers with the number of user messages that it was shown: so a reply tells what its turn had read.
 */
import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { BALANCED, actor, balance, eventually, fixture, startHost } from '../support/host.ts';
import { runs, times } from '../support/properties.ts';

interface Prompt {
  readonly messages: readonly { readonly role: string; readonly content: unknown }[];
}

let server: Server;
/** Calls by the text of the message that they were for. */
const calls = new Map<string, number>();

beforeAll(async () => {
  server = createServer((request, response) => {
    void (async () => {
      let body = '';
      for await (const chunk of request.setEncoding('utf8')) body += String(chunk);
      const said = (JSON.parse(body) as Prompt).messages.filter(({ role }) => role === 'user');
      const text = textOf(said.at(-1)?.content);
      calls.set(text, (calls.get(text) ?? 0) + 1);
      const message = { role: 'assistant', content: `#${said.length} ${text}` };
      response.setHeader('content-type', 'application/json');
      response.end(
        JSON.stringify({
          id: 'c',
          object: 'chat.completion',
          created: 1,
          model: 'counter',
          choices: [{ index: 0, message, finish_reason: 'stop' }],
          usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
        }),
      );
    })();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  vi.stubEnv('MODEL_URL', `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`);
});

afterAll(() => {
  vi.unstubAllEnvs();
  server.closeAllConnections();
  server.close();
});

beforeEach(() => calls.clear());

function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  const [part] = content as readonly { readonly text: string }[];
  return part?.text ?? '';
}

/** A message of one of three sessions: plain, one that dies so many microtasks after its text, or a kill from beside. */
const step = fc.record({
  session: fc.integer({ min: 0, max: 2 }),
  kill: fc.oneof(
    { weight: 3, arbitrary: fc.constant('none' as const) },
    { weight: 3, arbitrary: fc.integer({ min: 0, max: 40 }) },
    { weight: 1, arbitrary: fc.constant('neighbour' as const) },
  ),
});

const PATIENCE = { timeout: 180_000 * times };

test(
  'sessions - under random kills each message is answered once, in order, on all that was said before, and stored once',
  PATIENCE,
  async () => {
    let committedBeforeDeath = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 12 }), async (steps) => {
        calls.clear();
        await using host = await startHost({
          agents: {
            // Its replicas are on both threads: a session is served by either while the other comes back.
            model: { use: fixture('dies-after'), replicas: 2, env: ['MODEL_URL'] },
            killer: actor({ replicas: 2 }),
          },
          restarts: { maxRestarts: 1_000, backoffMinMs: 1, backoffMaxMs: 2 },
          // Other turns of a runtime that ends its thread are suspects too, and are charged.
          delivery: { maxAttempts: 100 },
        });
        const asked = new Map<number, string[]>();
        const answers: Promise<readonly [session: number, text: string, answer: string]>[] = [];
        const kills: Promise<unknown>[] = [];
        for (const [i, { session, kill }] of steps.entries()) {
          if (kill === 'neighbour') kills.push(host.outcome('killer', 'crash 2', `killer-${i}`));
          const text = typeof kill === 'number' ? `m${i} die ${kill}` : `m${i}`;
          asked.set(session, [...(asked.get(session) ?? []), text]);
          answers.push(host.ask('model', text, `s${session}`).then((answer) => [session, text, answer] as const));
        }
        const heard = await Promise.all(answers);
        await Promise.all(kills);

        for (const [session, texts] of asked) {
          const replies = heard.filter(([s]) => s === session).map(([, , answer]) => answer);
          // In order, and each on all that was said before it.
          expect(replies).toEqual(texts.map((text, n) => `#${n + 1} ${text}`));
          // The last deaths may still be under way.
          const stored = await eventually('a thread is up', () =>
            host.supervisor.sessions.read('model', `test:s${session}`).catch(() => undefined),
          );
          expect(stored.map(({ content }) => content)).toEqual(texts.flatMap((text, n) => [text, `#${n + 1} ${text}`]));
        }
        for (const [, text] of heard) {
          const times = calls.get(text) ?? 0;
          expect(times).toBeGreaterThanOrEqual(1);
          if (text.includes('die') && times === 1) committedBeforeDeath += 1;
        }
        expect(balance(host.status)).toEqual(BALANCED);
        expect(host.status.messages).toMatchObject({ answered: steps.length + kills.length, pending: 0, dead: 0 });
      }),
      { numRuns: runs(6), endOnFailure: true },
    );
    // Some of the deaths came after the commit: then the stored reply was sent, and the model was not asked again.
    expect(committedBeforeDeath).toBeGreaterThan(0);
  },
);
