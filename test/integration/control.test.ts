import { type IncomingMessage, createServer, request } from 'node:http';
import { existsSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/lib/log.ts';
import { type Control, createControl, findControl } from '../../src/main/ops/control-client.ts';
import { startControl } from '../../src/main/ops/control.ts';
import { lockDataDir, readRecord } from '../../src/main/ops/lock.ts';
import { codeOf } from '../../src/protocol/index.ts';
import { start } from '../support/commands.ts';
import { type FakeSupervisor, fakeSupervisor } from '../support/fake-supervisor.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** Takes no byte, as a full disk. */
const FULL = '/dev/full';
const HOLD = fileURLToPath(new URL('../fixtures/hold-data-dir.ts', import.meta.url));

interface Opened extends AsyncDisposable {
  readonly supervisor: FakeSupervisor;
  readonly control: Control;
  readonly socket: string;
  readonly dataDir: string;
  close(): Promise<void>;
}

async function open(dataDir?: string): Promise<Opened> {
  const directory = temporaryDirectory();
  const where = dataDir ?? directory.path;
  const supervisor = fakeSupervisor();
  const lock = await lockDataDir(where, '1.2.3');
  const drain: FakeSupervisor['drain'] = (o) => supervisor.drain(o);
  const server = await startControl({ supervisor, drain, log: silentLogger() }, where);
  lock.announce(server.socket);
  async function close(): Promise<void> {
    await server.close();
    lock.release();
    directory[Symbol.dispose]();
  }
  return {
    supervisor,
    control: findControl(where),
    socket: server.socket,
    dataDir: where,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function mode(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}

const message = (text: string, agent?: string): Parameters<Control['chat']>[0] => ({
  id: `m-${text}`,
  text,
  namespace: 'terminal:x',
  ...(agent === undefined ? {} : { agent }),
});

describe('control socket', () => {
  it('socket and record - are only for this user, and name the process', async () => {
    await using opened = await open();
    expect(mode(opened.socket)).toBe('600');
    expect(mode(join(opened.socket, '..'))).toBe('700');
    expect(mode(join(opened.dataDir, 'supervisor.json'))).toBe('600');
    expect(readRecord(opened.dataDir)).toMatchObject({ pid: process.pid, socket: opened.socket, version: '1.2.3' });
  });

  it('commands - reach the supervisor and bring its answers back', async () => {
    await using opened = await open();
    const { control, supervisor } = opened;
    expect(await control.status()).toEqual(supervisor.status());
    expect(await control.restartAgent('echo')).toEqual(supervisor.status().agents[0]);
    expect(await control.restartChannel('web')).toEqual(supervisor.status().channels[0]);
    expect(await control.reload()).toEqual(await supervisor.reload());
    expect(await control.deadLetters()).toEqual(await supervisor.deadLetters.list());
    expect((await control.deadLetter('d-1')).inbound.message.content).toBe('the lost words');
    expect((await control.replayDeadLetter('d-1')).agent).toBe('broken');
    await expect(control.dropDeadLetter('d-1')).resolves.toBeUndefined();
    await expect(control.replayDeadLetter('x')).rejects.toMatchObject({ code: 'ORRERY_NOT_FOUND' });
    await expect(control.dropDeadLetter('x')).rejects.toMatchObject({ code: 'ORRERY_NOT_FOUND' });
    expect(await control.drain({ timeoutMs: 7 })).toEqual({ clean: true, answered: 2, unfinished: 0, durationMs: 5 });
    expect(supervisor.calls).toEqual(['reload', 'reload', 'drain 7']);
  });

  it('errors - keep their code and message', async () => {
    await using opened = await open();
    const { control } = opened;
    await expect(control.restartAgent('a/b')).rejects.toMatchObject({
      code: 'ORRERY_AGENT_UNKNOWN',
      message: 'There is no agent "a/b"',
    });
    await expect(control.restartChannel('x')).rejects.toMatchObject({ code: 'ORRERY_NOT_FOUND' });
    await expect(control.deadLetter('x')).rejects.toMatchObject({ code: 'ORRERY_NOT_FOUND' });
  });

  it('chat - streams deltas, then the reply', async () => {
    await using opened = await open();
    const deltas: string[] = [];
    const reply = await opened.control.chat(message('hello\nworld'), { onDelta: (text) => deltas.push(text) });
    expect(reply).toMatchObject({ agent: 'echo', message: { content: 'hello\nworld' } });
    expect(deltas).toEqual(['he', 'llo\nworld']);
  });

  it('chat - rejects with the error of the turn and its cause', async () => {
    await using opened = await open();
    const failed: unknown = await opened.control.chat(message('x', 'broken')).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: 'ORRERY_AGENT_FAILED', message: 'it broke', cause: { message: 'why' } });
  });

  it('chat - is cancelled when its signal aborts, while another goes on', async () => {
    await using opened = await open();
    const abort = new AbortController();
    const started = Promise.withResolvers<void>();
    const first = opened.control.chat(message('first', 'slow'), {
      signal: abort.signal,
      onDelta: () => started.resolve(),
    });
    const second = opened.control.chat(message('second', 'slow'));
    await started.promise;
    abort.abort();
    await expect(first).rejects.toMatchObject({ code: 'ORRERY_CANCELLED' });
    opened.supervisor.release();
    expect((await second).message.content).toBe('second');
  });

  it('client that goes away - does not cancel its turn', async () => {
    await using opened = await open();
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request({ socketPath: opened.socket, method: 'POST', path: '/chat' }, resolve);
      outgoing.on('error', reject);
      outgoing.end(JSON.stringify(message('stay', 'slow')));
    });
    await new Promise<void>((resolve) => response.once('data', () => resolve()));
    response.destroy();
    opened.supervisor.release();
    expect((await opened.control.chat(message('next'))).message.content).toBe('next');
    expect(opened.supervisor.calls).toEqual(['inject slow stay', 'inject echo next']);
  });

  it('bad requests - are answered with an error', async () => {
    await using opened = await open();
    const bad = { id: 5, text: 'x', namespace: 'y' };
    await expect(opened.control.chat(Object.assign(message('x'), bad))).rejects.toMatchObject({
      code: 'ORRERY_BAD_REQUEST',
    });
  });

  it('long data directory - gets a socket in a private directory elsewhere, which goes with it', async () => {
    using directory = temporaryDirectory();
    const opened = await open(join(directory.path, 'd'.repeat(120)));
    expect(Buffer.byteLength(opened.socket)).toBeLessThan(100);
    expect(mode(join(opened.socket, '..'))).toBe('700');
    expect((await opened.control.status()).pid).toBe(process.pid);
    await opened.close();
    expect(existsSync(join(opened.socket, '..'))).toBe(false);
  });

  it('no supervisor - is ORRERY_NOT_RUNNING, also when only its socket is gone', async () => {
    using directory = temporaryDirectory();
    expect(codeOf(catching(() => findControl(directory.path)))).toBe('ORRERY_NOT_RUNNING');
    const gone = createControl(join(directory.path, 'x.sock'), 1);
    await expect(gone.status()).rejects.toMatchObject({ code: 'ORRERY_NOT_RUNNING' });
  });

  it('supervisor that ends during a call - is ORRERY_INTERRUPTED', async () => {
    using directory = temporaryDirectory();
    const socket = join(directory.path, 'x.sock');
    const server = createServer((request) => request.socket.destroy());
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    await expect(createControl(socket, 1).status()).rejects.toMatchObject({ code: 'ORRERY_INTERRUPTED' });
    server.close();
  });
});

describe('data directory', () => {
  it('two starters - exactly one wins when they start at the same instant, and the others name its pid', async () => {
    for (let round = 0; round < 2; round++) {
      using directory = temporaryDirectory();
      const at = String(Date.now() + 700);
      const starters = Array.from({ length: 3 }, () => start([directory.path, at], { script: HOLD }));
      try {
        const said = await Promise.all(
          starters.map((s) => Promise.race([s.until('got '), s.finished.then(({ stdout }) => stdout)])),
        );
        const winners = said.filter((text) => text.startsWith('got '));
        expect(winners).toHaveLength(1);
        const pid = winners[0]?.slice(4).trim();
        for (const text of said.filter((t) => !t.startsWith('got '))) {
          expect(text).toContain(`refused ORRERY_DATA_DIR_IN_USE`);
          expect(text).toContain(`pid ${pid}`);
        }
      } finally {
        await Promise.all(starters.map((s) => s[Symbol.asyncDispose]()));
      }
    }
  });

  it('killed supervisor - leaves a record that is not believed and a directory that can be taken', async () => {
    using directory = temporaryDirectory();
    const holder = start([directory.path], { script: HOLD });
    await holder.until('got ');
    expect(readRecord(directory.path)?.pid).toBe(holder.child.pid);
    holder.child.kill('SIGKILL');
    await holder.finished;
    expect(existsSync(join(directory.path, 'supervisor.json'))).toBe(true);
    expect(readRecord(directory.path)).toBeUndefined();
    const lock = await lockDataDir(directory.path, '0.0.0');
    expect(readRecord(directory.path)?.pid).toBe(process.pid);
    lock.release();
    expect(existsSync(join(directory.path, 'supervisor.json'))).toBe(false);
  });

  it.runIf(existsSync('/proc/self/stat'))(
    'lock file that was removed under a supervisor - does not let a second one in while it lives',
    async () => {
      using directory = temporaryDirectory();
      const holder = start([directory.path], { script: HOLD });
      await holder.until('got ');
      rmSync(join(directory.path, 'supervisor.lock'));
      await expect(lockDataDir(directory.path, '0.0.0')).rejects.toMatchObject({
        code: 'ORRERY_DATA_DIR_IN_USE',
        details: { pid: holder.child.pid },
      });
      expect(readRecord(directory.path)?.pid).toBe(holder.child.pid);
      holder.child.kill('SIGKILL');
      await holder.finished;
      (await lockDataDir(directory.path, '0.0.0')).release();
    },
  );

  it.runIf(existsSync('/proc/self/stat'))(
    'record - is not believed when its pid is by now another process',
    async () => {
      using directory = temporaryDirectory();
      const lock = await lockDataDir(directory.path, '0.0.0');
      const file = join(directory.path, 'supervisor.json');
      const record = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
      writeFileSync(file, JSON.stringify({ ...record, processStart: '1' }));
      expect(readRecord(directory.path)).toBeUndefined();
      lock.release();
    },
  );

  it('second supervisor - is refused in the same process too, and after a release taken', async () => {
    using directory = temporaryDirectory();
    const first = await lockDataDir(directory.path, '0.0.0');
    await expect(lockDataDir(directory.path, '0.0.0')).rejects.toMatchObject({
      code: 'ORRERY_DATA_DIR_IN_USE',
      details: { pid: process.pid },
    });
    first.release();
    first.release();
    (await lockDataDir(directory.path, '0.0.0')).release();
  });

  it('directory that cannot be written - is a configuration error that names it', async () => {
    using directory = temporaryDirectory();
    const dataDir = join(directory.write('file', ''), 'data');
    await expect(lockDataDir(dataDir, '0.0.0')).rejects.toMatchObject({
      code: 'ORRERY_CONFIG_INVALID',
      message: expect.stringContaining(dataDir),
    });
  });

  it.skipIf(!existsSync(FULL))(
    'data directory - a full disk is no fault of the configuration, whether it is found at the lock or once the host runs',
    async () => {
      using directory = temporaryDirectory();
      const fullDisk = { code: 'ORRERY_DATABASE_FAILED', message: expect.stringContaining(directory.path) as string };
      const record = join(directory.path, 'supervisor.json.new');
      symlinkSync(FULL, record);
      await expect(lockDataDir(directory.path, '0.0.0')).rejects.toMatchObject(fullDisk);
      rmSync(record);
      const lock = await lockDataDir(directory.path, '0.0.0');
      symlinkSync(FULL, record);
      expect(() => lock.announce('socket')).toThrow(expect.objectContaining(fullDisk));
      lock.release();
    },
  );
});

function catching(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return error;
  }
}
