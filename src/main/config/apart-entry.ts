/** Owns the evaluation of one configuration module in a thread that ends after it: what it exports by default is posted to main. */
import { parentPort, workerData } from 'node:worker_threads';
import { resolveOwnPackage } from '../../lib/own-package.ts';
import { messageOf, toWire } from '../../protocol/index.ts';
import type { ApartAnswer } from './apart.ts';

resolveOwnPackage();
answer(await evaluate(String(workerData)));

async function evaluate(url: string): Promise<ApartAnswer> {
  try {
    const exports: unknown = await import(url);
    return { value: typeof exports === 'object' && exports !== null ? Reflect.get(exports, 'default') : undefined };
  } catch (error) {
    return { error: toWire(error) };
  }
}

function answer(found: ApartAnswer): void {
  try {
    parentPort?.postMessage(found);
  } catch (error) {
    const key = 'value' in found ? pathOfCode(found.value, []) : undefined;
    const what = key === undefined ? messageOf(error) : `expected data, found code at \`${key}\``;
    parentPort?.postMessage({ error: toWire(new Error(what)) } satisfies ApartAnswer);
  }
}

/** Finds the first function or symbol; no data is nested as deep as this would go for a value that holds itself. */
function pathOfCode(value: unknown, path: readonly string[]): string | undefined {
  if (typeof value === 'function' || typeof value === 'symbol') return path.join('.');
  if (typeof value !== 'object' || value === null || path.length > 16) return undefined;
  for (const [key, inner] of Object.entries(value)) {
    const found = pathOfCode(inner, [...path, key]);
    if (found !== undefined) return found;
  }
  return undefined;
}
