/** Owns the browser's way in: a token once, then a cookie that scripts cannot read. Which tokens are good is access.ts's. */
import fastifyCookie from '@fastify/cookie';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { OrreryError } from '../../../protocol/index.ts';
import type { Access } from './access.ts';
import { optionalText, readObject } from './ask.ts';
import { LOGIN_TTL_MS } from './logins.ts';

/** Attempts to log in from one address in a minute, whatever the gateway's own limit. */
export const LOGINS_PER_MINUTE = 20;

const ROUTE = { config: { access: 'open', rateLimit: { max: LOGINS_PER_MINUTE, timeWindow: 60_000 } } } as const;

/** Registers the routes in a scope of their own, so that no other route pays for the cookie's hooks. */
export async function loginRoutes(app: FastifyInstance, access: Access): Promise<void> {
  await app.register(async (scope) => {
    await scope.register(fastifyCookie, { hook: false });

    scope.post('/api/login', ROUTE, (request, reply) => {
      const token = optionalText(readObject(request.body), 'token');
      const role = access.openRole === 'admin' ? access.openRole : token && access.roleOfToken(token);
      if (!role)
        throw new OrreryError('ORRERY_UNAUTHORIZED', 'This is not the token', { hint: 'Check it and try again.' });
      if (access.openRole !== 'admin') {
        const before = access.loginId(request.headers);
        if (before !== undefined) access.logins.close(before);
        void reply.setCookie(access.cookie, access.logins.open(role), {
          path: '/',
          httpOnly: true,
          sameSite: 'strict',
          secure: cameOverTls(request),
          maxAge: LOGIN_TTL_MS / 1000,
        });
      }
      return reply.send({ role });
    });

    scope.post('/api/logout', ROUTE, (request, reply) => {
      const id = access.loginId(request.headers);
      if (id !== undefined) access.logins.close(id);
      return reply
        .clearCookie(access.cookie, { path: '/', httpOnly: true, sameSite: 'strict' })
        .send({ status: 'logged out' });
    });
  });
}

/** Behind a proxy that ends TLS only the page's own origin tells. */
function cameOverTls(request: FastifyRequest): boolean {
  return request.headers.origin?.startsWith('https://') ?? false;
}
