import { describe, expect, it } from 'vitest';
import type { Answer, Question } from '../../src/main/bench/dataset-channel.ts';
import { Lane } from '../../src/main/bench/lane.ts';
import { type Finished, Pipeline, type PipelineOptions } from '../../src/main/bench/pipeline.ts';
import type { BenchResult } from '../../src/main/bench/results.ts';
import type { CaseBatch } from '../../src/main/bench/suite.ts';
import { OrreryError } from '../../src/protocol/index.ts';

const IDS = Array.from({ length: 60 }, (_, i) => `c${i}`);

async function* suite(): AsyncGenerator<CaseBatch> {
  for (let from = 0; from < IDS.length; from += 7) {
    const cases = IDS.slice(from, from + 7).map((id) => ({ id, turns: [id], context: [] }));
    yield { cases, chars: 7 };
  }
}

function answer({ agent, session }: Question, content: string): Answer {
  const message = { role: 'assistant', content } as const;
  const usage = { inputTokens: 0, outputTokens: 0 };
  return {
    reply: { message, usage, steps: 0, id: session, agent, namespace: session },
    queueMs: 0,
    firstTokenMs: null,
    totalMs: 1,
  };
}

interface Ran {
  readonly pipeline: Pipeline;
  readonly batches: (readonly Finished[])[];
  /** The ids of an agent's cases, in the order in which they were finished. */
  readonly idsOf: (agent: string) => readonly string[];
}

/** A pipeline whose agents answer as `ask` does, one question at a time. */
function pipelineOf(ask: (question: Question) => Promise<Answer>, o: Partial<PipelineOptions> = {}): Ran {
  const batches: (readonly Finished[])[] = [];
  const pipeline = new Pipeline({
    channel: { ask },
    lanes: ['one', 'two'].map((agent) => new Lane({ agent, concurrency: 4, stream: false })),
    judgeLanes: new Map(),
    concurrency: 8,
    repeats: 1,
    seed: 0,
    judges: [],
    cases: suite,
    isDone: () => false,
    finish: async (batch) => {
      batches.push(batch);
      await Promise.resolve();
      return batch.map(({ work }) => ({ caseId: work.one.id, agent: work.agent }) as BenchResult);
    },
    batchSize: 8,
    batches: 1,
    backlog: 8,
    onResult: () => undefined,
    onAgentGone: () => undefined,
    ...o,
  });
  const idsOf = (agent: string): string[] =>
    batches.flat().flatMap(({ work }) => (work.agent === agent ? [work.one.id] : []));
  return { pipeline, batches, idsOf };
}

describe('the way of a run’s cases', () => {
  it('a slow agent - holds up nobody, and each agent has each case once', async () => {
    const fastIsDone = Promise.withResolvers<void>();
    let fast = 0;
    const { pipeline, idsOf } = pipelineOf(async (question) => {
      if (question.agent === 'one') {
        fast += 1;
        if (fast === IDS.length) fastIsDone.resolve();
      } else if (question.text === 'c3') await fastIsDone.promise;
      return answer(question, 'yes');
    });
    expect(await pipeline.run()).toBe('done');
    for (const agent of ['one', 'two']) expect(idsOf(agent).toSorted()).toEqual(IDS.toSorted());
  });

  it('an agent that is gone - is asked no more, and the other has each case', async () => {
    const gone: string[] = [];
    const { pipeline, idsOf } = pipelineOf(
      (question) =>
        question.agent === 'two' && question.text === 'c20'
          ? Promise.reject(new OrreryError('ORRERY_AGENT_STOPPED', 'gone'))
          : Promise.resolve(answer(question, 'yes')),
      { onAgentGone: (agent) => gone.push(agent) },
    );
    expect(await pipeline.run()).toBe('done');
    expect([gone, idsOf('one').toSorted()]).toEqual([['two'], IDS.toSorted()]);
    expect(idsOf('two').length).toBeLessThan(IDS.length);
  });

  it('a stop - lets what is under way be finished, and asks nothing new', async () => {
    let asked = 0;
    const { pipeline, batches } = pipelineOf((question) => {
      asked += 1;
      if (asked === 10) pipeline.stop('interrupted');
      return Promise.resolve(answer(question, 'yes'));
    });
    expect(await pipeline.run()).toBe('interrupted');
    // The other agent's next question may have its place already.
    expect(asked).toBeLessThanOrEqual(11);
    expect(batches.flat()).toHaveLength(asked);
  });

  it('a suite that cannot be read on - ends the run with its error', async () => {
    const { pipeline } = pipelineOf((question) => Promise.resolve(answer(question, 'yes')), {
      async *cases() {
        yield { cases: [{ id: 'c0', turns: ['c0'], context: [] }], chars: 1 };
        throw new OrreryError('ORRERY_BENCH_INVALID', 'the file changed');
      },
    });
    await expect(pipeline.run()).rejects.toMatchObject({ code: 'ORRERY_BENCH_INVALID' });
  });

  it.each([
    ['short', 10, 8],
    ['long', 100_000, 2],
    ['very long', 300_000, 1],
  ])('%s replies - are judged together up to a bound of them and of their characters', async (_, chars, most) => {
    const reply = 'x'.repeat(chars);
    const { pipeline, batches } = pipelineOf((question) => Promise.resolve(answer(question, reply)));
    await pipeline.run();
    expect(Math.max(...batches.map(({ length }) => length))).toBe(most);
    expect(batches.flat()).toHaveLength(2 * IDS.length);
  });
});
