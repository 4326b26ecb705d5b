/** Owns `orrery agents list|restart`. */
import type { Command } from 'commander';
import type { AgentStatus } from '../api.ts';
import { type ConfigOptions, type JsonOption, addConfigOptions, addJsonOption, runningSupervisor } from './options.ts';
import { printJson, printLine, printTable } from './output.ts';

export const AGENT_HEADS: readonly string[] = ['AGENT', 'SOURCE', 'ISOLATION', 'REPLICAS', 'RESTARTS'];

/** Writes an agent as a row under {@link AGENT_HEADS}. */
export function agentRow(agent: AgentStatus, defaultAgent?: string): string[] {
  const replicas = agent.replicas.map(({ slot, state }) => `${state.status} on ${slot}`).join(', ');
  const name = agent.name === defaultAgent ? `${agent.name} (default)` : agent.name;
  return [name, agent.source, agent.isolation, replicas, String(agent.restarts)];
}

export function registerAgents(program: Command): void {
  const agents = program.command('agents').description('list or restart the agents of the running supervisor');
  addJsonOption(addConfigOptions(agents.command('list').description('list the agents'))).action(
    async (options: ConfigOptions & JsonOption) => {
      const status = await (await runningSupervisor(options)).status();
      if (options.json === true) printJson(status.agents);
      else
        printTable(
          AGENT_HEADS,
          status.agents.map((agent) => agentRow(agent, status.defaultAgent)),
        );
    },
  );
  const restart = agents
    .command('restart')
    .argument('<name>')
    .description('start an agent anew, with its code as it is now; running turns end where they run');
  addJsonOption(addConfigOptions(restart)).action(async (name: string, options: ConfigOptions & JsonOption) => {
    const agent = await (await runningSupervisor(options)).restartAgent(name);
    if (options.json === true) printJson(agent);
    else printLine(`${agent.name} was restarted: ${agent.replicas.map(({ state }) => state.status).join(', ')}`);
  });
}
