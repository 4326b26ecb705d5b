/**
 * Owns that the main thread goes first when there are more busy threads than cores: threads that compute give way to it. The system
 * shares a core evenly otherwise, and main waits for the time slices of all others, heartbeats and sockets with it.
 */
import { constants, getPriority, setPriority } from 'node:os';

/** Steps of the nice value: a thread so far behind another gets a quarter of a core that both want. */
const NICENESS = 5;

let hasGivenWay = false;

/**
 * Lowers the priority of the thread that calls it, once. On Linux alone, where a nice value is a thread's and not its process's
 * (setpriority(2), "C library/kernel differences"). Where the system refuses, everything stays as it is.
 */
export function giveWayToMain(): void {
  if (hasGivenWay || process.platform !== 'linux') return;
  hasGivenWay = true;
  try {
    setPriority(Math.min(getPriority() + NICENESS, constants.priority.PRIORITY_LOW));
  } catch {
    // A sandbox that forbids it: main has its even share.
  }
}
