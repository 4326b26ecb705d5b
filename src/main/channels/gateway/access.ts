/** Owns who may do what: Host and Origin, tokens, the login cookie, the mark of a deliberate change. It answers no request. */
import { hash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { OrreryError } from '../../../protocol/index.ts';
import { Logins, type Role } from './logins.ts';

/** What a caller proved. */
export interface Grant {
  readonly role: Role;
  /** The id of the login that proved it; absent for a token and where none is needed. */
  readonly login?: string;
}

export interface AccessOptions {
  /** The address that the gateway binds to. */
  readonly host: string;
  readonly token?: string;
  readonly adminToken?: string;
  readonly allowedHosts: readonly string[];
  readonly allowedOrigins: readonly string[];
}

/** Methods that change nothing, and so need no mark of intent. */
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);
const LOOPBACK_NAMES: readonly string[] = ['localhost', '127.0.0.1', '::1'];
/** Addresses that stand for every interface. */
const WILDCARDS: ReadonlySet<string> = new Set(['', '0.0.0.0', '::']);

/** Tells whether an address is reachable from this machine only. */
export function isLoopback(host: string): boolean {
  const bare = unbracket(host);
  return bare === 'localhost' || bare === '::1' || (isIP(bare) === 4 && bare.startsWith('127.'));
}

export class Access {
  readonly logins: Logins;
  readonly #token: Buffer | undefined;
  readonly #adminToken: Buffer | undefined;
  readonly #hosts: ReadonlySet<string>;
  readonly #origins: ReadonlySet<string>;
  /** Bound to every interface: any address of this machine is as good as another. */
  readonly #anyAddress: boolean;
  /** Set once the port is known: cookies are shared by the ports of a host, so the name tells them apart. */
  #cookie = 'orrery';
  /** The last Host that passed: nearly all requests carry the same. */
  #lastHost: string | undefined;

  constructor(options: AccessOptions, logins: Logins = new Logins()) {
    this.logins = logins;
    this.#token = options.token ? digest(options.token) : undefined;
    this.#adminToken = options.adminToken ? digest(options.adminToken) : undefined;
    const bound = unbracket(options.host).toLowerCase();
    this.#anyAddress = WILDCARDS.has(bound);
    const names = isLoopback(bound) || this.#anyAddress ? [bound, ...LOOPBACK_NAMES] : [bound];
    this.#hosts = new Set([...names, ...options.allowedHosts.map((h) => h.toLowerCase())]);
    this.#origins = new Set(options.allowedOrigins.map((o) => o.toLowerCase()));
  }

  /** The login cookie's name. */
  get cookie(): string {
    return this.#cookie;
  }

  /** Tells the access rules which port was bound. */
  bound(port: number): void {
    this.#cookie = `orrery-${port}`;
  }

  /**
   * Refuses a Host that is not ours (a name that was rebound to this address) and an Origin that is not this very page.
   * Throws `ORRERY_FORBIDDEN`.
   */
  checkSource(headers: IncomingHttpHeaders): void {
    const { host, origin } = headers;
    if (host === undefined || (host !== this.#lastHost && !this.#isOurs(host))) {
      throw new OrreryError('ORRERY_FORBIDDEN', `The host ${quote(host)} is not served here`, {
        hint: 'Use the address that the gateway printed, or list the name under `allowedHosts`.',
      });
    }
    this.#lastHost = host;
    if (origin === undefined ? isForeignFetch(headers) : !this.#isAllowedOrigin(origin, host)) {
      throw new OrreryError(
        'ORRERY_FORBIDDEN',
        `Pages of ${quote(origin ?? 'another site')} may not call this gateway`,
        {
          hint: 'List the origin under `allowedOrigins` if it is yours.',
        },
      );
    }
  }

  /** Refuses a change that a page elsewhere could have caused without being asked first. Throws `ORRERY_FORBIDDEN`. */
  checkIntent(method: string, headers: IncomingHttpHeaders): void {
    if (SAFE_METHODS.has(method) || headers['x-orrery'] === '1' || isJson(headers['content-type'])) return;
    throw new OrreryError('ORRERY_FORBIDDEN', 'A request that changes something must be marked as meant', {
      hint: 'Send `content-type: application/json` or the header `x-orrery: 1`.',
    });
  }

  /** Returns what the caller proved when it suffices. Throws `ORRERY_UNAUTHORIZED` or `ORRERY_FORBIDDEN`. */
  demand(headers: IncomingHttpHeaders, needed: Role): Grant {
    const grant = this.#grantOf(headers);
    if (grant === undefined) {
      throw new OrreryError('ORRERY_UNAUTHORIZED', 'A token is needed, and none or a wrong one was sent');
    }
    if (needed === 'admin' && grant.role !== 'admin') {
      throw new OrreryError('ORRERY_FORBIDDEN', 'This needs the admin token', {
        hint: this.#adminToken ? 'Send the admin token.' : 'Set `adminToken` for the gateway to allow this over HTTP.',
      });
    }
    return grant;
  }

  /** Tells what a token proves. */
  roleOfToken(token: string): Role | undefined {
    const given = digest(token);
    // Both are always compared, in constant time: the time taken says nothing about either.
    const admin = this.#adminToken !== undefined && timingSafeEqual(given, this.#adminToken);
    const chat = this.#token !== undefined && timingSafeEqual(given, this.#token);
    if (admin) return 'admin';
    return chat ? 'chat' : undefined;
  }

  /** What a caller may do who proves nothing: everything on loopback without tokens. */
  get openRole(): Role | undefined {
    if (this.#token !== undefined) return undefined;
    return this.#adminToken === undefined ? 'admin' : 'chat';
  }

  /** Tells whether a login is still valid; what a connection that lives long asks from time to time. */
  stands(grant: Grant): boolean {
    return grant.login === undefined || this.logins.find(grant.login) !== undefined;
  }

  #grantOf(headers: IncomingHttpHeaders): Grant | undefined {
    const open = this.openRole;
    if (open === 'admin') return { role: open };
    const token = bearer(headers.authorization);
    const role = token === undefined ? undefined : this.roleOfToken(token);
    if (role !== undefined) return { role };
    const id = this.loginId(headers);
    const login = id === undefined ? undefined : this.logins.find(id);
    if (id !== undefined && login !== undefined) return { role: login.role, login: id };
    return open === undefined ? undefined : { role: open };
  }

  /** Reads the login's id from the cookie; whether it is valid is another question. */
  loginId(headers: IncomingHttpHeaders): string | undefined {
    const { cookie } = headers;
    if (cookie === undefined) return undefined;
    const start = `${this.#cookie}=`;
    const found = cookie.split(';').find((part) => part.trimStart().startsWith(start));
    return found?.trim().slice(start.length);
  }

  #isOurs(host: string): boolean {
    const lower = host.toLowerCase();
    if (this.#hosts.has(lower)) return true;
    const name = hostname(lower);
    return name !== undefined && (this.#hosts.has(name) || (this.#anyAddress && isIP(name) !== 0));
  }

  /** The same host and port as the page was asked under, or listed. `null` (a sandboxed page, a file) is neither. */
  #isAllowedOrigin(origin: string, host: string): boolean {
    const lower = origin.toLowerCase();
    const at = lower.indexOf('://');
    const scheme = lower.slice(0, Math.max(at, 0));
    if ((scheme === 'http' || scheme === 'https') && lower.slice(at + 3) === host.toLowerCase()) return true;
    return this.#origins.has(lower);
  }
}

/** Browsers name no origin on some requests across sites (images, scripts), but say that they cross one. */
function isForeignFetch(headers: IncomingHttpHeaders): boolean {
  const site = headers['sec-fetch-site'];
  return (site === 'cross-site' || site === 'same-site') && headers['sec-fetch-mode'] !== 'navigate';
}

/** Reads the name of a Host value; undefined when it is malformed. */
function hostname(host: string): string | undefined {
  return /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s/@]+))(?::\d{1,5})?$/.exec(host)?.slice(1).find(Boolean);
}

function bearer(header: string | undefined): string | undefined {
  return header !== undefined && /^bearer /i.test(header) ? header.slice(7).trim() : undefined;
}

function isJson(type: string | undefined): boolean {
  return type !== undefined && /^application\/json\s*(?:;|$)/i.test(type);
}

/** Digests have one length, which `timingSafeEqual` needs, and hide the token's own. */
function digest(token: string): Buffer {
  return hash('sha256', token, 'buffer');
}

function unbracket(host: string): string {
  return host.replace(/^\[|\]$/g, '');
}

function quote(value: string | undefined): string {
  return JSON.stringify((value ?? '').slice(0, 100));
}
