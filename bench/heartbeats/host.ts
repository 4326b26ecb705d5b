/**
 * The process whose connections are measured: Orrery with channels for Discord and IRC, or a host of one thread with the same adapters. Each is under
 * fire without a pause: CPU-bound turns, and contexts of 1 MB that are counted.
 *
 * host.ts KIND THREADS UNITS API_URL TOKEN IRC_PORT
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DiscordDriver } from '../../src/main/channels/discord/driver.ts';
import { IrcDriver } from '../../src/main/channels/irc/driver.ts';
import { ChannelManager } from '../../src/main/channels/manager.ts';
import { ChannelMemory } from '../../src/main/channels/network/memory.ts';
import { NetworkChannel } from '../../src/main/channels/network/network-channel.ts';
import { type InboundMessage, createSupervisor } from '../../src/main/index.ts';
import { TokenPool } from '../../src/main/tokens/index.ts';
import { benchLog } from '../lib/host.ts';
import { serve } from '../lib/process.ts';
import { burn } from '../responsiveness/burn.ts';
import { loadPeer } from '../tokens-peers.ts';

interface Work {
  turns: number;
  contexts: number;
}

/** Messages under way for each slot: one runs, one waits, so that the slot never idles. */
const IN_FLIGHT = 2;
const CONTEXT_BYTES = 1_048_576;
const SENTENCE = 'A session that has gone on for long is counted before each step, and somebody has to do that. ';

const [kind, threadsText, unitsText, apiUrl = '', token = '', portText] = process.argv.slice(2);
const [threads, units, ircPort] = [Number(threadsText), Number(unitsText), Number(portText)];
const context = SENTENCE.repeat(Math.ceil(CONTEXT_BYTES / SENTENCE.length)).slice(0, CONTEXT_BYTES);
const work: Work = { turns: 0, contexts: 0 };
const closing = new AbortController();
const network = { allow: ['*'], respondTo: 'mentions', rateLimitPerMinute: 1_000_000 } as const;
const irc = { host: '127.0.0.1', port: ircPort, tls: false, nick: 'orrery', channels: ['#hall'] };

async function orrery(): Promise<() => Promise<void>> {
  const names = Array.from({ length: threads }, (_, i) => `busy-${i}`);
  const [first = ''] = names;
  const dataDir = mkdtempSync(join(tmpdir(), 'orrery-bench-'));
  const supervisor = await createSupervisor(
    {
      // The least loaded slot takes the next agent: one on each.
      agents: Object.fromEntries(names.map((name) => [name, { use: '../responsiveness/busy-agent.ts' }])),
      defaultAgent: first,
      workers: { threads },
      channels: {
        discord: { type: 'discord', token, apiUrl, ...network },
        irc: { type: 'irc', ...irc, ...network },
      },
      dataDir,
    },
    { dir: import.meta.dirname, log: benchLog() },
  );
  await supervisor.start();
  const tokens = new TokenPool({ threads: 1 });
  let n = 0;
  const keepBusy = async (agent: string, lane: number): Promise<void> => {
    while (!closing.signal.aborted) {
      n += 1;
      const message: InboundMessage = {
        id: `m${n}`,
        channel: 'bench',
        namespace: `bench:${agent}:${lane}`,
        agent,
        message: { role: 'user', content: String(units) },
        metadata: {},
        receivedAt: Date.now(),
      };
      await supervisor.inject(message).then(
        () => (work.turns += 1),
        () => undefined,
      );
    }
  };
  const keepCounting = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      await tokens.count([context]);
      work.contexts += 1;
    }
  };
  const running = [
    keepCounting(),
    ...names.flatMap((name) => Array.from({ length: IN_FLIGHT }, (_, lane) => keepBusy(name, lane))),
  ];
  return async () => {
    await Promise.all(running);
    await tokens.close();
    await supervisor.close();
    rmSync(dataDir, { recursive: true, force: true });
  };
}

/** The same adapters, and everything else on their thread. */
async function single(): Promise<() => Promise<void>> {
  const peer = await loadPeer('gpt-tokenizer', 'o200k_base');
  const host = {
    accept: () => Promise.reject(new Error('nobody is asked here')),
    abort: () => undefined,
    settled: () => Promise.resolve(),
  };
  const rules = { ...network, stream: false };
  const flood = { burst: 4, intervalMs: 2000 };
  const drivers = [
    new DiscordDriver({ token, apiUrl, respondTo: 'mentions' }),
    new IrcDriver({ ...irc, tlsVerify: true, username: 'orrery', realname: 'orrery', flood, formatting: 'plain' }),
  ];
  const managers = await Promise.all(
    drivers.map(async (driver) => {
      const manager = new ChannelManager('none', { host });
      await manager.start(new NetworkChannel(driver, rules, new ChannelMemory()), { name: driver.type });
      return manager;
    }),
  );
  const running = (async () => {
    while (!closing.signal.aborted) {
      for (let i = 0; i < threads; i++) {
        burn(units);
        work.turns += 1;
        await nextTurn();
      }
      peer.count(context);
      work.contexts += 1;
      await nextTurn();
    }
  })();
  return async () => {
    await running;
    await Promise.all(managers.map((manager) => manager.stop()));
  };
}

const hosts: Readonly<Record<string, () => Promise<() => Promise<void>>>> = { orrery, single };
const make = hosts[kind ?? ''];
if (!make) throw new Error(`Expected orrery or single, got ${kind}`);
const close = await make();
serve({ work: () => ({ ...work }) }, async () => {
  closing.abort();
  await close();
});
