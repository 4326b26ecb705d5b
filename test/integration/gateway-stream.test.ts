/** Streamed completions: deltas, the held status, resets, clients that leave or read slowly. */
import { connect } from 'node:net';
import OpenAI, { APIError } from 'openai';
import { describe, expect, test } from 'vitest';
import { DELTA_HIGH_WATER_BYTES } from '../../src/main/channels/gateway/deltas.ts';
import { OrreryError } from '../../src/protocol/index.ts';
import { type GatewayUnderTest, type Json, startGateway, until } from '../support/gateway.ts';

const USER = { role: 'user', content: 'hello there' } as const;

function clientOf(g: GatewayUnderTest): OpenAI {
  return new OpenAI({ baseURL: `${g.url}/v1`, apiKey: 'unused' });
}

/** Reads the events of an SSE body: the data of each. */
function eventsOf(text: string): Json[] {
  const data = text.split('\n\n').flatMap((event) => /^data: (.*)$/m.exec(event)?.[1] ?? []);
  return data.map((line) => JSON.parse(line.startsWith('{') ? line : JSON.stringify(line)) as Json);
}

function textOf(events: readonly Json[]): string {
  return events.map((e) => e['choices']?.[0]?.['delta']?.['content'] ?? '').join('');
}

describe('a stream', () => {
  const body = { model: 'held', messages: [USER], stream: true };

  /** Asks for a stream and gives the answer's head as soon as it comes. */
  function ask(g: GatewayUnderTest, extra: object = {}, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${g.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ ...body, ...extra }),
    });
  }

  test('reads as the reply through the stock client, with the usage when asked for', async () => {
    await using g = await startGateway();
    const stream = await clientOf(g).chat.completions.create({
      model: 'echo',
      messages: [USER],
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.map((c) => c.choices[0]?.delta.content)).toEqual(['', 'hello ', 'there', undefined, undefined]);
    expect(chunks[0]).toMatchObject({ object: 'chat.completion.chunk', model: 'echo', usage: null });
    expect(chunks[0]?.choices[0]?.delta.role).toBe('assistant');
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('stop');
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 8 } });
    expect(new Set(chunks.map((c) => c.id)).size).toBe(1);
  });

  test('sends each delta at once, and [DONE] only after the reply', async () => {
    await using g = await startGateway();
    const asked = ask(g);
    const turn = await g.host.turn();
    turn.delta('one ');
    const response = await asked;
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!text.includes('one ')) text += (await reader?.read())?.value ?? '';
    expect(text).not.toContain('[DONE]');
    await turn.reply('one two');
    for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) text += next.value;
    expect(textOf(eventsOf(text))).toBe('one two');
    expect(eventsOf(text).at(-1)).toBe('[DONE]');
  });

  test('holds the status until the first delta: an earlier failure has its own', async () => {
    await using g = await startGateway();
    const failed = await ask(g, { model: 'fails' }, { 'idempotency-key': 'm1' });
    expect(failed.status).toBe(502);
    expect(failed.headers.get('x-should-retry')).toBe('false');
    expect(await failed.json()).toMatchObject({
      error: { code: 'ORRERY_AGENT_FAILED', id: 'm1', type: 'server_error' },
    });
    expect((await ask(g, { model: 'nobody' })).status).toBe(404);
  });

  test('is whole without any delta, and when repeated', async () => {
    await using g = await startGateway({ agents: { whole: (turn) => turn.reply('all of it') } });
    for (let i = 0; i < 2; i++) {
      const events = eventsOf(await (await ask(g, { model: 'whole' }, { 'idempotency-key': 'm1' })).text());
      expect([textOf(events), events.at(-1)]).toEqual(['all of it', '[DONE]']);
    }
  });

  test('ends with an error that carries the id when the turn fails after a delta', async () => {
    await using g = await startGateway();
    const asked = ask(g, {}, { 'idempotency-key': 'm1' });
    const turn = await g.host.turn();
    turn.delta('one ');
    await turn.fail(new OrreryError('ORRERY_MODEL_FAILED', 'The provider hung up'));
    const text = await (await asked).text();
    expect(text).toContain('event: error');
    expect(text).not.toContain('[DONE]');
    expect(eventsOf(text).at(-1)).toMatchObject({ error: { code: 'ORRERY_MODEL_FAILED', id: 'm1' } });
  });

  test('ends when the attempt is reset after a delta, and the retried reply is kept under the id', async () => {
    await using g = await startGateway();
    const key = { 'idempotency-key': 'm1' };
    const stream = clientOf(g).chat.completions.create({ ...body, stream: true, messages: [USER] }, { headers: key });
    const turn = await g.host.turn();
    turn.delta('bad ');
    const read = (async () => {
      for await (const _chunk of await stream);
    })();
    turn.reset();
    turn.delta('never seen');
    const error: unknown = await read.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject({ code: 'ORRERY_INTERRUPTED', error: { id: 'm1' } });
    await turn.reply('good');
    expect(textOf(eventsOf(await (await ask(g, {}, key)).text()))).toBe('good');
  });

  test('is not ended by a reset before any delta', async () => {
    await using g = await startGateway();
    const asked = ask(g);
    const turn = await g.host.turn();
    turn.reset();
    turn.delta('good');
    await turn.reply('good');
    expect(textOf(eventsOf(await (await asked).text()))).toBe('good');
  });

  test('does not cancel the turn when its client leaves', async () => {
    await using g = await startGateway();
    const abort = new AbortController();
    const key = { 'idempotency-key': 'm1' };
    const asked = clientOf(g).chat.completions.create(
      { ...body, stream: true, messages: [USER] },
      { headers: key, signal: abort.signal },
    );
    const turn = await g.host.turn();
    turn.delta('one ');
    await asked;
    abort.abort();
    await until(() => g.connections() === 0);
    turn.delta('two');
    await turn.reply('one two');
    expect(g.host.cancelled).toEqual([]);
    expect(textOf(eventsOf(await (await ask(g, {}, key)).text()))).toBe('one two');
  });

  test('holds little in memory for a client that reads nothing, and misses no text in the end', async () => {
    await using g = await startGateway();
    const socket = connect(g.port, '127.0.0.1');
    const text = JSON.stringify(body);
    const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n`;
    socket.pause();
    socket.write(`${head}Content-Length: ${text.length}\r\n\r\n${text}`);
    const turn = await g.host.turn();
    const piece = 'abcdefgh'.repeat(2048);
    const pieces = 2000; // 32 MB: far more than the socket's own buffers take
    let most = 0;
    for (let i = 0; i < pieces; i++) {
      turn.delta(piece);
      most = Math.max(most, g.waitingBytes());
      if (i % 50 === 0) await new Promise(setImmediate);
    }
    expect(most).toBeGreaterThan(DELTA_HIGH_WATER_BYTES);
    expect(most).toBeLessThan(4 * DELTA_HIGH_WATER_BYTES);
    const whole = piece.repeat(pieces);
    await turn.reply(whole);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    const answer = dechunk(Buffer.concat(chunks).toString('utf8'));
    const events = eventsOf(answer);
    expect(textOf(events) === whole).toBe(true);
    expect(events.at(-1)).toBe('[DONE]');
  });
});

/** Joins the chunks of a chunked HTTP answer. */
function dechunk(answer: string): string {
  let rest = answer.slice(answer.indexOf('\r\n\r\n') + 4);
  let text = '';
  for (;;) {
    const end = rest.indexOf('\r\n');
    const size = Number.parseInt(rest.slice(0, end), 16);
    if (!size) return text;
    text += rest.slice(end + 2, end + 2 + size);
    rest = rest.slice(end + 2 + size + 2);
  }
}
