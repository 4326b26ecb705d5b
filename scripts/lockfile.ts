import { readFileSync, writeFileSync } from 'node:fs';

/**
 * Makes the lockfiles portable: run it after each `npm install`, here, in `bench` or in `bench/promptfoo`.
 *
 * - It names no host: addresses and funding links go, since the lock says what to install, not from where.
 * - It lists every platform's binary: a registry that serves only this platform's optional packages makes npm leave the
 *   others out, and `npm ci` then refuses the lock on every machine. They are added with the version that is asked for
 *   and the platform that their name says, so that npm skips them where they do not fit.
 */
type Entry = Record<string, unknown> & { version?: string; optionalDependencies?: Record<string, string> };

const OS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const CPU = ['arm64', 'arm', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64'];

function platformOf(name: string): Entry {
  const words = name.split(/[-_/]/);
  const os = OS.filter((o) => words.includes(o));
  const cpu = CPU.filter((c) => words.includes(c));
  const libc = words.includes('musl') ? ['musl'] : words.includes('gnu') ? ['glibc'] : [];
  return {
    ...(cpu.length > 0 ? { cpu } : {}),
    ...(os.length > 0 ? { os } : {}),
    ...(libc.length > 0 && os.includes('linux') ? { libc } : {}),
  };
}

function clean(file: URL): void {
  const lock = JSON.parse(readFileSync(file, 'utf8')) as { packages: Record<string, Entry> };
  for (const [path, entry] of Object.entries(lock.packages)) {
    for (const key of ['resolved', 'funding', 'deprecated']) delete entry[key];
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const nested = `${path}/node_modules/${name}`;
      const platform = platformOf(name);
      if (lock.packages[nested] || lock.packages[`node_modules/${name}`] || Object.keys(platform).length === 0)
        continue;
      lock.packages[`node_modules/${name}`] = {
        version: version.replace(/^[^\d]*/, ''),
        ...platform,
        ...(entry['dev'] === true ? { dev: true } : {}),
        optional: true,
      };
    }
  }
  const [root, ...rest] = Object.entries(lock.packages);
  if (root) lock.packages = Object.fromEntries([root, ...rest.toSorted(([a], [b]) => (a < b ? -1 : 1))]);
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
}

const LOCKS = ['../package-lock.json', '../bench/package-lock.json', '../bench/promptfoo/package-lock.json'];
for (const path of LOCKS) clean(new URL(path, import.meta.url));
