/**
 * Does a restart lose or repeat messages? Each network's channel is restarted in the middle of many messages, while a user goes on talking; every
 * message that the network took for the bot must be answered once. For Discord a second run swallows acknowledgements of posts, which their nonce
 * makes harmless; what IRC says of a cut connection is counted beside it. Servers, user and Orrery are in this process: nothing here is timed.
 *
 * node bench/restarts.ts [--messages 1000] [--restarts 3]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type OrreryConfig, type Supervisor, createSupervisor } from '../src/main/index.ts';
import { DiscordServer, TOKEN } from '../test/support/discord/server.ts';
import { Ngircd } from '../test/support/irc/ngircd.ts';
import { IrcUser } from '../test/support/irc/user.ts';
import { benchLog } from './lib/host.ts';
import { option, printJson, printTable, printTarget } from './lib/stats.ts';

const MESSAGES = option('messages', 1000);
const RESTARTS = option('restarts', 3);
const PATIENCE_MS = 60_000;

/** What a network does for the run. */
interface Network extends AsyncDisposable {
  readonly channel: Exclude<OrreryConfig['channels'], undefined>[string];
  /** A user says something; false when nobody was there to hear it. */
  say(text: string): Promise<boolean>;
  /** What the bot has said by now. */
  heard(): readonly string[];
}

interface Result {
  readonly name: string;
  readonly said: number;
  readonly unheard: number;
  readonly lost: number;
  readonly twice: number;
  readonly restarts: number;
}

async function discord(swallows: number): Promise<Network> {
  const server = await DiscordServer.start();
  server.swallows = swallows;
  return {
    channel: {
      type: 'discord',
      token: TOKEN,
      apiUrl: server.apiUrl,
      allow: ['*'],
      rateLimitPerMinute: 1_000_000,
      stream: false,
    },
    // What is said while nobody is connected is kept, and fetched.
    say: (text) => {
      server.say({ content: text });
      return Promise.resolve(true);
    },
    heard: () => server.standing(server.world.dm),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function irc(): Promise<Network> {
  const server = await Ngircd.start();
  const user = await IrcUser.connect(server.port, 'alice');
  return {
    channel: {
      type: 'irc',
      host: '127.0.0.1',
      port: server.port,
      tls: false,
      nick: 'orrery',
      allow: ['*'],
      rateLimitPerMinute: 1_000_000,
      flood: { burst: 10_000, intervalMs: 0 },
    },
    say: (text) =>
      user.say('orrery', text).then(
        () => true,
        () => false,
      ),
    heard: () => user.heard.all.map((line) => line.params.at(-1) ?? ''),
    async [Symbol.asyncDispose]() {
      user[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

async function run(name: string, network: Network): Promise<Result> {
  const dataDir = mkdtempSync(join(tmpdir(), 'orrery-bench-'));
  const supervisor = await createSupervisor(
    {
      agents: { echo: { use: 'builtin:echo' } },
      channels: { net: network.channel },
      delivery: { mailboxSize: MESSAGES, retryMinMs: 20, retryMaxMs: 200 },
      dataDir,
    },
    { log: benchLog() },
  );
  await supervisor.start();
  const said: string[] = [];
  let unheard = 0;
  const restarting: Promise<unknown>[] = [];
  for (let i = 0; i < MESSAGES; i++) {
    if (i > 0 && i % Math.ceil(MESSAGES / (RESTARTS + 1)) === 0) restarting.push(supervisor.channels.restart('net'));
    const text = `message ${i}`;
    while (!(await network.say(text))) {
      unheard += 1;
      await sleep(2);
    }
    said.push(text);
    await sleep(1);
  }
  await Promise.all(restarting);
  await answered(supervisor, network, said.length);
  const counts = new Map<string, number>();
  for (const text of network.heard()) counts.set(text, (counts.get(text) ?? 0) + 1);
  await supervisor.close();
  rmSync(dataDir, { recursive: true, force: true });
  await network[Symbol.asyncDispose]();
  return {
    name,
    said: said.length,
    unheard,
    lost: said.filter((text) => !counts.has(text)).length,
    twice: said.filter((text) => (counts.get(text) ?? 0) > 1).length,
    restarts: restarting.length,
  };
}

/** Waits until all are answered, or nothing has come for a while. */
async function answered(supervisor: Supervisor, network: Network, wanted: number): Promise<void> {
  const until = performance.now() + PATIENCE_MS;
  while (performance.now() < until) {
    if (network.heard().length >= wanted && supervisor.status().messages.pending === 0) return;
    await sleep(20);
  }
}

const results = [
  await run('Discord', await discord(0)),
  await run('Discord, 20 acknowledgements swallowed', await discord(20)),
  await run('IRC (ngircd)', await irc()),
];
console.log(`${MESSAGES} messages, the channel restarted ${RESTARTS} times among them:`);
printTable(
  ['network', 'heard by the bot', 'said to nobody', 'lost', 'answered twice'],
  results.map((r) => [r.name, String(r.said), String(r.unheard), String(r.lost), String(r.twice)]),
);
console.log();
for (const r of results) {
  printTarget(`${r.name}: none lost, none twice`, `${r.lost} lost, ${r.twice} twice`, r.lost === 0 && r.twice === 0);
}
printJson('restarts', { messages: MESSAGES, results });
