/** Owns the report's thread: it does its one job, answers, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { toWire } from '../../../protocol/index.ts';
import { compareDirs } from './compare.ts';
import type { Job, JobAnswer } from './jobs.ts';
import { makeJUnit } from './junit.ts';
import { makeReport } from './write.ts';

const port = parentPort;
if (!port) throw new Error('A report is made in a thread of its own');

function work(job: Job): Promise<unknown> {
  switch (job.kind) {
    case 'report':
      return makeReport(job.dir, job.options);
    case 'compare':
      return compareDirs(job.dirs, job.options);
    case 'junit':
      return makeJUnit(job.dir, job.file);
  }
}

let answer: JobAnswer;
try {
  answer = { value: await work(workerData as Job) };
} catch (error) {
  answer = { error: toWire(error) };
}
port.postMessage(answer);
