/** Owns the chat page's files: read once from `main/web`, served from memory. What the page does is its own affair. */
import { hash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { extname } from 'node:path';
import type { FastifyInstance } from 'fastify';

export interface PageFile {
  /** The path under which it is served. */
  readonly path: string;
  readonly type: string;
  readonly etag: string;
  readonly body: Buffer;
}

const FOLDER: URL = new URL('../../web/', import.meta.url);
const ENTRY = 'index.html';
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Nothing from elsewhere, nothing inline, and no site but this one may frame the page. */
const SECURITY_HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
  'cache-control': 'no-cache',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

/** Reads the page; throws when it was not built in. */
export async function loadPage(folder: URL = FOLDER): Promise<readonly PageFile[]> {
  const names = (await readdir(folder)).filter((name) => extname(name) in TYPES);
  if (!names.includes(ENTRY)) throw new Error(`The chat page has no ${ENTRY} in ${folder.pathname}`);
  return await Promise.all(
    names.map(async (name): Promise<PageFile> => {
      const body = await readFile(new URL(name, folder));
      return {
        path: name === ENTRY ? '/' : `/page/${name}`,
        type: TYPES[extname(name)] ?? 'application/octet-stream',
        etag: `"${hash('sha256', body, 'base64url')}"`,
        body,
      };
    }),
  );
}

export function pageRoutes(app: FastifyInstance, files: readonly PageFile[]): void {
  for (const { path, type, etag, body } of files) {
    app.get(path, { config: { access: 'open', rateLimit: false } }, (request, reply) => {
      void reply.headers(SECURITY_HEADERS).header('etag', etag);
      if (request.headers['if-none-match'] === etag) return reply.code(304).send();
      return reply.type(type).send(body);
    });
  }
}
