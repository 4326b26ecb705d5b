import { OrreryError } from '../../src/protocol/index.ts';
import { MemoryChannel } from '../support/channels.ts';
import { channelContract } from './channel-contract.ts';

channelContract('the in-process channel', async () => {
  const channel = new MemoryChannel();
  return {
    channel,
    acknowledges: true,
    say: async (text) => {
      await channel.say(text);
    },
    hear: () => channel.heard.next(),
    sayTwice: async (text) => {
      await channel.say(text, { id: 'twice' });
      await channel.say(text, { id: 'twice' });
    },
    breakConnection: async () => channel.drop(),
    endInput: async () => channel.end(),
    failConnect: async (kind) => {
      const code = kind === 'fatal' ? 'ORRERY_UNAUTHORIZED' : 'ORRERY_CHANNEL_FAILED';
      channel.onConnect(() => Promise.reject(new OrreryError(code, 'refused by the network')));
    },
    [Symbol.asyncDispose]: () => channel.dispose(),
  };
});
