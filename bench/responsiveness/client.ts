/** A WebSocket client that pings every 100 ms, whether or not the ping before was answered, and times each answer. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { serve } from '../lib/process.ts';

const EVERY_MS = 100;
/** After the last ping, answers that are still missing get this long in milliseconds. */
const LAST_MS = 3_000;

async function ping({
  url,
  seconds,
}: {
  url: string;
  seconds: number;
}): Promise<{ sent: number; latencies: number[] }> {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  await once(socket, 'open');
  const waiting = new Map<number, number>();
  const latencies: number[] = [];
  socket.on('message', (data: Buffer) => {
    const { type, id } = JSON.parse(data.toString()) as { type: string; id: number };
    const sent = waiting.get(id);
    if (type !== 'pong' || sent === undefined) return;
    waiting.delete(id);
    latencies.push(performance.now() - sent);
  });
  let sent = 0;
  const timer = setInterval(() => {
    sent += 1;
    waiting.set(sent, performance.now());
    socket.send(JSON.stringify({ type: 'ping', id: sent }));
  }, EVERY_MS);
  await sleep(seconds * 1000);
  clearInterval(timer);
  const until = performance.now() + LAST_MS;
  while (waiting.size > 0 && performance.now() < until) await sleep(10);
  socket.close();
  return { sent, latencies };
}

serve({ ping });
