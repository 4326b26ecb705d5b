import { IrcDriver, type IrcDriverOptions } from '../../src/main/channels/irc/driver.ts';
import { ERROR_SIGN } from '../../src/main/channels/network/error-text.ts';
import { ChannelMemory } from '../../src/main/channels/network/memory.ts';
import { NetworkChannel } from '../../src/main/channels/network/network-channel.ts';
import { Ngircd } from '../support/irc/ngircd.ts';
import { IrcUser } from '../support/irc/user.ts';
import { channelContract } from './channel-contract.ts';

channelContract('IRC', async () => {
  const server = await Ngircd.start({ password: 'open' });
  const options: IrcDriverOptions & { password: string } = {
    host: '127.0.0.1',
    port: server.port,
    tls: false,
    tlsVerify: true,
    nick: 'orrery',
    username: 'orrery',
    realname: 'Orrery',
    channels: ['#hall'],
    password: 'open',
    flood: { burst: 100, intervalMs: 0 },
    formatting: 'plain',
  };
  const driver = new IrcDriver(options);
  const rules = { allow: ['*'], respondTo: 'mentions', rateLimitPerMinute: Infinity, stream: false } as const;
  const channel = new NetworkChannel(driver, rules, new ChannelMemory());
  let alice: Promise<IrcUser> | undefined;
  const user = (): Promise<IrcUser> => (alice ??= IrcUser.connect(server.port, 'alice', [], 'open'));
  return {
    channel,
    say: async (text) => (await user()).say('orrery', text),
    hear: async () => {
      const line = await (await user()).heard.next();
      const text = line.params.at(-1) ?? '';
      return { text, error: text.startsWith(ERROR_SIGN) };
    },
    maxLength: 512,
    // What the server puts before it, and the end of the line.
    measure: (text) => Buffer.byteLength(`:orrery!~orrery@127.0.0.1 PRIVMSG alice :${text}\r\n`),
    breakConnection: async () => {
      await server.stop();
      (await alice)?.[Symbol.dispose]();
      alice = undefined;
    },
    mendNetwork: () => server.start(),
    failConnect: async (kind) => {
      if (kind === 'fatal') options.password = 'wrong';
      else await server.stop();
    },
    [Symbol.asyncDispose]: async () => {
      await channel.dispose();
      (await alice)?.[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
    },
  };
});
