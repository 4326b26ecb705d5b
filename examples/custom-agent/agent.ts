/**
 * A model agent with tools of its own. The host keeps its sessions, fits them into the model's window and tries again what can be
 * tried again; this file says what the agent knows and what it may do.
 */
import { tool } from 'ai';
import { z } from 'zod';
import { type ModelAgent, modelAgent, toolRun } from '../../src/worker/agent.ts';
import { ORDERS, type Order, refund } from './orders.ts';

const orderId = z.object({ order: z.string().describe('The number of the order, such as A-17') });

/** What a tool throws is told to the model, which may ask the user. */
function orderOf(id: string): Order {
  const order = ORDERS.get(id.toUpperCase());
  if (order) return order;
  throw new Error(`There is no order ${id}. Known are: ${[...ORDERS.keys()].join(', ')}.`);
}

const shop: ModelAgent = modelAgent({
  model: 'openai-compatible:llama3.2',
  baseUrl: (env) => env['MODEL_URL'] ?? 'http://127.0.0.1:11434/v1',
  system: ({ metadata }) =>
    `You are the desk of a small shop for telescopes. Look orders up before you speak of them, and refund only what was lost. Answer in ${metadata['language'] ?? 'English'}, in a sentence or two.`,
  maxSteps: 6,
  context: { maxTokens: 16_000, reservedForOutput: 1_000, compaction: 'summary' },
  tools: {
    order: tool({
      description: 'Tells what was ordered, for how much, and where it is.',
      inputSchema: orderId,
      execute: ({ order }) => orderOf(order),
    }),
    refund: tool({
      description: 'Pays the price of an order back.',
      inputSchema: orderId,
      execute({ order }, options) {
        // The same at every attempt of this turn, so that a second attempt does not pay twice.
        const { key, turn } = toolRun(options);
        const paid = refund(key, orderOf(order));
        turn.log.info({ key, ...paid }, 'refunded');
        return paid;
      },
    }),
  },
  hooks: {
    onToolCall: ({ turn, step, toolName, input }) => turn.log.info({ step, input }, `calls ${toolName}`),
    onRetry: ({ turn, error, next, delayMs }) => turn.log.warn({ err: error, delayMs }, `asks ${next} again`),
  },
});

export default shop;
