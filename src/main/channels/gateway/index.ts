export { type GatewayAddress, GatewayChannel, type GatewayOptions } from './gateway.ts';
export type { GatewayHost, TokenCount } from './host.ts';
