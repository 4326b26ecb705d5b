/** Owns what a case costs: the price of its agent, and its tokens. */
import type { ResolvedAgent, TokenPrice } from '../config/index.ts';
import type { BenchResult } from './results.ts';

const MILLION = 1_000_000;

/** The model's name for the tokenizer: without its provider. */
export function modelOf({ source }: ResolvedAgent): string | undefined {
  return source.kind === 'model' ? source.spec.model.slice(source.spec.model.indexOf(':') + 1) : undefined;
}

/** An agent's own price comes before that of its model, and `PROVIDER:ID` before `ID`. */
export function priceOf(
  agent: ResolvedAgent,
  prices: Readonly<Record<string, TokenPrice>>,
): { readonly name: string; readonly price: TokenPrice } | undefined {
  const { source } = agent;
  const names = [agent.name, ...(source.kind === 'model' ? [source.spec.model, modelOf(agent) ?? ''] : [])];
  const name = names.find((one) => Object.hasOwn(prices, one));
  const price = name === undefined ? undefined : prices[name];
  return name === undefined || price === undefined ? undefined : { name, price };
}

/** US dollars. What the provider counted is what it charges; where it counted nothing, the tokenizer's count stands in. */
export function costOf(tokens: BenchResult['tokens'], price: TokenPrice | undefined): number | null {
  if (!price) return null;
  const { input, output, providerInput = input, providerOutput = output } = tokens;
  return (providerInput * price.inputPerMTok + providerOutput * price.outputPerMTok) / MILLION;
}
