/** Owns the scorer that holds a reply to a JSON schema. Compiled schemas are kept, as far as there is room. */
import { Ajv, type ValidateFunction } from 'ajv';
import type { Score, ScoredCase } from '../../protocol/scorers.ts';

const MAX_COMPILED = 100;
const ajv = new Ajv({ allErrors: true, strict: false });
const compiled = new Map<string, ValidateFunction>();

/** The reply, or the first fenced block of it, is JSON that the schema allows. */
export function jsonSchema({ output, expected }: ScoredCase, schema?: unknown): Score {
  const validate = compile(schema ?? expected);
  const value = read(output);
  if (value === undefined) return { score: 0, passed: false, detail: 'the reply is not JSON' };
  if (validate(value.json)) return { score: 1, passed: true };
  return { score: 0, passed: false, detail: ajv.errorsText(validate.errors).slice(0, 500) };
}

function compile(schema: unknown): ValidateFunction {
  if (typeof schema !== 'object' || schema === null)
    throw new Error('Expected a JSON schema, in the suite or as a file');
  const key = JSON.stringify(schema);
  const known = compiled.get(key);
  if (known) return known;
  // A schema with an `$id` may be compiled once only: it is forgotten with the others.
  if (compiled.size >= MAX_COMPILED) {
    compiled.clear();
    ajv.removeSchema();
  }
  const validate = ajv.compile(schema);
  compiled.set(key, validate);
  return validate;
}

function read(output: string): { readonly json: unknown } | undefined {
  const [, fenced] = /```(?:json)?\s*\n([\s\S]*?)```/.exec(output) ?? [];
  for (const text of fenced === undefined ? [output] : [fenced, output]) {
    try {
      return { json: JSON.parse(text) };
    } catch {
      // the next one
    }
  }
  return undefined;
}
