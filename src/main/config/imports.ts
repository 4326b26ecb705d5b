/** Owns which files belong to a module: itself, and what it imports by a relative path, and so on. It evaluates nothing. */
import { readFile } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';

/** More files than that are not followed. */
const MAX_FILES = 1_000;
const CODE: ReadonlySet<string> = new Set(['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs']);
/** A specifier that is written out after `from`, `import` or `require`. One in a comment is followed too, which does no harm. */
const RELATIVE = /\b(?:from|import|require)\s*\(?\s*['"](\.{1,2}\/[^'"\n]+)['"]/g;

/**
 * Lists a module's file and those that it imports by a relative path, directly or through others. What it finds by a package's name,
 * by a computed specifier, or reads as data, is not among them. A file that is missing is listed: it may come.
 */
export async function localFiles(entry: string): Promise<readonly string[]> {
  const found = new Set([entry]);
  // A set gives what is added to it while it is walked, too.
  for (const file of found) {
    if (!CODE.has(extname(file))) continue;
    const text = await readFile(file, 'utf8').catch(() => '');
    for (const [, specifier = ''] of text.matchAll(RELATIVE)) {
      if (found.size < MAX_FILES) found.add(resolve(dirname(file), specifier.replace(/[?#].*$/, '')));
    }
  }
  return [...found];
}
