/** Owns the keywords about people: oneself, the listener, family, friends, others. */
import type { KeySource } from '../script.ts';

export const PEOPLE_KEYS: readonly KeySource[] = [
  {
    words:
      'mother father parents sister brother siblings son daughter children kids grandmother grandfather grandma grandpa aunt uncle cousin family'.split(
        ' ',
      ),
    rank: 8,
    rules: [
      ['* my @family is/are +', 'How is it for you that your (2) (3)?', '=relative'],
      ['* my @family *', '=relative'],
      ['* @family *', 'How are things in your own family?', 'What does the word (2) bring up for you?'],
    ],
    memory: [
      '* my @family *',
      'Earlier you spoke of your (2). What more is there to say?',
      'I am still thinking of what you said about your (2). How are you with each other now?',
    ],
  },
  {
    words: ['relative', 'relatives'],
    rank: 8,
    rules: [
      [
        '* my @family *',
        'Tell me more about your (2).',
        'What was it like with your (2) when you were small?',
        'How are you and your (2) alike?',
        'What would your (2) say if they could hear us?',
        'What do you wish your (2) knew?',
      ],
      ['*', 'Who in your family is closest to you?', 'How does your family come into it?'],
    ],
  },
  {
    words: [
      'wife',
      'husband',
      'girlfriend',
      'boyfriend',
      'partner',
      'spouse',
      'fiance',
      'fiancee',
      'ex',
      'marriage',
      'divorce',
    ],
    rank: 9,
    rules: [
      [
        '* my @partner and i *',
        'How long have you two been together?',
        'What is it like between you when things are good?',
      ],
      [
        '* my @partner *',
        'How did you and your (2) meet?',
        'What does your (2) say about it?',
        'What do you need from your (2) just now?',
        'When did you last laugh together with your (2)?',
      ],
      ['*', 'What did you hope for when it began?', 'What has changed between you?'],
    ],
    memory: [
      '* my @partner *',
      'You mentioned your (2) before. How do they come into this?',
      'Let us go back to your (2) for a moment. What is the hardest part?',
    ],
  },
  {
    words: ['friend', 'friends', 'friendship', 'colleague', 'colleagues', 'neighbour', 'neighbor', 'roommate'],
    rank: 7,
    rules: [
      ["* don't have * friends *", 'Who comes closest to being one?', 'What would you do with a friend this weekend?'],
      [
        '* my * friend/colleague/neighbour/neighbor/roommate *',
        'What is this person like?',
        'What do you give each other?',
        'Have you told them what you are telling me?',
      ],
      [
        '*',
        'What makes someone a friend to you?',
        'Whom do you turn to when things are hard?',
        'How do you think they see it?',
      ],
    ],
  },
  {
    words: ['everyone', 'everybody', 'nobody', 'people', 'anyone', 'anybody', 'someone', 'somebody'],
    rank: 3,
    rules: [
      [
        '* nobody/anyone/anybody + me *',
        'Nobody at all? Who comes closest?',
        'What would it look like if somebody did?',
      ],
      [
        '* everyone/everybody *',
        'Everyone? Whom do you have in mind in particular?',
        'Can you think of one person who is otherwise?',
      ],
      ['* nobody *', 'Really nobody?', 'Who was the last one who did?'],
      ['*', 'Who, for instance?', 'Are you thinking of somebody in particular?', 'What do they know of it?'],
    ],
  },
  {
    words: ['he', 'she', 'they', 'him', 'her', 'them'],
    rank: 0,
    rules: [
      ['* he/she/they said/told/says *', 'And what did you answer?', 'How did that sound to you?'],
      [
        '*',
        'What do you think goes on in them?',
        'How do you feel when you think of it?',
        'What would you like them to understand?',
      ],
    ],
  },
  {
    words: ['my'],
    rank: 2,
    rules: [
      [
        '* my life *',
        'What would you keep of your life just as it is?',
        'If your life were a book, what would this chapter be called?',
      ],
      ['* my own *', 'What does it mean to you that it is your own?'],
      [
        '* my +',
        'Your (2)?',
        'What does it mean to you, your (2)?',
        'What comes to mind when you think of your (2)?',
        'Tell me more about your (2).',
      ],
      ['*', 'newkey'],
    ],
    memory: [
      '* my +',
      'Earlier you mentioned your (2). Shall we come back to that?',
      'Does this have to do with your (2)?',
      'A while ago you spoke of your (2). What has become of it in your mind?',
    ],
  },
  {
    words: ['i', 'am', 'me'],
    rank: 0,
    rules: [
      ['* am i +', 'Do you believe that you are (2)?', 'Would it matter to you to be (2)?', 'What makes you ask?'],
      ['* i am not +', 'What makes you say that you are not (2)?', 'Would you like to be (2)?'],
      [
        '* i am +',
        'How long have you been (2)?',
        'What is it like to be (2)?',
        'Do you believe it is normal to be (2)?',
        'How do you like being (2)?',
      ],
      ['* i was +', 'What was that time like?', 'What has changed since you were (2)?', 'Were you really?'],
      ['* i have to +', 'Who says that you have to (2)?', 'What would happen if you did not (2)?'],
      ['* i have never +', 'Would you like to?', 'What has kept you from it?'],
      ['* i have +', 'Since when have you had (2)?', 'What does having (2) mean to you?'],
      [
        "* i don't know *",
        'Suppose that you did know. What would you say?',
        'What would you guess?',
        'Not knowing is a fair place to start. What do you know?',
      ],
      ["* i don't +", 'What would happen if you did?', "Is it that you don't (2), or that you would rather not?"],
      ["* i didn't +", 'What came in between?', 'Do you wish that you had?'],
      ['* i like/enjoy +', 'What do you like about (2)?', 'How did you come to (2)?'],
      ['* i will +', 'When will you (2)?', 'What do you look forward to in that?', 'What might get in the way?'],
      [
        '* i + you *',
        'Perhaps we (2) each other.',
        'What makes you think of me there?',
        'Is there someone else with whom it is the same?',
      ],
      ['* i + myself *', 'What do you want for yourself?', 'Do you often (2) yourself?'],
      ['i +', 'You say that you (1). What follows from it?', 'Can you tell me more about that?', 'What made you (1)?'],
      ['*', 'What does that mean for you?', 'How is that for you?'],
    ],
  },
  {
    words: ['you', 'your', 'yours', 'yourself'],
    rank: 1,
    rules: [
      ['* you remind me of +', '=like'],
      ['* can/could you *', '=can'],
      [
        '* are you +',
        'Would it please you if I were (2)?',
        'What makes you wonder whether I am (2)?',
        'Perhaps I am (2), in your mind. What then?',
      ],
      ['* you are not +', 'What would I have to do to be (2)?', 'What gives you that impression?'],
      [
        '* you are +',
        'What makes you think that I am (2)?',
        'Does it please you to think that I am (2)?',
        'Is it easier to speak of me than of yourself?',
      ],
      ["* you don't + me", 'What would it be like if I did?', 'Who else does not (2) you?'],
      ['* you + me', 'Why do you think that I (2) you?', 'Who else would (2) you?', 'What would it mean if I did?'],
      [
        '* do you +',
        'We were speaking of you. What about you?',
        'Would it help if I said yes?',
        'I would rather hear what you (2).',
      ],
      ['* i + you *', '=i'],
      ['* your +', 'Why do you care about my (2)?', 'What about your own (2)?'],
      ['* you +', 'That is about me. What about you?', 'And what if I (2)?', 'I am more curious about you.'],
      ['*', 'We were speaking of you, not of me.', 'What does that tell you about yourself?'],
    ],
  },
];
