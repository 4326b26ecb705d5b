/**
 * Is the thread that ends a child process whose supervisor is gone. A process that spins, or sits in native code, does not
 * notice by itself; this thread has a loop of its own. It waits for the end of a stream whose other side main alone holds:
 * the kernel closes that one, however main ends.
 *
 * It does not read in a blocking call, which could not be interrupted: `process.exit()` waits for every thread.
 */
import { Socket } from 'node:net';
import { CHILD_FD } from '../protocol/contract.ts';

const life = new Socket({ fd: CHILD_FD.life, readable: true, writable: false });
life.on('error', () => undefined);
life.on('close', () => {
  try {
    // The group: what the agent started would be left behind by its own end alone.
    process.kill(-process.pid, 'SIGKILL');
  } catch {
    process.kill(process.pid, 'SIGKILL');
  }
});
life.resume();
