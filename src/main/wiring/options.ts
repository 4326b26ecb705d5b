/** Owns what a supervisor is given beside its configuration. */
import type { Logger } from 'pino';
import type { OrreryError } from '../../protocol/index.ts';
import type { ResolvedConfig } from '../config/types.ts';

export interface SupervisorOptions {
  /** Relative paths of the configuration start here. Default: the working directory. */
  readonly dir?: string;
  /** A configuration that was checked already; `config` is not read then. */
  readonly resolved?: ResolvedConfig;
  /** Reads the configuration again, for `reload()`. Default: there is nothing to read, and `reload` is to be given the new one. */
  readonly load?: () => Promise<ResolvedConfig>;
  /** The caller has the data directory's lock already. Default: the supervisor takes it where it keeps anything on disk. */
  readonly locked?: boolean;
  /** Default: silent. */
  readonly log?: Logger;
  /** Hears of a state that only a new process mends: threads that native code holds. Default: an error in the log. */
  readonly onFatal?: (error: OrreryError) => void;
}
