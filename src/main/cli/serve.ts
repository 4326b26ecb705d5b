/** Owns `orrery serve`: the supervisor in the foreground, and what signals and unexpected errors do to it. */
import { closeSync, openSync } from 'node:fs';
import { isatty } from 'node:tty';
import type { Command } from 'commander';
import type { Logger } from 'pino';
import type { Status } from '../api.ts';
import type { ResolvedConfig } from '../config/index.ts';
import { endClosed, endNow, watchThreads } from './end.ts';
import type { CreateSupervisor, Host } from './host.ts';
import { type ConfigOptions, addConfigOptions, loadOptions } from './options.ts';
import { duration, printLine } from './output.ts';

/** The drain keeps the deadline itself; this ends a process in which even that hangs. */
const WATCHDOG_EXTRA_MS = 1_500;
/** What a shell makes of a program that SIGHUP ended. */
const HANG_UP_CODE = 129;

export function registerServe(program: Command): void {
  const command = program
    .command('serve')
    .description('run the supervisor in the foreground')
    .option('--port <n>', "the gateway's port; 0 takes any free one")
    .option('--host <h>', "the gateway's address; beyond 127.0.0.1 a token is required");
  command.option('--watch', 'take over edits of the configuration and of agent modules');
  addConfigOptions(command).action((options: ServeOptions) => serve(options));
}

export interface ServeOptions extends ConfigOptions {
  readonly watch?: boolean;
}

/** Runs until it is drained, then ends the process: 0 when clean, 1 when cut off. Rejects only before it runs. */
export async function serve(options: ServeOptions, create?: CreateSupervisor): Promise<void> {
  watchThreads();
  const [{ loadConfig }, { createLogger }, { startHost }] = await Promise.all([
    import('../config/index.ts'),
    import('../../lib/log.ts'),
    import('./host.ts'),
  ]);
  const config = await loadConfig(loadOptions(options));
  const log = createLogger(config.log);
  endOnUnexpected(log);

  // Found once: while its file is being replaced, another one further up must not be taken for it.
  const found = config.file === undefined ? {} : { file: config.file };
  const load = (): Promise<ResolvedConfig> => loadConfig({ ...loadOptions(options), ...found, again: true });
  const stopping = new AbortController();
  const { signal } = stopping;
  const starting = startHost(config, log, { load, signal, ...(create === undefined ? {} : { create }) });
  const timeoutMs = config.shutdown.timeoutMs;
  onSignals(log, isatty(0) || isatty(1) || isatty(2), {
    reload: () => {
      // Whatever it rejects with is in the log by then; what the start rejects with is told below.
      starting.then((host) => host.supervisor.reload()).catch(() => undefined);
    },
    stop: () => {
      endAfter(log, timeoutMs);
      stopping.abort();
    },
  });
  const host = await starting;
  if (host.supervisor.status().state === 'running') {
    if (options.watch === true) await watchSources(host, config, log);
    announce(host, config, log);
  }
  const report = await host.ended.catch((error: unknown) => {
    log.fatal({ err: error }, 'only a new process helps; this one ends');
    endNow(1);
  });
  await host.close();
  const text = report.clean ? 'drained' : 'cut off at the shutdown deadline';
  if (isatty(1)) printLine(`Orrery was ${text} after ${duration(report.durationMs)}.`);
  // Whatever handle an agent's library left open must not keep the process.
  await endClosed(report.clean ? 0 : 1);
}

/** Logs and ends: after an error that nobody caught, no promise of the host can be relied on. Lines are written at once. */
export function endOnUnexpected(log: Logger): void {
  const end = (message: string) => (error: unknown) => {
    log.fatal({ err: error }, message);
    endNow(1);
  };
  process.on('uncaughtException', end('an error was not caught; the process ends'));
  process.on('unhandledRejection', end('a rejection was not handled; the process ends'));
}

/** `hadTerminal`: it was started on one, whose end is told by the same signal as the wish for a reload. */
function onSignals(log: Logger, hadTerminal: boolean, o: { reload: () => void; stop: () => void }): void {
  let signals = 0;
  process.on('SIGHUP', (signal) => {
    if (!hadTerminal || hasTerminal()) {
      log.info({ signal }, 'reading the configuration again');
      return o.reload();
    }
    // As it ends any program. Nothing can be logged any more, so that no drain could come to its end; what is unfinished is in the journal.
    endNow(HANG_UP_CODE);
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      signals++;
      if (signals > 1) {
        log.warn({ signal }, 'a second signal: the process ends at once');
        endNow(1);
      }
      log.info({ signal }, 'draining; a second signal ends the process at once');
      o.stop();
    });
  }
}

function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}

async function watchSources({ supervisor }: Host, { file }: ResolvedConfig, log: Logger): Promise<void> {
  const { Watch } = await import('./watch.ts');
  await new Watch({ supervisor, file, log }).start();
}

function endAfter(log: Logger, timeoutMs: number): void {
  setTimeout(() => {
    log.fatal({ timeoutMs }, 'the shutdown did not end at its deadline; the process ends');
    endNow(1);
  }, timeoutMs + WATCHDOG_EXTRA_MS).unref();
}

function announce(host: Host, config: ResolvedConfig, log: Logger): void {
  const status = host.supervisor.status();
  const urls = gatewayUrls(status, config);
  const agents = status.agents.map(({ name }) => name);
  log.info({ pid: process.pid, version: status.version, urls, agents, dataDir: config.dataDir }, 'the supervisor runs');
  if (!isatty(1)) return;
  const named = agents.map((name) => (name === status.defaultAgent ? `${name} (default)` : name)).join(', ');
  printLine(
    `\nOrrery ${status.version} runs with ${agents.length === 1 ? 'one agent' : `${agents.length} agents`}: ${named}`,
  );
  for (const url of urls) {
    printLine(`  chat page   ${url}/`);
    printLine(`  OpenAI API  ${url}/v1`);
  }
  printLine('  terminal    orrery chat');
  printLine('Ctrl-C finishes what was accepted and stops; a second one stops at once.\n');
}

/** Names where the gateways are reached: what the connection says of itself, else what was configured. */
export function gatewayUrls(status: Status, config: ResolvedConfig): string[] {
  return Object.entries(config.channels).flatMap(([name, gateway]): string[] => {
    if (gateway.type !== 'gateway') return [];
    const { host, port } = gateway;
    const channel = status.channels.find((c) => c.name === name);
    if (channel?.url !== undefined) return [channel.url];
    const reachable =
      host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '[::1]' : host.includes(':') ? `[${host}]` : host;
    return port === 0 ? [] : [`http://${reachable}:${port}`];
  });
}
