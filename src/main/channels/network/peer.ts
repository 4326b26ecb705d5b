/** Owns how a network's library is loaded: when a channel of that network connects, with a line that helps where it is missing. */
import { OrreryError } from '../../../protocol/index.ts';

/** Loads an optional package. Rejects with `ORRERY_PEER_MISSING` when it is not installed, and with its own error when it is broken. */
export async function loadPeer<T>(name: string, version: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    if (!isMissing(cause, name)) throw cause;
    throw new OrreryError('ORRERY_PEER_MISSING', `This channel needs the package ${name}.`, {
      cause,
      hint: `npm install ${name}@${version}`,
    });
  }
}

/** A package that lacks one of its own dependencies is broken, not missing. */
function isMissing(error: unknown, name: string): boolean {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'ERR_MODULE_NOT_FOUND') return false;
  return error.message.includes(`'${name}'`);
}
