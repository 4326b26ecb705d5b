export { MODEL_DEFAULTS, type ModelServerOptions } from './options.ts';
export { type ModelServer, type ModelStats, startModelServer } from './server.ts';
