/**
 * Runs the demo: one supervisor whose saboteurs take their threads down at the press of a button, and a page on which
 * one sees the other agents go on answering. Usage: npm run demo [-- --port N], by default 8791 on this machine only.
 */
import { parseArgs } from 'node:util';
import { type Supervisor, createSupervisor } from '../../src/main/index.ts';
import { DIR, demoConfig } from './config.ts';
import { PageServer } from './page-server.ts';

const DEFAULT_PORT = 8791;

const page = new PageServer();
const origins = await listen().catch(fail);
const { supervisor, gateway } = await startSupervisor(origins).catch(fail);
page.serve(supervisor, gateway.host);
console.log(`The demo runs at ${origins[0]}/ (Ctrl-C ends it)`);

let ending = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (ending) process.exit(1);
    ending = true;
    void end();
  });
}

async function end(): Promise<void> {
  await page.close();
  const { clean } = await supervisor.drain({ timeoutMs: 5_000 });
  process.exit(clean ? 0 : 1);
}

async function listen(): Promise<readonly [string, ...string[]]> {
  const port = portOf(process.argv.slice(2));
  try {
    return await page.listen(port);
  } catch (error) {
    const taken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
    throw taken ? new Error(`Port ${port} is already in use: give another one with --port N`) : error;
  }
}

function portOf(args: string[]): number {
  const { values } = parseArgs({ args, options: { port: { type: 'string' } } });
  const port = Number(values.port ?? DEFAULT_PORT);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new Error(`Expected --port to be a number from 0 to 65535, got ${values.port}`);
}

/** The page talks to the gateway itself, as any client would: on a port of its own, whichever is free. */
async function startSupervisor(pageOrigins: readonly string[]): Promise<{ supervisor: Supervisor; gateway: URL }> {
  const { ORRERY_DATA_DIR: dataDir } = process.env;
  const config = { ...demoConfig(pageOrigins), ...(dataDir === undefined ? {} : { dataDir }) };
  const supervisor = await createSupervisor(config, { dir: DIR });
  await supervisor.start();
  const url = supervisor.channels.list()[0]?.url;
  if (url === undefined) throw new Error('The gateway did not say where it listens');
  return { supervisor, gateway: new URL(url) };
}

function fail(error: unknown): never {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
