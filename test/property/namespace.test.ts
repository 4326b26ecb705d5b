import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Namespace } from '../../src/protocol/index.ts';

/** Any text, and often the characters that the written form gives a meaning to. */
const segment = fc.oneof(
  fc.string({ minLength: 1 }),
  fc.string({
    unit: fc.constantFrom(':', '%', '2', '5', '3', 'A', 'a', '/', ' ', 'é', '💬'),
    minLength: 1,
    maxLength: 12,
  }),
);
const segments = fc.array(segment, { minLength: 1, maxLength: 6 });
const namespace = segments.map(([root = '', ...rest]) => new Namespace(root, ...rest));

describe('Namespace', () => {
  test('namespace - parse of the key gives the namespace back', () => {
    fc.assert(
      fc.property(segments, ([root = '', ...rest]) => {
        const made = new Namespace(root, ...rest);
        const read = Namespace.parse(made.key);
        expect(read.segments).toEqual([root, ...rest]);
        expect(read.key).toBe(made.key);
        expect(read.equals(made)).toBe(true);
      }),
    );
  });

  test('namespace - two namespaces have the same key only when their segments are the same', () => {
    fc.assert(
      fc.property(segments, segments, (a, b) => {
        const [x, y] = [a, b].map(([root = '', ...rest]) => new Namespace(root, ...rest).key);
        expect(x === y).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
    );
  });

  test('namespace - every text without an empty segment parses, to a key that parses to the same', () => {
    const part = fc.string({ unit: fc.constantFrom('%', '2', '5', '3', 'A', 'a', 'x'), minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (parts) => {
        const read = Namespace.parse(parts.join(':'));
        expect(read.depth).toBe(parts.length);
        expect(Namespace.parse(read.key).segments).toEqual(read.segments);
      }),
    );
  });

  test('namespace - a text with an empty segment never parses', () => {
    const part = fc.string({ unit: fc.constantFrom('%', 'a'), maxLength: 2 });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 4 }), fc.array(part, { maxLength: 4 }), (before, after) => {
        expect(() => Namespace.parse([...before, '', ...after].join(':'))).toThrow(
          expect.objectContaining({ code: 'ORRERY_BAD_NAMESPACE' }),
        );
      }),
    );
  });

  test('namespace - a child lies one segment below its parent, and the parent above the child', () => {
    fc.assert(
      fc.property(namespace, segment, (parent, name) => {
        const child = parent.child(name);
        expect(child.depth).toBe(parent.depth + 1);
        expect(child.root).toBe(parent.root);
        expect(child.parent?.key).toBe(parent.key);
        expect(parent.isAncestorOf(child)).toBe(true);
        expect(child.isDescendantOf(parent)).toBe(true);
        expect(child.isAncestorOf(parent)).toBe(false);
      }),
    );
  });

  test('namespace - one is never its own ancestor, and at most one of two is the ancestor of the other', () => {
    fc.assert(
      fc.property(namespace, namespace, (a, b) => {
        expect(a.isAncestorOf(a)).toBe(false);
        expect(a.isAncestorOf(b) && b.isAncestorOf(a)).toBe(false);
        expect(a.isAncestorOf(b)).toBe(b.isDescendantOf(a));
      }),
    );
  });
});
