/** Owns what a gateway sees of the host. */
import type { Supervisor } from '../api.ts';
import type { GatewayHost } from '../channels/gateway/index.ts';
import type { LazyTokenPool } from './tokens.ts';

export function gatewayHostOf(
  supervisor: Supervisor,
  tokens: LazyTokenPool,
  defaultAgent: () => string,
  drain: () => Promise<unknown>,
): GatewayHost {
  return {
    agents: () =>
      supervisor.agents.list().map(({ name, replicas }) => ({ name, status: replicas[0]?.state.status ?? 'stopped' })),
    defaultAgent,
    readiness: () => supervisor.readiness(),
    status: () => supervisor.status(),
    metrics: () => supervisor.metrics(),
    cancel: (delivery) => supervisor.cancel(delivery),
    restartAgent: (name) => supervisor.agents.restart(name),
    restartChannel: (name) => supervisor.channels.restart(name),
    readSession: (agent, namespace) => supervisor.sessions.read(agent, namespace),
    clearSession: (agent, namespace) => supervisor.sessions.clear(agent, namespace),
    // Read late: the supervisor is still being made.
    get deadLetters() {
      return supervisor.deadLetters;
    },
    drain: () => void drain(),
    countTokens: (texts, o) => tokens.count(texts, o),
    countMessageTokens: (messages, o) => tokens.countMessages(messages, o),
  };
}
