/**
 * A local OpenAI-compatible model: answers every completion with the same text, streamed in as many chunks as asked for,
 * each in a write of its own as a model makes them. Its events are written out once, so that it costs little.
 *
 * model-server.ts CHUNKS
 */
import { once } from 'node:events';
import { type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serve } from '../lib/process.ts';
import { replyChunks } from './reply.ts';

const chunks = replyChunks(Number(process.argv[2]));
const USAGE = { prompt_tokens: 60, completion_tokens: chunks.length, total_tokens: 60 + chunks.length };
const HEAD = { id: 'chatcmpl-1', created: 1_700_000_000, model: 'bench' };

const whole = JSON.stringify({
  ...HEAD,
  object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content: chunks.join('') }, finish_reason: 'stop' }],
  usage: USAGE,
});
const event = (choices: readonly object[], rest: object = {}): Buffer =>
  Buffer.from(`data: ${JSON.stringify({ ...HEAD, object: 'chat.completion.chunk', choices, ...rest })}\n\n`);
const events: readonly Buffer[] = [
  event([{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }]),
  ...chunks.map((content) => event([{ index: 0, delta: { content }, finish_reason: null }])),
  event([{ index: 0, delta: {}, finish_reason: 'stop' }]),
  event([], { usage: USAGE }),
  Buffer.from('data: [DONE]\n\n'),
];

function stream(response: ServerResponse, at = 0): void {
  const next = events[at];
  if (next === undefined) {
    response.end();
    return;
  }
  response.write(next);
  setImmediate(stream, response, at + 1);
}

const server = createServer((request, response) => {
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (text: string) => {
    body += text;
  });
  request.on('end', () => {
    const asked = JSON.parse(body) as { stream?: boolean };
    if (asked.stream === true) {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      stream(response);
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(whole);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1');
await once(server, 'listening');
serve({ url: () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` });
