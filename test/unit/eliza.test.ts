/** Holds the conversation engine to its rules, on small scripts, and the built-in script to being answerable. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Conversation, answer, newConversation } from '../../src/worker/builtin/eliza/engine.ts';
import { compilePattern, decompose } from '../../src/worker/builtin/eliza/pattern.ts';
import { type KeySource, type Script, compileScript } from '../../src/worker/builtin/eliza/script.ts';
import { SCRIPT } from '../../src/worker/builtin/eliza/script/script.ts';
import { MAX_READ_CHARS, readClauses, reflect } from '../../src/worker/builtin/eliza/words.ts';
import { runs } from '../support/properties.ts';

const CLASSES = { family: ['mother', 'father'] };

function script(...keys: KeySource[]): Script {
  return compileScript({
    classes: CLASSES,
    keys,
    none: ['none 1', 'none 2'],
    silence: ['silence'],
    repeated: ['repeated'],
    wordless: ['wordless'],
    picture: ['picture'],
  });
}

function talk(rules: Script, ...texts: string[]): string[] {
  const conversation = newConversation();
  return texts.map((text) => answer(rules, conversation, text));
}

function holes(pattern: string, text: string): string[] | undefined {
  const [clause = []] = readClauses(text);
  return decompose(compilePattern(pattern, CLASSES), clause)?.map((hole) => hole.map((word) => word.text).join(' '));
}

function turned(text: string): string {
  return reflect(readClauses(text)[0] ?? []);
}

describe('decomposition', () => {
  it.each([
    ['* i am +', 'today I am very tired', ['today', 'very tired']],
    ['* i am +', 'I am', undefined],
    ['* i am *', 'i am', ['', '']],
    ['i am +', 'now i am here', undefined],
    ['* you + me', 'why do you like to tease me', ['why do', 'like to tease']],
    ['* you + me', 'you me', undefined],
    ['* my @family *', 'then my mother left', ['then', 'mother', 'left']],
    ['* my @family *', 'my dog left', undefined],
    ['* want/need *', 'we need it', ['we', 'it']],
    ['hello', 'hello', []],
    ['hello', 'hello there', undefined],
    ['* a b *', 'a a b', ['a', '']],
    ['* a * b', 'a b a b', ['', 'b a']],
  ])('%s - takes "%s" apart as %j', (pattern, text, expected) => {
    expect(holes(pattern, text)).toEqual(expected);
  });

  it('refuses a class that does not exist and two wildcards together', () => {
    expect(() => compilePattern('* @nobody', CLASSES)).toThrow('@nobody');
    expect(() => compilePattern('* + a', CLASSES)).toThrow('Two wildcards');
  });
});

describe('reflection', () => {
  it.each([
    ['I hate my job', 'you hate your job'],
    ['you are not helping me', 'I am not helping you'],
    ['I was with you', 'you were with me'],
    ['am I yours', 'are you mine'],
    ['you hurt me', 'I hurt you'],
    ['that you lied to Anna', 'that I lied to Anna'],
    ["I'm sure you'd laugh at yourself", 'you are sure I would laugh at myself'],
    ['constructor and toString', 'constructor and toString'],
  ])('turns "%s" round to "%s"', (said, expected) => {
    expect(turned(said)).toBe(expected);
  });
});

describe('keywords', () => {
  const low: KeySource = { words: ['low'], rank: 1, rules: [['*', 'low']] };
  const high: KeySource = { words: ['high'], rank: 5, rules: [['*', 'high']] };

  it('the highest rank answers, wherever it stands and in whichever clause', () => {
    const rules = script(low, high);
    expect(talk(rules, 'low and high')).toEqual(['High']);
    expect(talk(rules, 'high and low')).toEqual(['High']);
    expect(talk(rules, 'low. Then, high!')).toEqual(['High']);
    expect(talk(rules, 'LOW')).toEqual(['Low']);
  });

  it('the first said answers when ranks are equal', () => {
    const rules = script({ words: ['one'], rules: [['*', 'one']] }, { words: ['two'], rules: [['*', 'two']] });
    expect(talk(rules, 'two then one', 'one then two')).toEqual(['Two', 'One']);
  });

  it('reassemblies are used in turn and begin again', () => {
    const rules = script({ words: ['key'], rules: [['key +', 'a (1)', 'b (1)', 'c']] });
    expect(talk(rules, 'key one', 'key two', 'key three', 'key four')).toEqual(['A one', 'B two', 'C', 'A four']);
  });

  it('another keyword answers when a reassembly links to it', () => {
    const rules = script(low, { words: ['alias'], rank: 9, rules: [['*', '=low']] });
    expect(talk(rules, 'an alias')).toEqual(['Low']);
  });

  it('newkey and a keyword without a fitting pattern pass on to the next keyword, then to the next clause', () => {
    const passing: KeySource = { words: ['pass'], rank: 9, rules: [['*', 'newkey']] };
    const strict: KeySource = { words: ['strict'], rank: 8, rules: [['strict', 'strict']] };
    const rules = script(low, passing, strict);
    expect(talk(rules, 'pass strict low')).toEqual(['Low']);
    expect(talk(rules, 'pass this, low')).toEqual(['Low']);
    expect(talk(rules, 'pass this')).toEqual(['None 1'.toLowerCase()]);
  });

  it('ends when links go round in a circle', () => {
    const rules = script({ words: ['a'], rules: [['*', '=b']] }, { words: ['b'], rules: [['*', '=a']] });
    expect(talk(rules, 'a')).toEqual(['none 1']);
  });

  it('a fragment that is too long to say back is not said back', () => {
    const rules = script({ words: ['say'], rules: [['say +', 'why (1)?']] });
    expect(talk(rules, `say ${'word '.repeat(40)}`)).toEqual(['Why all that?']);
  });

  it('refuses a script with two keys for a word, an unknown link or a hole that is not there', () => {
    expect(() => script(low, low)).toThrow('"low"');
    expect(() => script({ words: ['a'], rules: [['*', '=nowhere']] })).toThrow('nowhere');
    expect(() => script({ words: ['a'], rules: [['* a', '(2)']] })).toThrow('names a hole');
  });
});

describe('memory', () => {
  const my: KeySource = {
    words: ['my'],
    rules: [['* my +', 'now (2)']],
    memory: ['* my +', 'before (2)', 'also (2)'],
  };

  it('what was said is come back to, oldest first, once nothing else helps', () => {
    const rules = script(my);
    expect(talk(rules, 'my cat', 'my dog', 'xyz', 'xyz xyz', 'zzz')).toEqual([
      'Now cat',
      'Now dog',
      'Before cat',
      'Also dog',
      'none 1',
    ]);
  });

  it('nothing is come back to right after it was said', () => {
    expect(talk(script(my), 'my cat', 'xyz', 'zzz')).toEqual(['Now cat', 'none 1', 'Before cat']);
  });

  it('keeps no more than a few things of a long talk', () => {
    const conversation: Conversation = newConversation();
    for (let i = 0; i < 100; i++) answer(script(my), conversation, `my thing${i}`);
    expect(conversation.memory.length).toBeLessThanOrEqual(8);
    expect(conversation.memory.at(-1)?.text).toContain('thing99');
  });
});

describe('special input', () => {
  const rules = script({ words: ['key'], rules: [['*', 'key']] });

  it.each([
    ['', 'silence'],
    [' \n\t\u00a0', 'silence'],
    ['?!...', 'wordless'],
    ['😀👍', 'wordless'],
    ['你好吗', 'none 1'],
    ['ключ', 'none 1'],
  ])('%j - is answered with %s', (text, expected) => {
    expect(talk(rules, text)).toEqual([expected]);
  });

  it('a picture without words is asked about', () => {
    expect(answer(rules, newConversation(), '', true)).toBe('picture');
  });

  it('the same said twice is noticed, unless it is a single word', () => {
    expect(talk(rules, 'key one', 'Key one!', 'key', 'key')).toEqual(['Key', 'repeated', 'Key', 'Key']);
  });

  it('reads a bounded part of a text, however long it is and whatever it is made of', () => {
    for (const unit of ['key me ', 'a', '\u0301', '😀', "'", '- ', 'ﷺ', '.']) {
      const read = readClauses(unit.repeat(Math.ceil(1_000_000 / unit.length)));
      // NFKC makes at most 18 characters of one.
      expect(read.flat().reduce((sum, word) => sum + word.text.length, 0)).toBeLessThanOrEqual(18 * MAX_READ_CHARS);
    }
  });
});

describe('the built-in script', () => {
  const rules = compileScript(SCRIPT);
  const words = [...rules.keys.keys()];

  it('has at least 40 keywords, each with something to say', () => {
    expect(SCRIPT.keys.length).toBeGreaterThanOrEqual(40);
    for (const word of words) expect(answer(rules, newConversation(), word)).not.toBe('');
  });

  it.each([
    ['Hello', /Hello/],
    ['my name is Zoë', /Zoë/],
    ['I feel like nobody listens to me', /nobody listens to you/],
    ['I love Berlin', /Berlin/],
    ["I CAN'T FIND MY KEYS", /cannot find your keys/],
    ['I want to kill myself', /crisis line/],
    ['I don\u2019t want to live anymore', /crisis line/],
    ['that would kill the mood, I am sad', /sorry that you are sad/],
    ['Are you a robot?', /program/],
    ['goodbye', /Goodbye/],
  ])('%s - is answered with %s', (text, expected) => {
    expect(answer(rules, newConversation(), text)).toMatch(expected);
  });

  it('property - always answers with whole, well-formed text, whatever was said', () => {
    const spoken = fc.array(
      fc.oneof(fc.constantFrom(...words, 'i', 'my', 'you', 'me', '.', ','), fc.string({ unit: 'binary' })),
      {
        maxLength: 30,
      },
    );
    fc.assert(
      fc.property(fc.array(spoken, { minLength: 1, maxLength: 12 }), fc.boolean(), (talked, parts) => {
        const conversation = newConversation();
        for (const said of talked) {
          const reply = answer(rules, conversation, said.join(' '), parts);
          expect(reply.trim()).not.toBe('');
          expect(reply).not.toMatch(/\(\d\)|newkey|^=|undefined/);
        }
      }),
      { numRuns: runs(300) },
    );
  });
});
