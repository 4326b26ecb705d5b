/** Owns what an IRC server's refusals mean: which pass by themselves, which never do, and what its user is to do. */
import { OrreryError } from '../../../protocol/index.ts';

/** Refusals of a room that come as an answer to JOIN. */
export const JOIN_REFUSALS: ReadonlySet<string> = new Set([
  'channel_is_full',
  'invite_only_channel',
  'banned_from_channel',
  'bad_channel_key',
  'too_many_channels',
]);

/** Refusals of a message. */
export const SEND_REFUSALS: ReadonlySet<string> = new Set([
  'no_such_nick',
  'cannot_send_to_channel',
  'cannot_send_to_user',
]);

/** Errors of a certificate after which no attempt to connect succeeds until something is changed. */
const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME/;

export function saslError(reason: string, text: string | undefined): OrreryError {
  const said = text === undefined ? '' : `: ${text}`;
  if (reason === 'capability_missing' || reason === 'unsupported_mechanism') {
    return new OrreryError('ORRERY_CHANNEL_FAILED', `The IRC server offers no SASL PLAIN (${reason})`, {
      hint: 'It may be without its services for the moment; else take `sasl` out of the configuration.',
    });
  }
  return new OrreryError('ORRERY_UNAUTHORIZED', `The IRC server refused the account${said}`, {
    hint: 'Check `sasl.account` and `sasl.password`; the account must be registered and not suspended.',
  });
}

/** Reads an error that ends the registration; undefined for one that does not. */
export function registrationError(error: string, reason: string | undefined): OrreryError | undefined {
  const said = error === 'irc' ? (reason ?? '') : '';
  if (error === 'password_mismatch' || /bad password/i.test(said)) {
    return new OrreryError('ORRERY_UNAUTHORIZED', 'The IRC server refused its password', { hint: 'Check `password`.' });
  }
  if (error === 'banned_from_network' || /\b[kgz]-?lined\b|\bbanned\b/i.test(said)) {
    return new OrreryError('ORRERY_FORBIDDEN', `The IRC server has banned this host: ${reason ?? ''}`, {
      hint: "Write to the network's staff.",
    });
  }
  return undefined;
}

/** Names why a connection ended. */
export function lostError(socketError: Error | undefined, said: string | undefined): OrreryError {
  const code = socketError && 'code' in socketError ? String(socketError.code) : '';
  if (CERTIFICATE.test(code)) {
    return new OrreryError('ORRERY_FORBIDDEN', `The IRC server's certificate is not trusted (${code})`, {
      cause: socketError,
      hint: 'Name its authority in NODE_EXTRA_CA_CERTS; for a server of your own, `tlsVerify: false` trusts any.',
    });
  }
  const because = said ?? socketError?.message;
  const text = `The IRC connection was lost${because === undefined ? '' : `: ${because}`}`;
  return new OrreryError('ORRERY_CHANNEL_FAILED', text, socketError && { cause: socketError });
}
