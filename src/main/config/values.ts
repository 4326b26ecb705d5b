/** Owns the kinds of values that the configuration is made of. Each message is the noun phrase after "expected". */
import { z } from 'zod';

export const text: z.ZodString = z.string({ error: 'a string' }).min(1, { error: 'a string that is not empty' });
export const flag: z.ZodBoolean = z.boolean({ error: 'true or false' });
export const texts: z.ZodArray<z.ZodString> = z.array(text, { error: 'a list of strings' });
export const port: z.ZodNumber = whole(0, 65_535, 'a port number from 0 to 65535');
export const ms: z.ZodNumber = whole(1, 2_147_483_647, 'a whole number of milliseconds of at least 1');
export const msOrZero: z.ZodNumber = whole(0, 2_147_483_647, 'a whole number of milliseconds of at least 0');
export const count: z.ZodNumber = whole(1, Number.MAX_SAFE_INTEGER, 'a whole number of at least 1');
export const countOrZero: z.ZodNumber = whole(0, Number.MAX_SAFE_INTEGER, 'a whole number of at least 0');
export const heapMb: z.ZodNumber = whole(8, 1_048_576, 'a whole number of MB of at least 8');

export function whole(min: number, max: number, error: string): z.ZodNumber {
  return z.int({ error }).min(min, { error }).max(max, { error });
}

export function between(min: number, max: number): z.ZodNumber {
  const error = `a number from ${min} to ${max}`;
  return z.number({ error }).min(min, { error }).max(max, { error });
}

export function oneOf(...values: readonly string[]): z.ZodEnum {
  return z.enum(values, { error: values.map((v) => JSON.stringify(v)).join(' or ') });
}
