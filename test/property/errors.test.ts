import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ERRORS,
  type ErrorCode,
  MAX_CAUSES,
  OrreryError,
  type WireError,
  asOrreryError,
  codeOf,
  fromWire,
  messageOf,
  toWire,
} from '../../src/protocol/index.ts';
import { runs } from '../support/properties.ts';

const code = fc.constantFrom(...(Object.keys(ERRORS) as ErrorCode[]));
const details = fc.dictionary(
  fc.string().filter((key) => key !== '__proto__'),
  fc.oneof(fc.string(), fc.boolean(), fc.integer()),
  { minKeys: 1, noNullPrototype: true },
);
const orreryError: fc.Arbitrary<OrreryError> = fc.letrec<{ error: OrreryError }>((tie) => ({
  error: fc
    .record(
      {
        code,
        message: fc.string(),
        hint: fc.string(),
        retryAfterMs: fc.nat(),
        details,
        cause: fc.option(tie('error'), { maxDepth: 4, nil: undefined }),
      },
      { requiredKeys: ['code', 'message'] },
    )
    .map(({ code: c, message, cause, ...rest }) => {
      return new OrreryError(c, message, cause === undefined ? rest : { ...rest, cause });
    }),
})).error;

/** What an agent's code may throw at us on a bad day; made late, since the generator itself would stumble over some. */
const hostile: fc.Arbitrary<() => unknown> = fc.oneof(
  fc
    .anything({ withBigInt: true, withDate: true, withMap: true, withSet: true, withTypedArray: true })
    .map((value) => () => value),
  fc.constantFrom<(() => unknown)[]>(
    () => Symbol('thrown'),
    () => () => undefined,
    cyclic,
    cyclicCause,
    throwingGetters,
    throwingProxy,
    revokedProxy,
    revokedError,
    () => Object.create(null),
    () => new AggregateError([new Error('a')], 'several'),
    () =>
      Object.assign(new Error('odd fields'), {
        code: 42,
        hint: {},
        details: 'text',
        retryAfterMs: Number.NaN,
        stack: 7,
      }),
    () => Object.assign(new Error('function inside'), { cause: () => undefined, details: { f: () => undefined } }),
    () => Object.assign(new Error('hostile details'), { code: 'ORRERY_AGENT_FAILED', details: throwingProxy() }),
    () => Object.assign(new Error('endless'), { retryAfterMs: Infinity, details: { n: Number.NaN, big: 1n } }),
    () => ({
      toString: () => {
        throw new Error('toString');
      },
      toJSON: () => {
        throw new Error('toJSON');
      },
    }),
    () => ({ message: 'cause is a proxy', cause: throwingProxy() }),
  ),
);

function cyclic(): unknown {
  const value: Record<string, unknown> = { message: 'cyclic' };
  value['self'] = value;
  value['cause'] = value;
  return value;
}

function cyclicCause(): Error {
  const a = new Error('a');
  const b = new Error('b', { cause: a });
  a.cause = b;
  return a;
}

function throwingGetters(): Error {
  const error = new Error('never read');
  for (const key of ['name', 'message', 'code', 'hint', 'stack', 'details', 'retryAfterMs', 'cause', 'retryable']) {
    Object.defineProperty(error, key, {
      get() {
        throw new Error(`getter of ${key}`);
      },
    });
  }
  return error;
}

function throwingProxy(): object {
  const trap = (): never => {
    throw new Error('trap');
  };
  return new Proxy(new Error('inside'), { get: trap, has: trap, ownKeys: trap, getPrototypeOf: trap });
}

function revokedProxy(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

/** An error whose message reads well but which cannot be looked into any further. */
function revokedError(): unknown {
  return { message: 'outer', cause: revokedProxy(), details: revokedProxy() };
}

function depth(wire: WireError): number {
  return wire.cause === undefined ? 0 : 1 + depth(wire.cause);
}

describe('the wire form of errors', () => {
  test('error - what has a code comes back with everything that it said', () => {
    fc.assert(
      fc.property(orreryError, (error) => {
        const crossed = structuredClone(toWire(error));
        const back = fromWire(crossed);
        expect(toWire(back)).toEqual(toWire(error));
        expect(back).toMatchObject({ code: error.code, message: error.message, hint: error.hint });
        expect(back.retryable).toBe(ERRORS[error.code].retryable);
        expect(back.stack).toBe(error.stack);
      }),
    );
  });

  test('error - anything thrown becomes plain data that survives a clone and JSON', () => {
    fc.assert(
      fc.property(hostile, (make) => {
        const thrown = make();
        const wire = toWire(thrown);
        expect(structuredClone(wire)).toEqual(wire);
        expect(JSON.parse(JSON.stringify(wire))).toEqual(wire);
        expect(typeof wire.message).toBe('string');
        expect(depth(wire)).toBeLessThanOrEqual(MAX_CAUSES);
      }),
      { numRuns: runs(500) },
    );
  });

  test('error - reading anything thrown never throws', () => {
    fc.assert(
      fc.property(hostile, (make) => {
        const thrown = make();
        expect(typeof messageOf(thrown)).toBe('string');
        expect(() => codeOf(thrown)).not.toThrow();
        expect(asOrreryError(thrown, 'ORRERY_AGENT_FAILED').code).toMatch(/^ORRERY_/);
      }),
      { numRuns: runs(500) },
    );
  });

  test('error - a chain of causes is cut, also when it is a circle', () => {
    let deep: Error = new Error('the root');
    for (let i = 0; i < 100; i++) deep = new Error(`level ${String(i)}`, { cause: deep });
    expect(depth(toWire(deep))).toBe(MAX_CAUSES);
    expect(depth(toWire(cyclicCause()))).toBe(MAX_CAUSES);
  });

  test('error - a cause without a registered code keeps its name, message and own code', () => {
    const cause = Object.assign(new TypeError('bad'), { code: 'ECONNREFUSED' });
    const back = fromWire(toWire(new OrreryError('ORRERY_CHANNEL_FAILED', 'refused', { cause })));
    expect(back.cause).toMatchObject({ name: 'TypeError', message: 'bad', code: 'ECONNREFUSED' });
  });

  test('error - an error with an unknown code becomes internal at the top', () => {
    expect(fromWire({ name: 'Error', message: 'x', code: 'toString' }).code).toBe('ORRERY_INTERNAL');
    expect(codeOf({ code: 'constructor' })).toBeUndefined();
  });
});
