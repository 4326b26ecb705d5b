/** Owns what the requests say: one prompt, or the inputs of a suite one after another, as bodies that are ready to be sent. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSuite } from '../suite.ts';
import { DEFAULT_PROMPT, type LoadOptions, type ResolvedTarget } from './options.ts';
import type { Said } from './requests.ts';

interface Message {
  readonly role: string;
  readonly content: string;
}

/** Inputs of a suite that are taken: they are held in memory, for each target. */
export const MAX_PROMPTS = 10_000;

/** Conversations of which each is what one request says. Throws `ORRERY_BENCH_INVALID` when the suite is not right. */
export async function readPrompts({ prompt, suite }: LoadOptions): Promise<readonly (readonly Message[])[]> {
  if (suite === undefined) return [[{ role: 'user', content: prompt ?? DEFAULT_PROMPT }]];
  const dir = await mkdtemp(join(tmpdir(), 'orrery-load-'));
  try {
    const opened = await openSuite(suite, { spool: join(dir, 'cases.jsonl'), most: MAX_PROMPTS, tags: [] });
    const found: Message[][] = [];
    for await (const { cases } of opened.read()) {
      for (const { context, turns } of cases) {
        // Later turns would need the replies to those before.
        const [first = ''] = turns;
        const said = context.map(({ role, content }) => ({ role, content }));
        found.push([...said, { role: 'user', content: first }]);
        if (found.length === MAX_PROMPTS) return found;
      }
    }
    return found;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Makes what is said in the nth request to a target. */
export function sayer(
  target: ResolvedTarget,
  prompts: readonly (readonly Message[])[],
  { stream = true, maxTokens, sessions }: LoadOptions,
): (n: number) => Said {
  const bodies = prompts.map((messages) =>
    Buffer.from(
      JSON.stringify({
        model: target.model,
        messages,
        stream,
        ...(stream ? { stream_options: { include_usage: true } } : {}),
        ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }),
      }),
    ),
  );
  return (n) => {
    const body = bodies[n % bodies.length] ?? Buffer.alloc(0);
    return sessions === undefined ? { body } : { body, headers: { 'x-orrery-session': `load-${n % sessions}` } };
  };
}
