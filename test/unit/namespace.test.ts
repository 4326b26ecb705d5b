import { describe, expect, test } from 'vitest';
import { Namespace } from '../../src/protocol/index.ts';

const BAD = expect.objectContaining({ code: 'ORRERY_BAD_NAMESPACE' });

describe('Namespace', () => {
  test('namespace - joins with colons and escapes what would read as one', () => {
    expect(new Namespace('discord', 'guild-1', 'room').key).toBe('discord:guild-1:room');
    expect(new Namespace('irc', '#a:b', '100%').key).toBe('irc:#a%3Ab:100%25');
    expect(String(new Namespace('a', 'b'))).toBe('a:b');
    expect(JSON.stringify({ n: new Namespace('a', 'b') })).toBe('{"n":"a:b"}');
  });

  test('namespace - whole segments are compared: guild-1 is no ancestor of guild-10', () => {
    const one = Namespace.parse('discord:guild-1');
    expect(one.isAncestorOf(Namespace.parse('discord:guild-1:room'))).toBe(true);
    expect(one.isAncestorOf(Namespace.parse('discord:guild-10:room'))).toBe(false);
    expect(one.isAncestorOf(Namespace.parse('slack:guild-1:room'))).toBe(false);
  });

  test('namespace - a root has no parent', () => {
    expect(new Namespace('web').parent).toBeUndefined();
    expect(new Namespace('web').depth).toBe(1);
    expect(new Namespace('web', 'a').parent?.key).toBe('web');
  });

  test.each(['', ':', 'a:', ':a', 'a::b'])('namespace - parse refuses %j', (text) => {
    expect(() => Namespace.parse(text)).toThrow(BAD);
  });

  test('namespace - a segment is never empty', () => {
    expect(() => new Namespace('')).toThrow(BAD);
    expect(() => new Namespace('a', '')).toThrow(BAD);
    expect(() => new Namespace('a').child('')).toThrow(BAD);
  });

  test('namespace - escapes are read in either case, and a lone percent sign stands for itself', () => {
    expect(Namespace.parse('a%3ab').segments).toEqual(['a:b']);
    expect(Namespace.parse('50%').segments).toEqual(['50%']);
    expect(Namespace.parse('%41').key).toBe('%2541');
  });
});
