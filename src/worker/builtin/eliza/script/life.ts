/** Owns the keywords about what fills people's days: work, learning, money, health, sleep, loss, animals, screens. */
import type { KeySource } from '../script.ts';

export const LIFE_KEYS: readonly KeySource[] = [
  {
    words: ['died', 'death', 'dead', 'funeral', 'grief', 'passed', 'mourning'],
    rank: 20,
    rules: [
      ['* passed the/my/an/a *', 'Well done. What did it take?', 'Congratulations! How did you celebrate?'],
      [
        '* my + died/dead/passed *',
        'I am sorry. What was your (2) like?',
        'I am sorry for your loss. What do you miss the most about your (2)?',
      ],
      [
        '*',
        'I am sorry. How are you bearing it?',
        'That is hard to live with. Who is with you in it?',
        'Would you like to tell me about it?',
      ],
    ],
  },
  {
    words: [
      'work',
      'job',
      'boss',
      'office',
      'career',
      'manager',
      'fired',
      'coworker',
      'coworkers',
      'meeting',
      'meetings',
    ],
    rank: 6,
    rules: [
      ["* doesn't/don't/didn't/not work *", 'What does it do instead?', 'What have you tried so far?'],
      [
        '* my boss/manager *',
        'What would you say if you could speak freely there?',
        'What do you need from those who lead you?',
      ],
      ['* lost my job *', 'I am sorry. What did it mean to you?', 'That is a blow. What comes next, in the best case?'],
      [
        '*',
        'What do you like about your work, and what not?',
        'How would your days look if you could arrange them?',
        'What do you take home of it in the evening?',
        'What did you want to become when you were small?',
      ],
    ],
  },
  {
    words: ['school', 'exam', 'exams', 'university', 'college', 'study', 'studying', 'teacher', 'homework', 'thesis'],
    rank: 6,
    rules: [
      [
        '*',
        'What made you choose that?',
        'What would be good enough?',
        'What do you do when it will not go into your head?',
        'Who are you learning it for?',
      ],
    ],
  },
  {
    words: [
      'code',
      'bug',
      'bugs',
      'debugging',
      'programming',
      'deploy',
      'deadline',
      'production',
      'server',
      'typescript',
      'javascript',
    ],
    rank: 5,
    rules: [
      [
        '*',
        'What did you expect it to do, and what does it do?',
        'Explain it to me line by line, as if I were a rubber duck.',
        'When did it last work, and what changed since?',
        'Is it the machine that troubles you, or the date?',
      ],
    ],
  },
  {
    words: ['money', 'rent', 'debt', 'debts', 'salary', 'poor', 'expensive', 'afford'],
    rank: 6,
    rules: [
      [
        '*',
        'What would change first if money were no question?',
        'What does money stand for in your life?',
        'With whom can you speak openly about money?',
      ],
    ],
  },
  {
    words: ['sleep', 'insomnia', 'awake', 'sleeping'],
    rank: 7,
    rules: [
      [
        "* cannot/couldn't/can't/don't sleep *",
        'What goes through your mind when you lie awake?',
        'Since when has sleep stayed away?',
      ],
      ['*', 'How do you feel when the morning comes?', 'What are your evenings like?'],
    ],
  },
  {
    words: ['sick', 'ill', 'illness', 'pain', 'doctor', 'hospital', 'hurts', 'headache', 'therapy', 'therapist'],
    rank: 8,
    rules: [
      ['* therapist/therapy *', 'How has that been for you?', 'What do you take from it?'],
      ['* sick of +', 'What would you put in the place of (2)?', 'Since when has (2) been too much?'],
      ['*', 'How long has it been so?', 'What does a doctor say about it?', 'Who looks after you when you are unwell?'],
    ],
  },
  {
    words: ['phone', 'internet', 'online', 'instagram', 'tiktok', 'youtube', 'twitter', 'scrolling', 'games', 'gaming'],
    rank: 5,
    rules: [
      [
        '*',
        'How do you feel after an hour of it?',
        'What does it give you that nothing else does?',
        'What would you do with a day without any screen?',
      ],
    ],
  },
  {
    words: ['cat', 'cats', 'dog', 'dogs', 'pet', 'pets'],
    rank: 6,
    rules: [
      [
        '* my cat/dog/pet *',
        'What is its name?',
        'What does it do when you come home?',
        'What would it say about you, if it could?',
      ],
      ['*', 'Are you fond of animals?', 'What do you like in them?'],
    ],
    memory: ['* my cat/dog/pet *', 'And how is that animal of yours?'],
  },
  {
    words: ['food', 'eat', 'eating', 'hungry', 'cook', 'cooking', 'coffee', 'tea', 'breakfast', 'dinner'],
    rank: 3,
    rules: [
      [
        '*',
        'With whom do you like to share a table?',
        'Is there a taste that takes you back somewhere?',
        'What would you have just now, if you could have anything?',
      ],
    ],
  },
  {
    words: ['music', 'song', 'songs', 'guitar', 'piano', 'sing', 'book', 'books', 'reading', 'movie', 'movies', 'film'],
    rank: 3,
    rules: [
      [
        '*',
        'What is it in it that speaks to you?',
        'Which one would you take to an island?',
        'When did you first find it?',
      ],
    ],
  },
  {
    words: ['weather', 'rain', 'raining', 'sunny', 'snow', 'cold', 'hot', 'winter', 'summer'],
    rank: 1,
    rules: [
      [
        '*',
        'Does the weather change how you feel?',
        'We could speak of the weather, and yet I suspect that something else is on your mind.',
        'What would you do outside today?',
      ],
    ],
  },
  {
    words: ['future', 'tomorrow', 'someday', 'plan', 'plans', 'goal', 'goals'],
    rank: 5,
    rules: [
      [
        '*',
        'How do you picture it, in a year from now?',
        'What would be the smallest step in that direction?',
        'What would you like to be able to say then?',
      ],
    ],
  },
  {
    words: ['past', 'childhood', 'yesterday', 'young', 'child'],
    rank: 5,
    rules: [
      [
        '*',
        'What do you see when you look back?',
        'What would you tell the one that you were then?',
        'What of it is still with you?',
      ],
    ],
  },
  {
    words: ['life', 'meaning', 'purpose', 'world'],
    rank: 2,
    rules: [
      [
        '* meaning of life *',
        'Some say 42. What would you say on a good day?',
        'Where have you met it last, even in small?',
      ],
      ['*', 'What makes a day worth it for you?', 'What matters in it, in the end?'],
    ],
  },
  {
    words: ['time', 'busy', 'late', 'hurry'],
    rank: 3,
    rules: [
      ['* what time *', 'I have no watch, and all the time. What are you waiting for?'],
      ['* no time *', 'What would you do first if you had an hour more?'],
      ['*', 'What takes up your time just now?', 'What would you like to have more time for?'],
    ],
  },
];
