/** Owns the keywords about thinking: beliefs, wishes, reasons, memories, dreams, comparisons. */
import type { KeySource } from '../script.ts';

export const THOUGHT_KEYS: readonly KeySource[] = [
  {
    words: ['think', 'believe', 'guess', 'suppose', 'thought'],
    rank: 3,
    rules: [
      [
        '* what do you think *',
        'I would rather not get in the way of what you think. What is it?',
        'My opinion would only be made of your words. What is yours?',
      ],
      ['* i think/believe/guess/suppose so *', 'What would make you certain?', 'And what speaks against it?'],
      ["* i don't think/believe +", 'What would convince you?', 'What makes you doubt it?'],
      ['* i think/believe/guess/suppose that +', 'What makes you think that (2)?', 'How sure are you that (2)?'],
      ['* i think/believe/guess/suppose about +', 'What do you find when you think about (2)?'],
      [
        '* i think/believe/guess/suppose +',
        'What makes you think (2)?',
        'Do you doubt that (2)?',
        'Since when have you thought so?',
      ],
      ['*', 'newkey'],
    ],
  },
  {
    words: ['want', 'need', 'wish', 'hope', 'wants', 'needs'],
    rank: 4,
    rules: [
      ['* you want/need *', 'I want for little. What is it that you want?'],
      ["* i don't want/need +", 'What would you rather have than (2)?', 'What makes you not want (2)?'],
      [
        '* i want/need to +',
        'What would you gain if you could (2)?',
        'What keeps you from it?',
        'What would be the first step if you wanted to (2)?',
      ],
      ['* i wish/hope for +', 'What would (2) mean to you?', 'How close is it, would you say?'],
      [
        '* i wish/hope +',
        'What would change if (2)?',
        'How long have you wished for that?',
        'Who could help to bring that about?',
      ],
      [
        '* i @wish +',
        'What would it mean to you to have (3)?',
        'Suppose you got (3) tomorrow: what then?',
        'Why do you (2) for that just now?',
      ],
      ['*', 'What is it that is really wanted here?', 'What would be enough?'],
    ],
  },
  {
    words: ['can', 'could', 'cannot', "couldn't"],
    rank: 2,
    rules: [
      [
        '* can/could you +',
        'What would you do if I could (2)?',
        'What makes you think that I can (2)?',
        'Perhaps you would like to be able to (2) yourself.',
      ],
      ['* can/could i +', 'Whose permission would you need to (2)?', 'Do you want to be able to (2)?'],
      [
        "* i cannot/couldn't +",
        'How do you know that you cannot (2)?',
        'What would happen if you could (2)?',
        'What would you need in order to (2)?',
      ],
      ['*', 'newkey'],
    ],
  },
  {
    words: ['should', "shouldn't", 'must', 'ought'],
    rank: 7,
    rules: [
      ['* should i +', 'What speaks for it, and what against?', 'What would you advise somebody else?'],
      [
        "* i should/shouldn't/must/ought +",
        'Who says so?',
        'And what do you want to do?',
        'Whose voice is it that tells you so?',
      ],
      ['*', 'Where does that rule come from?', 'What if it were otherwise?'],
    ],
  },
  {
    words: ['if'],
    rank: 3,
    rules: [
      ['* what if +', 'What do you think would happen if (2)?', 'Which way do you hope it goes?'],
      ['* if +', 'How likely is it that (2)?', 'Do you wish that (2)?', 'And if not?'],
      ['*', 'newkey'],
    ],
  },
  {
    words: ['because'],
    rank: 2,
    rules: [
      ['* because of +', 'What else, besides (2)?', 'Would it all be well without (2)?'],
      [
        '* because +',
        'Is that the whole reason?',
        'What other reasons might there be?',
        'Does that reason explain anything else, too?',
      ],
      ['*', 'Yes? Because...?'],
    ],
  },
  {
    words: ['always', 'never', 'constantly', 'ever', 'forever'],
    rank: 4,
    rules: [
      [
        '* never *',
        'Never? Can you think of one time?',
        'What would have to happen for once?',
        'When did you come to expect that?',
      ],
      [
        '*',
        'Can you think of a particular time?',
        'Really always?',
        'When was the last time?',
        'When was it different?',
      ],
    ],
  },
  {
    words: ['remember', 'recall', 'memory', 'memories', 'remind', 'reminds'],
    rank: 6,
    rules: [
      [
        '* do you remember +',
        'I remember a little of what you tell me. What about (2)?',
        'Did you think that I would forget (2)?',
      ],
      ["* i don't remember *", 'What is the last thing that you do remember?'],
      [
        '* i remember/recall +',
        'What else comes back with (2)?',
        'Why does (2) come to mind now?',
        'How do you feel when you think of (2)?',
      ],
      ['* reminds me of +', '=like'],
      ['*', 'What does that bring back?', 'Is it a good memory?'],
    ],
  },
  {
    words: ['forget', 'forgot', 'forgotten'],
    rank: 5,
    rules: [
      ['* forget it *', 'As you like. May I ask why?', 'All right. What shall we speak of instead?'],
      [
        '*',
        'What made it slip away, do you think?',
        'Are there things that you would like to forget?',
        'What helps you to keep things in mind?',
      ],
    ],
  },
  {
    words: ['dream', 'dreams', 'dreamed', 'dreamt', 'nightmare', 'nightmares', 'dreaming'],
    rank: 10,
    rules: [
      [
        '* i dreamed/dreamt that +',
        'You dreamed that (2). What did it feel like?',
        'In the dream (2): has it ever been so while you were awake?',
      ],
      [
        '* i dreamed/dreamt of/about +',
        'Have you ever pictured (2) while awake?',
        'What in your days might (2) stand for?',
      ],
      ['* i dreamed/dreamt +', 'What did you feel when you woke up?', 'What happened just before the dream ended?'],
      [
        '* nightmare/nightmares *',
        'What is the moment in it that frightens you most?',
        'If you could write it another ending, what would it be?',
      ],
      ['* my dream is +', 'What would be the first sign of (2)?', 'What keeps you going towards it?'],
      [
        '*',
        'What do you think that the dream is about?',
        'Who else appears in it?',
        'Does it come back?',
        'What do your dreams usually look like?',
      ],
    ],
  },
  {
    words: ['like', 'same', 'alike', 'similar', 'different'],
    rank: 2,
    rules: [
      ['* i like *', '=i'],
      ['* different *', 'What is the difference, as you see it?', 'Was it ever the same?'],
      ['* look/looks/sounds/seems like +', 'What makes it seem so?', 'What else could it be?'],
      ['* reminds/remind me of +', 'What do the two have in common?', 'What comes up when you think of (2)?'],
      [
        '* same/alike/similar *',
        'In what way are they alike?',
        'What does the likeness tell you?',
        'What is not the same?',
      ],
      ['*', 'newkey'],
    ],
  },
  {
    words: ['decide', 'decision', 'choose', 'choice', 'option', 'options'],
    rank: 6,
    rules: [
      [
        '*',
        'What would you do if you could not fail?',
        'Which of the ways would you regret not having taken?',
        'What do you know today that you did not know before?',
        'By when must it be decided?',
      ],
    ],
  },
  {
    words: ['secret', 'secrets', 'trust', 'lie', 'lied', 'lying', 'truth', 'honest'],
    rank: 6,
    rules: [
      ['* trust you *', 'You need not. Say only what you like to say.', 'What would help?'],
      ['* trust *', 'What does trust rest on, for you?', 'Who has earned it?'],
      ['*', 'What would change if it were out in the open?', 'What makes it hard to say?', 'Who should know of it?'],
    ],
  },
  {
    words: ['problem', 'problems', 'trouble', 'issue', 'difficult', 'hard'],
    rank: 4,
    rules: [
      [
        '*',
        'What would tell you that it is solved?',
        'When is it a little less of a problem?',
        'What have you already tried?',
        'How did you cope with something like that before?',
      ],
    ],
  },
];
