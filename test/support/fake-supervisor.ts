/** Owns a supervisor for tests of what stands around one: it answers at once, keeps what it was asked, and runs no agent. */
import type { DrainReport, Supervisor, Status } from '../../src/main/api.ts';
import { type InboundMessage, NO_USAGE, OrreryError } from '../../src/protocol/index.ts';

export interface FakeSupervisor extends Supervisor {
  readonly calls: string[];
  /** Messages under way: `slow` answers when its turn is cancelled or released. */
  readonly release: () => void;
}

/** Agents: `echo` answers in two deltas, `slow` waits, `broken` fails. */
export function fakeSupervisor(o: { readonly clean?: boolean; readonly url?: string } = {}): FakeSupervisor {
  const calls: string[] = [];
  const released = Promise.withResolvers<void>();
  const drained = Promise.withResolvers<DrainReport>();
  const deadLetter = {
    id: 'd-1',
    agent: 'broken',
    reason: 'exhausted',
    attempts: 3,
    crashes: 0,
    replays: 0,
    acceptedAt: 1_699_999_999_000,
    diedAt: 1_700_000_000_000,
    inbound: {
      id: 'm-1',
      channel: 'web',
      namespace: 'web:alice',
      message: { role: 'user', content: 'the lost words' },
      metadata: {},
      receivedAt: 1_700_000_000_000,
    },
    error: { name: 'OrreryError', code: 'ORRERY_AGENT_FAILED', message: 'it broke' },
  } as const;
  const agents = ['echo', 'slow', 'broken'].map((name) => ({
    name,
    source: 'builtin:echo',
    isolation: 'shared' as const,
    replicas: [{ runtime: name, slot: 'shared-0', state: { status: 'idle' } as const }],
    restarts: 0,
  }));
  const channel = {
    name: 'web',
    type: 'gateway',
    connected: true,
    state: { status: 'open', since: 1 } as const,
    metadata: {},
    ...(o.url === undefined ? {} : { url: o.url }),
  };
  let state: Status['state'] = 'idle';

  const supervisor: FakeSupervisor = {
    calls,
    release: released.resolve,
    start() {
      calls.push('start');
      state = 'running';
      return Promise.resolve();
    },
    status: () => ({
      version: '0.0.0',
      pid: process.pid,
      state,
      startedAt: 1,
      journal: { kind: 'memory', status: 'ok', appends: 0, marks: 0 },
      defaultAgent: 'echo',
      agents,
      slots: [],
      channels: [channel],
      messages: {
        received: 4,
        rejected: 1,
        inIntake: 0,
        accepted: 3,
        recovered: 0,
        replayed: 0,
        answered: 2,
        dead: 1,
        pending: 0,
        rejectedBy: { unroutable: 1 },
        deadBy: { exhausted: 1 },
      },
      zombies: 0,
      quarantine: { waiting: 0, runs: 0, innocent: 0, poison: 0 },
      loopDelayMs: { p50: 1, p99: 2, max: 3 },
    }),
    readiness: () => (state === 'running' ? { ready: true, reasons: [] } : { ready: false, reasons: [state] }),
    drain(options) {
      calls.push(`drain ${options?.timeoutMs ?? 'default'}`);
      state = 'draining';
      drained.resolve({ clean: o.clean ?? true, answered: 2, unfinished: o.clean === false ? 1 : 0, durationMs: 5 });
      return drained.promise;
    },
    drained: () => drained.promise,
    reload() {
      calls.push('reload');
      return Promise.resolve({
        file: '/etc/orrery.json',
        agents: { added: ['new'], changed: [], removed: [] },
        channels: { added: [], changed: ['web'], removed: [] },
        routing: true,
        needsRestart: ['workers.threads'],
        failed: [],
        warnings: [],
        durationMs: 3,
      });
    },
    close() {
      calls.push('close');
      state = 'closed';
      return Promise.resolve();
    },
    channels: {
      agents: () => new Map(),
      list: () => [channel],
      get: () => undefined,
      restart: (name) => (name === 'web' ? Promise.resolve(channel) : Promise.reject(missing(name))),
    },
    agents: {
      list: () => agents,
      restart(name) {
        const agent = agents.find((a) => a.name === name);
        if (agent !== undefined) return Promise.resolve(agent);
        return Promise.reject(new OrreryError('ORRERY_AGENT_UNKNOWN', `There is no agent "${name}"`));
      },
    },
    deadLetters: {
      list: () => Promise.resolve([deadLetter]),
      get: letter,
      replay: letter,
      drop: async (id) => {
        await letter(id);
      },
    },
    sessions: {
      read: () => Promise.resolve([]),
      clear: () => Promise.resolve(),
      list: () => Promise.resolve([]),
    },
    inject: (message, options) => inject(message, options ?? {}),
    cancel: () => false,
    metrics: () => Promise.resolve(''),
    [Symbol.asyncDispose]: () => supervisor.close(),
  };

  function letter(id: string): Promise<typeof deadLetter> {
    return id === deadLetter.id ? Promise.resolve(deadLetter) : Promise.reject(missing(id));
  }

  async function inject(
    message: InboundMessage,
    { signal, onDelta }: { signal?: AbortSignal; onDelta?: (text: string) => void },
  ): ReturnType<Supervisor['inject']> {
    const agent = message.agent ?? 'echo';
    const { content } = message.message;
    calls.push(`inject ${agent} ${content}`);
    if (agent === 'broken') throw new OrreryError('ORRERY_AGENT_FAILED', 'it broke', { cause: new Error('why') });
    onDelta?.(content.slice(0, 2));
    if (agent === 'slow') await Promise.race([released.promise, cancelled(signal)]);
    onDelta?.(content.slice(2));
    const reply = { role: 'assistant', content } as const;
    return { message: reply, usage: NO_USAGE, steps: 0, id: `d-${message.id}`, agent, namespace: message.namespace };
  }
  return supervisor;
}

function cancelled(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(new OrreryError('ORRERY_CANCELLED', 'The turn was cancelled')));
  });
}

function missing(name: string): OrreryError {
  return new OrreryError('ORRERY_NOT_FOUND', `There is no channel "${name}"`);
}
