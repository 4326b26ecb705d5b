/**
 * The load generator: as many callers as asked for, each with one request under way at a time. Every answer is read to its
 * end and checked against the text that the model gives.
 *
 * load.ts CHUNKS
 */
import { Agent, type IncomingMessage, request } from 'node:http';
import { serve } from '../lib/process.ts';
import { MESSAGES, replyChunks } from './reply.ts';

export interface LoadOptions {
  readonly url: string;
  readonly concurrency: number;
  readonly seconds: number;
  readonly stream: boolean;
}

export interface LoadFigures {
  readonly requests: number;
  readonly seconds: number;
  /** Milliseconds from the request to the answer's end. */
  readonly latencies: readonly number[];
  /** Milliseconds to the answer's first bytes. */
  readonly firstBytes: readonly number[];
}

const TEXT = replyChunks(Number(process.argv[2])).join('');

async function load({ url, concurrency, seconds, stream }: LoadOptions): Promise<LoadFigures> {
  const agent = new Agent({ keepAlive: true, maxSockets: concurrency });
  const body = Buffer.from(JSON.stringify({ model: 'bench', messages: MESSAGES, stream }));
  const target = new URL('/v1/chat/completions', url);
  const latencies: number[] = [];
  const firstBytes: number[] = [];
  const began = performance.now();
  const until = began + seconds * 1000;
  const caller = async (): Promise<void> => {
    while (performance.now() < until) {
      const sent = performance.now();
      const { first, text } = await ask(target, agent, body);
      const content = stream ? streamed(text) : whole(text);
      if (content !== TEXT) throw new Error(`${url} answered something else: ${text.slice(0, 500)}`);
      latencies.push(performance.now() - sent);
      firstBytes.push(first - sent);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
  const took = (performance.now() - began) / 1000;
  agent.destroy();
  return { requests: latencies.length, seconds: took, latencies, firstBytes };
}

function ask(url: URL, agent: Agent, body: Buffer): Promise<{ first: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': body.length };
    const outgoing = request(url, { method: 'POST', agent, headers }, (response: IncomingMessage) => {
      let text = '';
      let first = 0;
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        if (text === '') first = performance.now();
        text += part;
      });
      response.on('end', () => resolve({ first, text }));
      response.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

function whole(text: string): string | undefined {
  const { choices } = JSON.parse(text) as { choices?: { message: { content: string } }[] };
  return choices?.[0]?.message.content;
}

/** Taking the text out by its form instead of parsing every event keeps this process from being what is measured. */
function streamed(text: string): string | undefined {
  if (!text.endsWith('data: [DONE]\n\n')) return undefined;
  let content = '';
  for (const [, part = ''] of text.matchAll(/"content":"([^"]*)"/g)) content += part;
  return content;
}

serve({ load });
