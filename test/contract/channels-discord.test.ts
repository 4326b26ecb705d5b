import { ERROR_SIGN } from '../../src/main/channels/network/error-text.ts';
import { DiscordDriver } from '../../src/main/channels/discord/driver.ts';
import { ChannelMemory } from '../../src/main/channels/network/memory.ts';
import { NetworkChannel } from '../../src/main/channels/network/network-channel.ts';
import { DiscordServer, TOKEN } from '../support/discord/server.ts';
import { channelContract } from './channel-contract.ts';

channelContract('Discord', async () => {
  const server = await DiscordServer.start();
  const driver = new DiscordDriver({ token: TOKEN, apiUrl: server.apiUrl, respondTo: 'mentions', resumeMs: 100 });
  const rules = { allow: ['*'], respondTo: 'mentions', rateLimitPerMinute: Infinity, stream: false } as const;
  const channel = new NetworkChannel(driver, rules, new ChannelMemory());
  return {
    channel,
    say: async (text) => {
      if (server.gateway.live === 0) throw new Error('no bot is there');
      server.say({ content: text });
    },
    hear: async () => {
      const { message } = await server.heard.next();
      return { text: message.content, error: message.content.startsWith(ERROR_SIGN) };
    },
    breakConnection: async () => {
      server.gateway.down = true;
      server.gateway.drop();
    },
    mendNetwork: async () => {
      server.gateway.down = false;
    },
    sayUnheard: async (text) => {
      server.gateway.forget();
      server.say({ content: text });
    },
    sayTwice: async (text) => {
      server.copies = 2;
      server.say({ content: text });
      server.copies = 1;
    },
    maxLength: 2000,
    hearEdit: async () => (await server.edits.next()).message.content,
    seeTyping: async () => {
      await server.typing.next();
    },
    limitRate: (ms) => server.rateLimits.push(ms / 1000),
    loseAcknowledgement: () => {
      server.swallows = 1;
    },
    failConnect: async (kind) => {
      if (kind === 'passing') server.failures = 10;
      else server.token = 'another';
    },
    [Symbol.asyncDispose]: async () => {
      await channel.dispose();
      await server[Symbol.asyncDispose]();
    },
  };
});
