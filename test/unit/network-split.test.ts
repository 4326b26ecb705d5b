import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toDiscordMarkdown } from '../../src/main/channels/discord/markdown.ts';
import { roomFor, toLines } from '../../src/main/channels/irc/lines.ts';
import { splitText } from '../../src/main/channels/network/split.ts';
import { runs } from '../support/properties.ts';

const bytes = (text: string): number => Buffer.byteLength(text);

describe('split', () => {
  test.each<[string, string, number, readonly string[]]>([
    ['nothing when the text is blank', ' \n\n ', 20, []],
    ['one message when it fits', 'short', 20, ['short']],
    ['at a paragraph', 'one one one\n\ntwo two two', 20, ['one one one', 'two two two']],
    ['at a line', 'one one one\ntwo two two', 20, ['one one one', 'two two two']],
    ['at a sentence', 'One one one. Two two two two.', 22, ['One one one.', 'Two two two two.']],
    ['at a word', 'aaaa bbbb cccc dddd', 14, ['aaaa bbbb ', 'cccc dddd'].map((s) => s.trim())],
    ['anywhere in a word that is too long', 'a'.repeat(25), 20, ['a'.repeat(16), 'a'.repeat(9)]],
    [
      'before a code block that fits into one message',
      'Some words first.\n```js\nlet a;\nlet b;\n```',
      36,
      ['Some words first.', '```js\nlet a;\nlet b;\n```'],
    ],
    [
      'within a code block that does not, closed and opened again',
      '```js\nlet aaaaaaa;\nlet bbbbbbb;\nlet ccccccc;\n```',
      36,
      ['```js\nlet aaaaaaa;\nlet bbbbbbb;\n```', '```js\nlet ccccccc;\n```'],
    ],
  ])('split - %s', (_, text, max, parts) => {
    expect(splitText(text, { max })).toEqual(parts);
  });

  // A language that no text has in it: it stands again wherever a block is opened again, and is no loss.
  const piece = fc.oneof(
    fc.lorem({ maxCount: 20 }),
    fc.constantFrom('\n', '\n\n', '```§\n', '\n```\n', '~~~\n', ' ', '. ', '👩‍👩‍👧 ', 'ü', 'x'.repeat(70)),
  );
  const texts = fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join(''));

  test('split - never makes a message too long, and loses nothing but blanks, whatever the text', () => {
    fc.assert(
      fc.property(texts, fc.integer({ min: 40, max: 300 }), fc.boolean(), (text, max, fences) => {
        const parts = splitText(text, { max, measure: bytes, fences });
        expect(parts.filter((part) => bytes(part) > max)).toEqual([]);
        expect(parts.filter((part) => part.trim() === '')).toEqual([]);
        const plain = (all: string): string => all.replaceAll(/[\s`~§]/g, '');
        expect(plain(parts.join('\n'))).toBe(plain(text));
      }),
      { numRuns: runs(500) },
    );
  });

  test('split - leaves no code block open in any message', () => {
    const code = `intro\n\`\`\`ts\n${Array.from({ length: 200 }, (_, i) => `const x${i} = ${i};`).join('\n')}\n\`\`\`\nend`;
    const parts = splitText(code, { max: 300 });
    expect(parts.length).toBeGreaterThan(5);
    for (const part of parts) expect((part.match(/^```/gm) ?? []).length % 2).toBe(0);
  });

  test('split - a megabyte takes no time that anybody would notice', () => {
    const text = 'A sentence of some words. '.repeat(40_000);
    const began = performance.now();
    const parts = splitText(text, { max: 2000 });
    expect(parts.length).toBeGreaterThan(500);
    // Measured 60 ms; a scan of the rest for each message would take minutes.
    expect(performance.now() - began).toBeLessThan(10_000);
  });
});

describe('markdown', () => {
  test('discord - writes what it does not show in what it does, and touches no code', () => {
    const text = '#### Deep\n![alt](https://x.example/a.png)\n~~~py\n#### not\n~~~\n## kept';
    expect(toDiscordMarkdown(text)).toBe('**Deep**\n[alt](https://x.example/a.png)\n```py\n#### not\n```\n## kept');
  });

  test('irc - is plain text, or has the codes for bold, italics and code', () => {
    const text =
      '# Title\n\n**bold** and *soft*, `code`, [a link](https://x.example)\n* item\n```js\nif (a * b * c) {}\n```';
    expect(toLines(text, { max: 400, formatting: 'plain' })).toEqual([
      'Title',
      'bold and soft, code, a link (https://x.example)',
      '- item',
      'if (a * b * c) {}',
    ]);
    expect(toLines('**bold** *soft*', { max: 400, formatting: 'codes' })).toEqual([
      '\u0002bold\u0002 \u001Dsoft\u001D',
    ]);
  });

  test('irc - a line with everything around it is at most 512 bytes, and no character is cut', () => {
    const sender = 'orrery!~orrery@host.example';
    const max = roomFor(sender, '#hall');
    const lines = toLines('ü💬'.repeat(400), { max, formatting: 'plain', prefix: 'alice: ' });
    expect(lines.length).toBeGreaterThan(4);
    for (const line of lines) expect(bytes(`:${sender} PRIVMSG #hall :${line}\r\n`)).toBeLessThanOrEqual(512);
    expect(lines.join('')).toBe(`alice: ${'ü💬'.repeat(400)}`);
  });
});
