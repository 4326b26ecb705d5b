/**
 * The peer: what one writes without a host, a fastify route that calls the AI SDK. It keeps no session, no journal and no
 * order, checks no origin, and retries as the SDK does.
 */
import type { AddressInfo } from 'node:net';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { type ModelMessage, generateText, streamText } from 'ai';
import { type FastifyReply, fastify } from 'fastify';
import { SYSTEM } from './reply.ts';

interface Body {
  readonly messages: ModelMessage[];
  readonly stream?: boolean;
}

const SCHEMA = {
  body: {
    type: 'object',
    required: ['messages'],
    properties: { messages: { type: 'array', minItems: 1 }, stream: { type: 'boolean' } },
  },
} as const;

/** Starts it on a free port and returns where it is reached. */
export async function startBare(baseURL: string): Promise<string> {
  const model = createOpenAICompatible({ name: 'bench', baseURL, includeUsage: true })('bench');
  const app = fastify();
  let n = 0;
  app.post<{ Body: Body }>('/v1/chat/completions', { schema: SCHEMA }, async (request, reply) => {
    const { messages, stream } = request.body;
    n += 1;
    const head = { id: `chatcmpl-${n}`, created: Math.floor(Date.now() / 1000), model: 'bench' };
    if (stream === true) return sendStream(reply, head, messages);
    const { text, usage } = await generateText({ model, instructions: SYSTEM, messages });
    return {
      ...head,
      object: 'chat.completion',
      choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
      usage: {
        prompt_tokens: usage.inputTokens,
        completion_tokens: usage.outputTokens,
        total_tokens: usage.totalTokens,
      },
    };
  });

  async function sendStream(reply: FastifyReply, head: object, messages: ModelMessage[]): Promise<FastifyReply> {
    const { textStream } = streamText({ model, instructions: SYSTEM, messages });
    reply.hijack();
    const { raw } = reply;
    raw.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
    const write = (delta: object, finish: string | null): void => {
      const choices = [{ index: 0, delta, finish_reason: finish }];
      raw.write(`data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices })}\n\n`);
    };
    write({ role: 'assistant', content: '' }, null);
    for await (const content of textStream) write({ content }, null);
    write({}, 'stop');
    raw.end('data: [DONE]\n\n');
    return reply;
  }

  await app.listen({ host: '127.0.0.1', port: 0 });
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
}
