/** Owns the journal's thread: it opens the file, and brings requests to `server.ts` and answers back. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { toWire } from '../../../protocol/index.ts';
import { JournalFile } from './file.ts';
import type { JournalSetup, Opening, Request } from './packed.ts';
import { Presence } from './presence.ts';
import { JournalServer, fileError } from './server.ts';

const port = parentPort;
if (!port) throw new Error('The journal runs in a thread of its own');
const setup = workerData as JournalSetup;

try {
  const file = new JournalFile(setup);
  const server = new JournalServer({
    file,
    setup,
    presence: new Presence([setup.file, `${setup.file}-wal`]),
    post: (told) => port.postMessage(told),
    waiting: () => receiveMessageOnPort(port)?.message as Request | undefined,
    closed: () => port.close(),
  });
  port.on('message', (request: Request) => server.serve(request));
  port.postMessage({ next: file.next } satisfies Opening);
} catch (error) {
  port.postMessage({ error: toWire(fileError(error, setup)) } satisfies Opening);
}
