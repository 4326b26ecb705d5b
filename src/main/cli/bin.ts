#!/usr/bin/env node
/**
 * Owns the start of the command: a Node that is too old is told so in a sentence. Old Nodes must be able to read this file,
 * so it imports nothing statically and uses no syntax younger than dynamic `import()`.
 */
const WANTED = 24;
const found = process.versions.node;

if (Number(found.split('.')[0]) < WANTED) {
  console.error(
    'orrery: Node.js ' + String(WANTED) + ' or newer is needed, and this is ' + found + '. See https://nodejs.org/',
  );
  process.exitCode = 2;
} else {
  // libuv reads it when its pool is first used. All workers share that pool, and its 4 threads would be a bottleneck.
  if (!process.env['UV_THREADPOOL_SIZE']) process.env['UV_THREADPOOL_SIZE'] = '16';
  import('./main.ts').then(
    function (entry) {
      return entry.main(process.argv.slice(2));
    },
    function (error) {
      console.error(error);
      process.exitCode = 1;
    },
  );
}
