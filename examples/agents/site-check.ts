/**
 * Uses the world outside: checks the sites that its `SITES` variable lists, and tells of each as soon as it has answered.
 *
 * Configuration: `{ use: './examples/agents/site-check.ts', env: ['SITES'] }`, with `SITES` holding addresses by comma.
 */
import { type AgentDefinition, defineAgent } from '../../src/worker/agent.ts';

/** One agent module may serve several runtimes on a thread: what belongs to one of them is kept under its name. */
const sites = new Map<string, readonly string[]>();

const siteCheck: AgentDefinition = defineAgent({
  // What cannot work is refused at the start: the supervisor then knows, not only the first person who asks.
  start(ctx) {
    const listed = (ctx.env['SITES'] ?? '').split(',').map((site) => site.trim());
    const valid = listed.filter((site) => URL.canParse(site));
    if (valid.length === 0) throw new Error('SITES lists no address');
    sites.set(ctx.runtime, valid);
    ctx.log.info({ sites: valid.length }, 'watching sites');
  },

  async *respond(turn) {
    const waiting = new Map((sites.get(turn.runtime) ?? []).map((site) => [site, check(site, turn.signal)]));
    while (waiting.size > 0) {
      const { site, line } = await Promise.race(waiting.values());
      waiting.delete(site);
      yield `${line}\n`;
    }
  },

  stop(ctx) {
    sites.delete(ctx.runtime);
  },
});

export default siteCheck;

/** An abort must end the turn; any other failure is an answer. */
async function check(site: string, signal: AbortSignal): Promise<{ site: string; line: string }> {
  try {
    const response = await fetch(site, { method: 'HEAD', signal });
    return { site, line: `${site}: ${response.status}` };
  } catch (error) {
    signal.throwIfAborted();
    return { site, line: `${site}: no answer (${error instanceof Error ? error.message : String(error)})` };
  }
}
