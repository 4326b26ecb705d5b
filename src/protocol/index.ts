export * from './contract.ts';
export * from './errors.ts';
export * from './messages.ts';
export * from './namespace.ts';
export * from './states.ts';
export * from './turns.ts';
export * from './wire.ts';
export * from './builtins.ts';
