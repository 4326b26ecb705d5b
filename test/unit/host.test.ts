/** What stands around a supervisor inside a command: what is given back when its start fails, and who may stop it meanwhile. */
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type CreateSupervisor, type Host, startHost } from '../../src/main/cli/host.ts';
import type { ResolvedConfig } from '../../src/main/config/types.ts';
import { lockDataDir, readRecord } from '../../src/main/ops/lock.ts';
import { OrreryError } from '../../src/protocol/index.ts';
import { type FakeSupervisor, fakeSupervisor } from '../support/fake-supervisor.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../support/temporary.ts';

const LOG = pino({ enabled: false });
const BROKEN = new OrreryError('ORRERY_AGENT_START', 'it does not start');

let dir: TemporaryDirectory;
let supervisor: FakeSupervisor;

beforeEach(() => {
  dir = temporaryDirectory();
  supervisor = fakeSupervisor();
});

afterEach(() => {
  dir[Symbol.dispose]();
});

function start(signal?: AbortSignal, create: CreateSupervisor = () => Promise.resolve(supervisor)): Promise<Host> {
  const config = { dataDir: dir.path } as Partial<ResolvedConfig> as ResolvedConfig;
  return startHost(config, LOG, { create, ...(signal && { signal }) });
}

/** Throws where somebody has it still. */
async function isFree(): Promise<boolean> {
  (await lockDataDir(dir.path, '0')).release();
  return true;
}

function socketOf(): string {
  const { socket } = readRecord(dir.path) ?? {};
  if (socket === undefined) throw new Error('no socket was announced');
  return socket;
}

test('host - a close closes the supervisor and its socket, and gives the directory back', async () => {
  const host = await start();
  const socket = socketOf();
  await expect(isFree()).rejects.toMatchObject({ code: 'ORRERY_DATA_DIR_IN_USE' });
  await host.close();
  expect(supervisor.calls.at(-1)).toBe('close');
  expect(existsSync(dirname(socket))).toBe(false);
  expect(await isFree()).toBe(true);
});

test('host - a start that fails leaves nothing running, and its error is told', async () => {
  let socket = '';
  supervisor.start = () => {
    socket = socketOf();
    return Promise.reject(BROKEN);
  };
  await expect(start()).rejects.toBe(BROKEN);
  expect(supervisor.calls.at(-1)).toBe('close');
  expect(existsSync(dirname(socket))).toBe(false);
  expect(await isFree()).toBe(true);
});

test('host - a supervisor that cannot be made gives the directory back', async () => {
  await expect(start(undefined, () => Promise.reject(BROKEN))).rejects.toBe(BROKEN);
  expect(await isFree()).toBe(true);
});

test.each([
  ['before it', true],
  ['during it', false],
])('host - a stop %s ends the start, whose error is not told', async (_, isEarly) => {
  const stopping = new AbortController();
  if (isEarly) stopping.abort();
  supervisor.start = async () => {
    stopping.abort();
    await supervisor.drained();
    throw BROKEN;
  };
  const host = await start(stopping.signal);
  expect(await host.ended).toMatchObject({ clean: true });
  await host.close();
  expect(await isFree()).toBe(true);
});
