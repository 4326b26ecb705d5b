/** Owns `orrery init`: a small commented configuration and one agent module. It never overwrites. */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { OrreryError } from '../../protocol/index.ts';
import { printLine } from './output.ts';

const CONFIG = `import { defineConfig } from 'orrery-host';

export default defineConfig({
  agents: {
    // An agent of your own: a module that is loaded inside a worker thread.
    hello: { use: './agents/hello.ts' },
    // Comes with Orrery; needs no model and no key.
    eliza: { use: 'builtin:eliza' },
    // A model, without any code:
    // helper: { model: 'openai-compatible:llama3', baseUrl: 'http://127.0.0.1:11434/v1', system: 'You are helpful.' },
  },
  // Answers what no rule sends to another agent.
  defaultAgent: 'hello',
  channels: {
    // HTTP, WebSocket and the chat page. Beyond 127.0.0.1 a token is required.
    web: { type: 'gateway', host: '127.0.0.1', port: 8790, token: '\${ORRERY_TOKEN:-}' },
  },
});
`;

const AGENT = `import type { Turn } from 'orrery-host/agent';

// What is yielded is the reply; the host keeps the session, and retries a turn that failed.
export default {
  async *respond(turn: Turn): AsyncGenerator<string> {
    const said = turn.history.filter((message) => message.role === 'user').length;
    yield 'Hello! ';
    yield \`You said "\${turn.message.content}"; that was message \${said + 1} of this session.\`;
  },
};
`;

export function registerInit(program: Command): void {
  program
    .command('init')
    .argument('[dir]', 'the directory, created where it is missing', '.')
    .description('write a small commented configuration and one agent module')
    .action(async (dir: string) => {
      const { CONFIG_FILES } = await import('../config/load.ts');
      const root = resolve(dir);
      const files = { 'orrery.config.ts': CONFIG, 'agents/hello.ts': AGENT };
      // All are looked at before any is written: half of it would be of no use.
      const taken = [...new Set([...CONFIG_FILES, ...Object.keys(files)])].filter((name) =>
        existsSync(join(root, name)),
      );
      if (taken.length > 0) {
        throw new OrreryError('ORRERY_CONFIG_INVALID', `${root} already has ${taken.join(' and ')}`, {
          hint: 'Nothing was written. Give another directory: orrery init DIR',
        });
      }
      for (const [name, text] of Object.entries(files)) {
        const file = join(root, name);
        await mkdir(dirname(file), { recursive: true });
        await writeFile(file, text, { flag: 'wx' });
        printLine(`wrote ${relative(process.cwd(), file)}`);
      }
      const there = relative(process.cwd(), root);
      printLine('');
      printLine('Next:');
      if (there !== '') printLine(`  cd ${there}`);
      printLine('  orrery serve          then open http://127.0.0.1:8790/');
      printLine('  orrery chat hello     talks to the agent right here');
    });
}
