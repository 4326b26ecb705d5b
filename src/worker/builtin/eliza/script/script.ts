/** Owns the script as a whole: the word classes, and what is said when no keyword helps. The keywords are beside it by theme. */
import type { ScriptSource } from '../script.ts';
import { FEELING_KEYS } from './feelings.ts';
import { LIFE_KEYS } from './life.ts';
import { PEOPLE_KEYS } from './people.ts';
import { TALK_KEYS } from './talk.ts';
import { THOUGHT_KEYS } from './thoughts.ts';

export const SCRIPT: ScriptSource = {
  classes: {
    family:
      'mother father parents sister brother siblings son daughter children kids grandmother grandfather grandma grandpa aunt uncle cousin family'.split(
        ' ',
      ),
    partner: 'wife husband girlfriend boyfriend partner spouse fiance fiancee ex'.split(' '),
    sad: 'sad unhappy depressed miserable down heartbroken hopeless blue low gloomy crying'.split(' '),
    glad: 'happy glad excited proud grateful relieved cheerful delighted thrilled'.split(' '),
    angry: 'angry mad furious annoyed frustrated irritated upset jealous bitter'.split(' '),
    afraid: 'afraid scared anxious nervous worried terrified frightened panicking'.split(' '),
    worn: 'tired exhausted stressed overwhelmed drained overworked burnt'.split(' '),
    wish: 'want need'.split(' '),
  },
  keys: [...TALK_KEYS, ...FEELING_KEYS, ...PEOPLE_KEYS, ...THOUGHT_KEYS, ...LIFE_KEYS],
  none: [
    'Tell me a little more about that.',
    'I am listening. What happened next?',
    'What part of it matters most to you?',
    'I am not sure that I follow. Could you put it another way?',
    'How does it sit with you?',
    'Let us stay with that for a moment. What comes to mind first?',
    'And what would you make of it if a friend told you so?',
    'Go on, I have all the time in the world.',
  ],
  silence: [
    'You are quiet. That is all right; begin wherever you like.',
    'Nothing to say is a beginning, too. How has your day been?',
    'I am still here. What is on your mind?',
  ],
  repeated: [
    'You said that just now. What makes it worth saying twice?',
    'The same again? Perhaps I did not answer what you meant.',
    'I hear you. Is there something behind it that we have not touched yet?',
  ],
  wordless: [
    'I understand words best. Could you say that in a few?',
    'That says a lot, I am sure. What would it say in words?',
    'I can see that you mean something by it. Tell me what.',
  ],
  picture: [
    'I cannot see pictures, only words. What is in it?',
    'Describe it to me: what do you see first when you look at it?',
  ],
};
