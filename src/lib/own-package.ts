/**
 * Owns how `orrery-host` and its entries resolve for configuration files and agent modules: always to this very copy, be
 * it a checkout without a build or an installed package, wherever the importing file lies.
 */
import { registerHooks } from 'node:module';
import { extname } from 'node:path';

const ENTRIES: Readonly<Record<string, string>> = {
  'orrery-host': '../main/index',
  'orrery-host/agent': '../worker/agent',
  'orrery-host/tokens': '../main/tokens/index',
};

let registered = false;

/** Makes this thread resolve the package's entries to this copy. Call it on each thread that imports others' modules. */
export function resolveOwnPackage(): void {
  if (registered) return;
  registered = true;
  const extension = extname(import.meta.url);
  registerHooks({
    resolve(specifier, context, next) {
      const entry = Object.hasOwn(ENTRIES, specifier) ? ENTRIES[specifier] : undefined;
      if (entry === undefined) return next(specifier, context);
      return { url: new URL(`${entry}${extension}`, import.meta.url).href, shortCircuit: true };
    },
  });
}
