/** Owns how a person's text becomes clauses of words, and how words said by one side are turned round to be said by the other. */

/** A word as it was written and as it is compared. */
export interface Word {
  readonly text: string;
  readonly low: string;
}

/** What is read of one message; the rest changes no answer, and so a long message costs no more than this. */
export const MAX_READ_CHARS = 1000;

/** Clauses end where a sentence or a thought does. */
const CLAUSE_END = /[.,;:!?()[\]{}"“”«»…\n\r\u2013\u2014。，！？、]+|\s-+\s|\s(?:but|however)\s/giu;
const WORD = /[\p{L}\p{M}\p{N}]+(?:['-][\p{L}\p{M}\p{N}]+)*'?/gu;

/** Spellings that mean the same to every rule. */
const SPELLINGS: ReadonlyMap<string, readonly Word[]> = new Map(
  Object.entries({
    "i'm": 'I am',
    im: 'I am',
    "i've": 'I have',
    ive: 'I have',
    "i'll": 'I will',
    "i'd": 'I would',
    "you're": 'you are',
    youre: 'you are',
    "you've": 'you have',
    "you'll": 'you will',
    "you'd": 'you would',
    u: 'you',
    ur: 'your',
    "can't": 'cannot',
    cant: 'cannot',
    "won't": 'will not',
    wont: 'will not',
    dont: "don't",
    didnt: "didn't",
    isnt: "isn't",
    "what's": 'what is',
    whats: 'what is',
    "who's": 'who is',
    "where's": 'where is',
    "how's": 'how is',
    gonna: 'going to',
    wanna: 'want to',
    gotta: 'have to',
    mom: 'mother',
    mum: 'mother',
    mommy: 'mother',
    mummy: 'mother',
    dad: 'father',
    daddy: 'father',
    thx: 'thanks',
    ty: 'thanks',
    pls: 'please',
    cuz: 'because',
    cos: 'because',
  }).map(([written, meant]) => [written, meant.split(' ').map((text) => ({ text, low: text.toLowerCase() }))]),
);

/** Splits a text into clauses of at least one word each. */
export function readClauses(text: string): readonly (readonly Word[])[] {
  const clauses = cut(text.trimStart())
    .normalize('NFKC')
    .replace(/[\u2018\u2019\u02bc`\u00b4]/g, "'")
    .split(CLAUSE_END);
  return clauses.map(readWords).filter((clause) => clause.length > 0);
}

/** Cuts at the end of a word, never inside a surrogate pair. */
function cut(text: string): string {
  if (text.length <= MAX_READ_CHARS) return text;
  const read = text.slice(0, MAX_READ_CHARS);
  const space = read.lastIndexOf(' ');
  return space > 0 ? read.slice(0, space) : read.toWellFormed();
}

function readWords(clause: string | undefined): readonly Word[] {
  const found = clause?.match(WORD) ?? [];
  const shouted = found.length > 1 && found.every((word) => word === word.toUpperCase());
  const words: Word[] = [];
  for (const [index, written] of found.entries()) {
    const low = written.toLowerCase();
    const spelled = SPELLINGS.get(low);
    if (spelled !== undefined) words.push(...spelled);
    // The capital of a sentence's first word says nothing in the middle of an answer; a name's does.
    else words.push({ text: shouted || index === 0 ? low : written, low });
  }
  return words;
}

/** Two words that change together; longer before shorter. */
const PAIRS: Readonly<Record<string, readonly [string, string]>> = {
  'i am': ['you', 'are'],
  'am i': ['are', 'you'],
  'i was': ['you', 'were'],
  'was i': ['were', 'you'],
  'you are': ['I', 'am'],
  'are you': ['am', 'I'],
  'you were': ['I', 'was'],
  'were you': ['was', 'I'],
};

const SINGLES: Readonly<Record<string, string>> = {
  i: 'you',
  me: 'you',
  my: 'your',
  mine: 'yours',
  myself: 'yourself',
  your: 'my',
  yours: 'mine',
  yourself: 'myself',
  am: 'are',
};

/** After these a clause begins anew, so that `you` is its subject. */
const OPENERS: ReadonlySet<string> = new Set(
  'that if because when while and or so as since what why how where think believe know say hope wish do did can could will would should must may might'.split(
    ' ',
  ),
);

/** Before these `you` is a subject. */
const AUXILIARIES: ReadonlySet<string> = new Set(
  "will would have had can cannot could do don't did didn't should must may might never always".split(' '),
);

/** Turns a fragment round: `I hate my job` becomes `you hate your job`. */
export function reflect(words: readonly Word[]): string {
  const out: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const low = words[i]?.low ?? '';
    const pair = PAIRS[`${low} ${words[i + 1]?.low ?? ''}`];
    if (pair !== undefined) {
      out.push(...pair);
      i++;
    } else if (low === 'you') {
      out.push(isSubject(words, i) ? 'I' : 'me');
    } else {
      out.push((Object.hasOwn(SINGLES, low) ? SINGLES[low] : undefined) ?? words[i]?.text ?? '');
    }
  }
  return out.join(' ');
}

/** Guesses whether the `you` at an index does something or has something done to it. */
function isSubject(words: readonly Word[], index: number): boolean {
  if (index === 0) return words.length > 1;
  return OPENERS.has(words[index - 1]?.low ?? '') || AUXILIARIES.has(words[index + 1]?.low ?? '');
}
