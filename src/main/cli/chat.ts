/** Owns `orrery chat`: the terminal channel, in front of the running supervisor or of one that it starts for itself. */
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { isatty } from 'node:tty';
import type { Command } from 'commander';
import { type DeliveredReply, type InboundMessage, OrreryError, codeOf, toWire } from '../../protocol/index.ts';
import type { Status } from '../api.ts';
import type { CreateSupervisor } from './host.ts';
import { type ConfigOptions, addConfigOptions, loadOptions } from './options.ts';
import { Exit } from './output.ts';

/** A supervisor that is just starting or ending is waited for this long before the command gives up. */
const ATTACH_WAIT_MS = 10_000;
const ATTACH_LOOK_MS = 50;

export interface ChatOptions extends ConfigOptions {
  readonly session?: string;
}

export interface ChatStreams {
  readonly input: Readable;
  readonly output: Writable;
  readonly errors: Writable;
  readonly interactive: boolean;
}

/** A way to a supervisor. */
interface Link {
  readonly description: string;
  status(): Promise<Status>;
  chat(
    inbound: InboundMessage,
    o: { readonly signal: AbortSignal; readonly onDelta: (text: string) => void },
  ): Promise<DeliveredReply>;
  close(): Promise<void>;
}

export function registerChat(program: Command): void {
  const command = program
    .command('chat')
    .argument('[agent]', 'the agent to talk to (default: what the routing says)')
    .description('talk to an agent in the terminal, or line by line from a pipe')
    .option('--session <name>', 'go on with the session of that name (default: a new one)');
  addConfigOptions(command).action(async (agent: string | undefined, options: ChatOptions) => {
    const { stdin: input, stdout: output, stderr: errors } = process;
    const streams = { input, output, errors, interactive: isatty(0) && isatty(1) };
    const failed = await chat(agent, options, streams);
    // Standard input may still be open after a Ctrl-C, and would keep the process.
    input.destroy();
    if (failed) throw new Exit(1);
  });
}

/** Talks until the input ends; true when a message failed or the talk was broken off. */
export async function chat(
  agent: string | undefined,
  options: ChatOptions,
  streams: ChatStreams,
  create?: CreateSupervisor,
): Promise<boolean> {
  const link = await attachOrStart(options, create);
  try {
    const { agents, defaultAgent } = await link.status();
    if (agent !== undefined && !agents.some(({ name }) => name === agent)) {
      const names = agents.map(({ name }) => name).join(', ');
      throw new OrreryError('ORRERY_AGENT_UNKNOWN', `There is no agent ${JSON.stringify(agent)}`, {
        hint: `The agents are: ${names}`,
      });
    }
    if (streams.interactive) {
      streams.output.write(`Talking to ${agent ?? defaultAgent}, ${link.description}.\n`);
      streams.output.write('Ctrl-C cancels a running turn, Ctrl-D leaves.\n');
    }
    return await talk(link, agent, options.session, streams);
  } finally {
    await link.close();
  }
}

/** Runs the terminal channel for one connection; turns go over the link. */
async function talk(
  link: Link,
  agent: string | undefined,
  session: string | undefined,
  streams: ChatStreams,
): Promise<boolean> {
  const [{ TerminalChannel }, { silentLogger }] = await Promise.all([
    import('../channels/terminal.ts'),
    import('../../lib/log.ts'),
  ]);
  const turns = new Map<string, AbortController>();
  const channel = new TerminalChannel({
    ...streams,
    ...(agent === undefined ? {} : { agent }),
    ...(session === undefined ? {} : { session }),
    cancel: (id) => turns.get(id)?.abort(),
  });
  const name = 'terminal';
  const connection = new AbortController();
  const ended = Promise.withResolvers<unknown>();
  const broken = (): void => connection.abort();
  process.once('SIGTERM', broken);
  // On a terminal Ctrl-C is a key, and the channel's; from a pipe it is a signal, and an end.
  process.once('SIGINT', broken);
  await channel.connect({
    signal: connection.signal,
    log: silentLogger(),
    name,
    metadata: {},
    closed: ended.resolve,
    accept: (inbound, listener) => {
      const { id, namespace, metadata } = inbound;
      const turn = new AbortController();
      turns.set(id, turn);
      const target = { channel: name, namespace, inReplyTo: id, metadata };
      const onDelta = (text: string): void => listener?.delta?.(text);
      link
        .chat(inbound, { signal: turn.signal, onDelta })
        .then(
          (reply) => channel.send({ target, reply }),
          (error: unknown) =>
            channel.sendError({ target, delivery: id, agent: inbound.agent ?? '', error: toWire(error) }),
        )
        .finally(() => turns.delete(id));
      return Promise.resolve({ status: 'accepted', id, agent: inbound.agent ?? '' });
    },
  });
  const cause = await ended.promise;
  process.off('SIGTERM', broken);
  process.off('SIGINT', broken);
  await channel.dispose();
  for (const turn of turns.values()) turn.abort();
  if (cause !== undefined) throw cause;
  return channel.failed > 0 || connection.signal.aborted;
}

async function attachOrStart(options: ChatOptions, create: CreateSupervisor | undefined): Promise<Link> {
  const { locateDataDir } = await import('../config/index.ts');
  const dataDir = await locateDataDir(loadOptions(options));
  const deadline = Date.now() + ATTACH_WAIT_MS;
  for (;;) {
    const link = await attach(dataDir);
    if (link !== undefined) return link;
    try {
      return await start(options, create);
    } catch (error) {
      // Race: another supervisor took the directory between the look and the lock, or has not opened its socket yet.
      if (codeOf(error) !== 'ORRERY_DATA_DIR_IN_USE' || Date.now() > deadline) throw error;
      await sleep(ATTACH_LOOK_MS);
    }
  }
}

async function attach(dataDir: string): Promise<Link | undefined> {
  const { findControl } = await import('../ops/control-client.ts');
  try {
    const control = findControl(dataDir);
    await control.status();
    return {
      description: `on the supervisor with pid ${control.pid}`,
      status: () => control.status(),
      chat: ({ id, message, namespace, agent }, o) =>
        control.chat({ id, text: message.content, namespace, ...(agent === undefined ? {} : { agent }) }, o),
      close: () => Promise.resolve(),
    };
  } catch (error) {
    if (codeOf(error) === 'ORRERY_NOT_RUNNING') return undefined;
    throw error;
  }
}

/** Starts a supervisor without channels, whose log says errors only and leaves standard output to the answers. */
async function start(options: ChatOptions, create: CreateSupervisor | undefined): Promise<Link> {
  const [{ loadConfig }, { createLogger }, { startHost }] = await Promise.all([
    import('../config/index.ts'),
    import('../../lib/log.ts'),
    import('./host.ts'),
  ]);
  const loaded = await loadConfig(loadOptions(options));
  const level = process.env['ORRERY_LOG_LEVEL'] ? loaded.log.level : 'error';
  const config = { ...loaded, channels: {}, log: { level, pretty: isatty(2), fd: 2 } } as const;
  const host = await startHost(config, createLogger(config.log), create === undefined ? {} : { create });
  return {
    description: 'on a supervisor of its own',
    status: () => Promise.resolve(host.supervisor.status()),
    chat: (inbound, o) => host.supervisor.inject(inbound, o),
    async close() {
      await host.stop({ timeoutMs: config.shutdown.timeoutMs });
      await host.close();
    },
  };
}
