export { GatewayChannel } from './gateway.ts';
export type { GatewayHost } from './host.ts';
