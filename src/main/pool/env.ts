/** Owns what of the process's environment reaches a worker thread: nothing secret, only what programs need to run right. */

/** Time zone, locale, certificates, the cache of compiled code: facts about the machine. */
const PASSED = [
  'TZ',
  'LANG',
  'LC_ALL',
  'LC_CTYPE',
  'NODE_ENV',
  'NODE_EXTRA_CA_CERTS',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'NODE_COMPILE_CACHE',
];

/** Returns the environment of a worker thread: the passed facts, and what the agent itself lists. */
export function scrubbedEnv(
  env: NodeJS.ProcessEnv,
  listed: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const scrubbed: Record<string, string> = {};
  for (const name of PASSED) {
    const value = env[name];
    if (value !== undefined) scrubbed[name] = value;
  }
  return { ...scrubbed, ...listed };
}
