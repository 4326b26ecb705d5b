/** Owns a channel whose network is the driver: messages come and answers go through the host's own pipe. */
import type { Channel, ChannelContext, SendOptions, SendReceipt } from '../../src/main/index.ts';
import {
  type Accepted,
  type InboundMessage,
  OrreryError,
  type OutboundError,
  type OutboundMessage,
} from '../../src/protocol/index.ts';
import type { FromHost, InProcess } from './protocol.ts';

export class InProcessChannel implements Channel {
  readonly type = 'in-process';
  readonly #name: InProcess;
  readonly #tell: (message: FromHost) => Promise<void>;
  #context: ChannelContext | undefined;

  constructor(name: InProcess, tell: (message: FromHost) => Promise<void>) {
    this.#name = name;
    this.#tell = tell;
  }

  async connect(context: ChannelContext): Promise<void> {
    this.#context = context;
  }

  async take(inbound: InboundMessage): Promise<Accepted> {
    if (!this.#context) throw new OrreryError('ORRERY_DRAINING', 'The channel takes in nothing new');
    return this.#context.accept(inbound);
  }

  /** Resolves when the answer is in the pipe: what is there outlives this process. */
  async send({ target, reply }: OutboundMessage, { key }: SendOptions): Promise<SendReceipt> {
    const { inReplyTo: id, namespace } = target;
    await this.#tell({ type: 'reply', channel: this.#name, id, key, namespace, text: reply.message.content });
    return { ids: [key] };
  }

  async sendError({ target, error }: OutboundError, { key }: SendOptions): Promise<void> {
    await this.#tell({
      type: 'error',
      channel: this.#name,
      id: target.inReplyTo,
      key,
      code: error.code ?? error.message,
    });
  }

  shutdown(): void {
    this.#context = undefined;
  }
}
