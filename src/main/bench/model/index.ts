export { type ModelServerOptions, resolveModelOptions } from './options.ts';
export { type ModelServer, type ModelStats, startModelServer } from './server.ts';
